"""The walk: sizes and filters thread through, and a skip connection is where shapes allow it."""

from dataclasses import replace

import pytest

from mnas.arch import Architecture, BlockSpec, ClassifierSpec, StageSpec, complexity, layers, parse_stages, unroll
from mnas.arch.codec import architecture_from_json, architecture_to_json, parse_key
from mnas.arch.complexity import block_complexity
from mnas.arch.walk import PlacedBlock, named_blocks


def one(block, **fields):
    return Architecture((StageSpec(block, 2),), stem_filters=16, head_filters=0, resolution=15, **fields)


def test_sizes_round_up_and_only_the_first_block_strides():
    stem, first, second, classifier = unroll(one(BlockSpec("sepconv", 3, 2, 1, 16)))
    assert (stem.out_size, first.out_size, second.out_size, classifier.in_size) == (8, 4, 4, 4)
    assert isinstance(classifier.block, ClassifierSpec)


@pytest.mark.parametrize(
    ("skip", "stride", "filters", "real"),
    [
        ("identity", 1, 16, "identity"),
        ("identity", 2, 16, "none"),
        ("identity", 1, 24, "none"),
        ("pool", 2, 16, "pool"),
        ("pool", 1, 16, "pool"),
        ("pool", 2, 24, "none"),
        ("none", 1, 16, "none"),
    ],
)
def test_skips(skip, stride, filters, real):
    placed = unroll(one(BlockSpec("mbconv", 3, stride, 6, filters, 0, skip)))[1]
    assert placed.block.skip == real
    kinds = [layer.kind for layer in layers(placed)]
    assert ("add" in kinds, "pool" in kinds) == (real != "none", real == "pool")


def test_blocks_that_run_the_same_operators_are_equal():
    strided = BlockSpec("mbconv", 3, 2, 6, 24, 0, "identity")
    assert unroll(one(strided))[1] == unroll(one(BlockSpec("mbconv", 3, 2, 6, 24, 0, "none")))[1]


def test_layers_of_an_mbconv_with_everything():
    placed = PlacedBlock(BlockSpec("mbconv", 5, 1, 6, 24, 0.25, "identity"), 14, 24, "swish")
    roles = [layer.role for layer in layers(placed)]
    assert roles == [
        "expand", "depthwise", "se_squeeze", "se_reduce", "se_expand", "se_excite", "project", "skip_add",
    ]  # fmt: skip
    by_role = {layer.role: layer for layer in layers(placed)}
    assert by_role["se_reduce"].filters == 6  # of the block's input, not of the expanded filters
    assert by_role["se_expand"].activation == "sigmoid"
    assert by_role["project"].activation == "linear"
    assert by_role["skip_add"].inputs == (7, 0)


def test_parameters_of_a_block_by_hand():
    placed = PlacedBlock(BlockSpec("mbconv", 3, 1, 2, 4, 0.5, "none"), 8, 4, "relu")
    expand, depthwise, project = 4 * 8 + 16, 9 * 8 + 16, 8 * 4 + 8
    squeeze_excite = (8 * 2 + 2) + (2 * 8 + 8)
    cost = block_complexity(placed)
    assert cost.params == expand + depthwise + squeeze_excite + project
    assert cost.madds == 64 * (4 * 8 + 9 * 8 + 8 * 4) + squeeze_excite


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("er_k3_s2_e4_c48_noskip", ["expand 3x3/2 relu", "project 1x1/1 linear"]),
        ("er_k3_s1_e2_c4", ["expand 3x3/1 relu", "project 1x1/1 linear", "skip_add 1x1/1 linear"]),
        (
            "uir_a5_k3_s2_e3_c96_noskip",
            ["start 5x5/1 linear", "expand 1x1/1 relu", "depthwise 3x3/2 relu", "project 1x1/1 linear"],
        ),
        ("uir_a5_k0_s2_e3_c96_noskip", ["start 5x5/2 linear", "expand 1x1/1 relu", "project 1x1/1 linear"]),
        ("uir_a0_k0_s1_e3_c4", ["expand 1x1/1 relu", "project 1x1/1 linear", "skip_add 1x1/1 linear"]),
    ],
)
def test_layers_of_newer_blocks(block, expected):
    placed = parse_key(f"8x8x4 {block} relu")
    assert placed.key == f"8x8x4 {block} relu"
    found = [
        f"{each.role} {each.kernel_size}x{each.kernel_size}/{each.stride} {each.activation}" for each in layers(placed)
    ]
    assert found == expected
    assert layers(placed)[-1].out_size == placed.out_size


def test_squeeze_and_excitation_as_in_mobilenet_v3():
    (_, block, _) = unroll(one_wide("ir_r1_k3_s1_e3_c8_hse0.25"))
    squeeze, reduce, expand = layers(block)[2:5]
    assert (squeeze.kind, reduce.activation, expand.activation) == ("mean", "relu", "hsigmoid")
    assert (reduce.filters, expand.filters) == (8, 24)  # a quarter of 24, rounded to a multiple of 8


def test_a_block_has_its_own_activation_and_a_key_of_today():
    (_, block, _) = unroll(one_wide("ir_r1_k3_s1_e3_c8_nre"))
    assert block.key == "16x16x8 ir_k3_s1_e3_c8 relu"
    assert block == unroll(replace(one_wide("ir_r1_k3_s1_e3_c8"), activation="relu"))[1]


def one_wide(text):
    return Architecture(
        parse_stages(text), stem_filters=8, head_filters=0, resolution=32, num_classes=5, activation="hswish"
    )


def test_a_convolution_after_pooling_by_hand():
    plain = one_wide("ir_r1_k3_s1_e3_c8")
    for norm in (True, False):
        *_, last = unroll(replace(plain, pooled_filters=12, pooled_norm=norm))
        kind = ("pooled", "dense", "hswish", norm)
        assert [(each.role, each.kind, each.activation, each.norm) for each in layers(last)][1] == kind
        cost = block_complexity(last)
        assert cost.params == 8 * 12 + (24 if norm else 12) + 12 * 5 + 5
        assert cost.madds == 8 * 12 + (0 if norm else 12) + 12 * 5 + 5


def test_a_head_without_filters_is_left_out():
    with_head = Architecture((StageSpec(BlockSpec("conv", 3, 1, 1, 8)),), head_filters=64)
    without = Architecture((StageSpec(BlockSpec("conv", 3, 1, 1, 8)),), head_filters=0)
    assert len(unroll(with_head)) == len(unroll(without)) + 1
    assert complexity(with_head).params > complexity(without).params


def test_an_identity_is_nothing_or_a_linear_convolution():
    stages = tuple(StageSpec(BlockSpec("identity", 1, stride, 1, filters)) for stride, filters in ((1, 16), (2, 24)))
    architecture = Architecture(stages, stem_filters=16, head_filters=0, resolution=32)
    _, strided, classifier = unroll(architecture)
    (layer,) = layers(strided)
    assert (layer.kind, layer.kernel_size, layer.stride, layer.activation, layer.norm) == ("conv", 1, 2, "linear", True)
    assert block_complexity(strided).madds == 16 * 24 * 8 * 8
    assert classifier.in_filters == 24
    assert [name for name, _ in named_blocks(architecture)] == ["stem", "stage2_block1", "classifier"]
    assert architecture_from_json(architecture_to_json(architecture)) == architecture
