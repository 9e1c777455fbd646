"""Scaling to a latency: lands where it was asked to, up and down, on one device and on two."""

from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnas.arch import unroll, zoo
from mnas.arch.complexity import block_complexity
from mnas.errors import InputError, MnasError
from mnas.latency.extrapolation import UnpricedError
from mnas.scaling import Coefficients
from mnas.scaling.to_latency import LatencyGoal, scale_to_latency
from mnas.space.files import load_space

A1 = zoo("mnasnet-a1")
SMALL = load_space("mnasnet-16").sample(np.random.default_rng(0))
madds_of = lru_cache(100_000)(lambda placed: block_complexity(placed).madds)


def madds(architecture):
    return sum(madds_of(placed) for placed in unroll(architecture))


def quick(architecture):
    """A device that is fast at arithmetic and slow at starting operators."""
    return madds(architecture) / 1e8 + 0.1 * sum(stage.repeats for stage in architecture.stages)


def slow(architecture):
    return madds(architecture) / 2e7


@pytest.mark.parametrize("wanted", [1.5, 3.0, 7.7, 20.0, 60.0])
def test_it_lands_within_three_percent(wanted):
    scaled = scale_to_latency(A1, [LatencyGoal(quick, wanted)])
    assert quick(scaled.architecture) == pytest.approx(wanted, rel=0.03)
    assert scaled.latencies_ms == (quick(scaled.architecture),)
    assert (scaled.phi > 0) == (wanted > quick(A1))


@settings(max_examples=6, deadline=None, derandomize=True)
@given(share=st.floats(0.8, 6), device=st.sampled_from([quick, slow]))
def test_any_latency_in_reach_is_met_within_three_percent(share, device):
    wanted = share * device(SMALL)
    scaled = scale_to_latency(SMALL, [LatencyGoal(device, wanted)])
    assert device(scaled.architecture) == pytest.approx(wanted, rel=0.03)


def test_all_three_dimensions_grow():
    scaled = scale_to_latency(A1, [LatencyGoal(quick, 40.0)])
    assert scaled.architecture.resolution > A1.resolution
    assert scaled.architecture.stages[3].repeats > A1.stages[3].repeats
    assert scaled.architecture.stages[3].block.filters > A1.stages[3].block.filters


def test_the_device_decides_how():
    """Where layers are dear, the network that takes as long has fewer of them and more multiply-adds."""

    def dear_layers(architecture):
        return madds(architecture) / 1e8 + 1.0 * sum(stage.repeats for stage in architecture.stages)

    base = sum(stage.repeats for stage in A1.stages)
    wanted = 40.0
    few = scale_to_latency(A1, [LatencyGoal(dear_layers, wanted)]).architecture
    many = scale_to_latency(A1, [LatencyGoal(quick, wanted)]).architecture
    layers = [sum(stage.repeats for stage in network.stages) for network in (few, many)]
    assert base < layers[0] < layers[1]


def test_two_devices_the_fuller_one_decides():
    scaled = scale_to_latency(A1, [LatencyGoal(quick, 20.0), LatencyGoal(slow, 30.0)])
    assert slow(scaled.architecture) == pytest.approx(30.0, rel=0.03)
    assert quick(scaled.architecture) < 20.0 * 1.03


def test_out_of_reach_says_what_is_in_reach():
    with pytest.raises(InputError, match=r"--to-ms is 0.01: the smallest network of this family already takes \d"):
        scale_to_latency(A1, [LatencyGoal(quick, 0.01)])
    with pytest.raises(InputError, match="the largest network of this family that fits takes only 1 ms"):
        scale_to_latency(A1, [LatencyGoal(lambda network: 1.0, 5.0)])
    with pytest.raises(InputError, match="--to-ms"):
        LatencyGoal(quick, -3.0)
    with pytest.raises(InputError, match="at least one latency table"):
        scale_to_latency(A1, [])


def test_networks_without_a_latency_are_passed_over():
    """Such as those whose shortcuts, as widths become equal, are of a kind that the table lacks."""

    def partly(architecture):
        if architecture.stages[3].block.filters % 16:
            raise UnpricedError("no such operator")
        return quick(architecture)

    for wanted in (2.0, 9.0, 33.0):
        scaled = scale_to_latency(A1, [LatencyGoal(partly, wanted)])
        assert scaled.latencies_ms[0] == pytest.approx(wanted, rel=0.03)
        assert scaled.architecture.stages[3].block.filters % 16 == 0


def test_a_family_without_any_latency_gives_the_reason():
    def never(architecture):
        raise UnpricedError("no operator of the kind swish")

    with pytest.raises(UnpricedError, match="no operator of the kind swish"):
        scale_to_latency(A1, [LatencyGoal(never, 5.0)])


def test_coarse_steps_name_the_nearest():
    def steps(network):
        return float(10 ** (network.resolution // 100))

    with pytest.raises(MnasError, match="the nearest takes 1000 ms"):
        scale_to_latency(A1, [LatencyGoal(steps, 900.0)], Coefficients(1, 1, 1.3))
