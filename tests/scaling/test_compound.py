"""Compound scaling: published rows exactly, the formula's arithmetic, bad coefficients."""

import math

import pytest

from mnas.arch import complexity, unroll, zoo
from mnas.errors import InputError
from mnas.scaling import Coefficients, scale_by_formula, scale_published

B0 = zoo("efficientnet-b0")


@pytest.mark.parametrize("row", ["b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7"])
def test_published_rows_give_the_published_networks(row):
    assert scale_published(B0, row) == zoo(f"efficientnet-{row}")


@pytest.mark.parametrize("row", ["lite0", "lite1", "lite2", "lite3", "lite4"])
def test_lite_rows_keep_stem_head_and_outer_stages(row):
    lite = scale_published(zoo("efficientnet-lite0"), row)
    assert lite == zoo(f"efficientnet-{row}")
    assert (lite.stem_filters, lite.head_filters) == (32, 1280)
    assert (lite.stages[0].repeats, lite.stages[-1].repeats) == (1, 1)


def test_the_published_coefficients():
    assert Coefficients().growth == pytest.approx(1.92, abs=0.005)


def test_the_formula():
    grown = scale_by_formula(B0, 1)
    assert grown.resolution == 256  # 224 * 1.15 = 257.6, to a multiple of 8
    assert [stage.repeats for stage in grown.stages] == [math.ceil(1.2 * s.repeats) for s in B0.stages]
    assert scale_by_formula(B0, 0) == B0
    growth = [complexity(scale_by_formula(B0, phi)).madds / complexity(B0).madds for phi in (1, 2, 3)]
    assert growth == sorted(growth)
    assert 1.9 < growth[0] < 2.6  # repeats and filters round up, so a little above 1.92


def test_small_images_scale_in_steps_of_two():
    small = scale_published(zoo("mnasnet-a1"), "b0")
    assert small.resolution == 224
    from mnas.space import load_space

    net = load_space("mnasnet-32").decode([0] * 42)
    assert scale_by_formula(net, 1).resolution == 36
    assert unroll(scale_by_formula(net, 1))[0].in_size == 36


@pytest.mark.parametrize("phi", [-1, math.nan, math.inf, 21, "1"])
def test_wrong_phi(phi):
    with pytest.raises(InputError, match="phi"):
        scale_by_formula(B0, phi)


@pytest.mark.parametrize("wrong", [{"alpha": 0.9}, {"beta": math.nan}, {"gamma": 0}])
def test_wrong_coefficients(wrong):
    with pytest.raises(InputError):
        Coefficients(**wrong)


def test_unknown_row():
    with pytest.raises(InputError, match="b7"):
        scale_published(B0, "b8")
