"""Pricing what a table has no entries for."""

from dataclasses import replace

import pytest

from mnas.arch.complexity import complexity, layer_complexity
from mnas.arch.resize import resize
from mnas.arch.walk import layers, unroll
from mnas.errors import InputError
from mnas.latency.estimator import LatencyEstimator
from mnas.latency.extrapolation import ExtendedEstimator
from mnas.latency.table import Entry
from mnas.profiling.plan import table_blocks
from tests.latency.tables import make_table
from tests.spaces import small_space

SPACE = small_space(3)


def truth(placed):
    """A device whose operators lie on lines."""
    rates = {"conv": 1e-7, "depthwise": 5e-7}
    return sum(0.001 + rates.get(layer.kind, 2e-7) * layer_complexity(layer).madds for layer in layers(placed))


@pytest.fixture(scope="module")
def table():
    entries = {placed.key: Entry(truth(placed), 0.0001, 5) for placed in table_blocks(SPACE)}
    return make_table(SPACE, entries=entries, overhead_ms=0.002)


@pytest.fixture(scope="module")
def estimator(table):
    return ExtendedEstimator(table)


def network(seed=0):
    import numpy as np

    return SPACE.sample(np.random.default_rng(seed))


def test_networks_of_the_space_are_priced_as_ever(table, estimator):
    assert estimator.predict(network()) == LatencyEstimator(table).predict(network())


@pytest.mark.parametrize("seed", range(4))
def test_larger_networks_lie_on_the_lines(seed, estimator):
    base = network(seed)
    grown = resize(base, width=1.6, depth=1.5, resolution=base.resolution * 2)
    expected = 0.002 + sum(truth(placed) for placed in unroll(grown))
    found = estimator.predict(grown)
    assert found.latency_ms == pytest.approx(expected, rel=0.1)
    assert found.low_ms < expected < found.high_ms
    assert found.num_fitted > 0
    assert estimator.latency_ms(grown) == pytest.approx(found.latency_ms)


def test_the_further_out_the_wider(estimator):
    base = network()
    shares = []
    for times in (1, 2, 4):
        found = estimator.predict(resize(base, width=1.5, resolution=base.resolution * times))
        shares.append((found.high_ms - found.low_ms) / found.latency_ms)
    assert shares == sorted(shares)
    assert shares[-1] > shares[0]


def test_a_curve_of_the_table_is_kept(table):
    params = complexity(network()).params
    bent = ExtendedEstimator(replace(table, params_curve=((params / 2, 1.0), (params * 100, 3.0))))
    grown = resize(network(), width=3)
    assert bent.latency_ms(grown) == pytest.approx(bent.predict(grown).latency_ms)
    assert bent.latency_ms(grown) > ExtendedEstimator(table).latency_ms(grown)


def test_kinds_that_the_table_does_not_know_are_an_error(estimator):
    with pytest.raises(InputError, match=r"cannot price '.*': none of its blocks .* with swish activation"):
        estimator.predict(replace(network(), activation="swish", resolution=40))


def test_tables_with_hardly_any_entries_are_refused(table):
    few = dict(list(table.entries.items())[:5])
    with pytest.raises(InputError, match="5 blocks that can be read, too few"):
        ExtendedEstimator(replace(table, entries={**few, "something else": next(iter(few.values()))}))
