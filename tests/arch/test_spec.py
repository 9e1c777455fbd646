"""Specs refuse what makes no sense, and give one network one spelling."""

import math

import pytest

from mnas.arch import Architecture, BlockSpec, StageSpec
from mnas.errors import InputError


def test_an_mbconv_that_does_not_expand_is_a_sepconv():
    assert BlockSpec("mbconv", 3, 1, 1, 16) == BlockSpec("sepconv", 3, 1, 1, 16)
    assert hash(BlockSpec("mbconv", 3, 1, 6.0, 16)) == hash(BlockSpec("mbconv", 3, 1, 6, 16))


@pytest.mark.parametrize(
    "wrong",
    [
        {"op": "mbcnv"},
        {"kernel_size": 4},
        {"kernel_size": True},
        {"stride": 3},
        {"expand_ratio": 0},
        {"expand_ratio": math.nan},
        {"filters": 0},
        {"filters": 16.0},
        {"se_ratio": -0.25},
        {"se_ratio": math.inf},
        {"skip": "maybe"},
        {"op": "conv"},  # with expansion ratio 6
    ],
)
def test_blocks_refuse_wrong_fields(wrong):
    fields = {"op": "mbconv", "kernel_size": 3, "stride": 1, "expand_ratio": 6, "filters": 16, "se_ratio": 0.25}
    with pytest.raises(InputError):
        BlockSpec(**{**fields, **wrong})


@pytest.mark.parametrize(
    "wrong",
    [
        {"stages": ()},
        {"stages": ("ir_r1",)},
        {"stem_filters": 0},
        {"head_filters": -1},
        {"resolution": 0},
        {"num_classes": 1},
        {"activation": "gelu"},
        {"dropout": 1.0},
        {"stem_stride": 4},
        {"stochastic_depth": math.nan},
    ],
)
def test_architectures_refuse_wrong_fields(wrong):
    stage = StageSpec(BlockSpec("conv", 3, 1, 1, 16))
    with pytest.raises(InputError):
        Architecture(**{"stages": (stage,), **wrong})
