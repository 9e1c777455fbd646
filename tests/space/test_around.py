"""The space around a teacher: its blocks, and whether a space fits a teacher."""

from dataclasses import replace

import numpy as np
import pytest

from mnas.arch import parse_stages, unroll, zoo
from mnas.arch.spec import Architecture, BlockSpec, StageSpec
from mnas.errors import InputError
from mnas.space import SpaceCosts, check_fits_teacher, load_space, space_around, without_slower, without_unknown
from mnas.space.around import teacher_blocks
from mnas.space.stages import StageBlocks

TEACHERS = ("mobilenet-v2", "efficientnet-lite0", "efficientnet-b0", "mnasnet-a1")


@pytest.mark.parametrize("name", TEACHERS)
def test_the_first_choices_are_the_teacher_itself(name):
    teacher = zoo(name)
    space = space_around(teacher)
    own = space.decode([0] * len(space.decisions))
    assert unroll(own) == unroll(teacher)
    check_fits_teacher(space, teacher)


@pytest.mark.parametrize("name", TEACHERS)
def test_every_block_can_take_the_place_of_the_teachers(name):
    teacher = zoo(name)
    space = space_around(teacher, resolutions=(128, 64))
    rng = np.random.default_rng(0)
    for _ in range(20):
        student = replace(space.sample(rng), resolution=teacher.resolution)
        ends = [stage.block.filters for stage in student.stages]
        assert ends == [block.filters for block in teacher_blocks(teacher)]


def test_choices_are_kernels_ratios_squeeze_and_excitation_and_none():
    block = BlockSpec("mbconv", 5, 1, 6, 16, 0.25)
    teacher = Architecture((StageSpec(replace(block, stride=2)), StageSpec(block)), stem_filters=8)
    first, second = (set(stage.blocks) for stage in space_around(teacher).stages)
    assert len(first) == 3 * 4 * 2
    assert second - {"id_r1_k1_s1_c16"} == {
        f"ir_r1_k{kernel}_s1_e{ratio}_c16{se}"
        for kernel in (3, 5, 7)
        for ratio in (2, 3, 4, 6)
        for se in ("", "_se0.25")
    }
    assert "id_r1_k1_s1_c16" in second


def test_choices_of_newer_blocks():
    stages = parse_stages("er_r1_k3_s2_e4_c16|uir_r1_a5_k3_s2_e4_c24|uir_r1_a3_k0_s1_e4_c24|uir_r1_a0_k0_s1_e4_c24")
    space = space_around(Architecture(stages, stem_filters=8), kernel_sizes=(3, 5), expansion_shares=(0.5, 1))
    fused, extra, first_only, neither = (set(stage.blocks) for stage in space.stages)
    ratios = (2, 4)
    assert fused == {f"{op}_r1_k{k}_s2_e{e}_c16_noskip" for op in ("er", "ir") for k in (3, 5) for e in ratios}
    assert extra == {f"{op}_k{k}_s2_e{e}_c24_noskip" for op in ("uir_r1_a5", "ir_r1") for k in (3, 5) for e in ratios}
    without = {f"uir_r1_a0_k0_s1_e{e}_c24" for e in ratios} | {"id_r1_k1_s1_c24"}
    assert first_only == without | {f"uir_r1_a3_k0_s1_e{e}_c24" for e in ratios}
    assert neither == without


def test_a_teacher_of_mobilenet_v3_keeps_its_activations_and_its_end():
    teacher = zoo("mobilenet-v3-small")
    space = space_around(teacher)
    assert (space.pooled_filters, space.pooled_norm) == (1024, False)
    check_fits_teacher(space, teacher)
    first = space.decode([0] * len(space.decisions))
    assert unroll(first) == unroll(teacher)
    assert all(
        ("_nre" in block) == (number < 4)
        for number in (1, 3, 5)
        for block in space.stages[number - 1].blocks
        if "id" not in block
    )
    assert {stage.block.hard_se for stage in first.stages} == {True, False}
    with pytest.raises(InputError, match="its pooled_filters is 0, the teacher's is 1024"):
        check_fits_teacher(replace(space, pooled_filters=0), teacher)


def test_a_fused_block_is_not_narrowed_to_a_convolution():
    teacher = Architecture(parse_stages("er_r1_k3_s2_e2_c16"), stem_filters=8)
    (stage,) = space_around(teacher, kernel_sizes=(3,), expansion_shares=(0.5, 1)).stages
    assert set(stage.blocks) == {"er_r1_k3_s2_e2_c16_noskip", "ir_r1_k3_s2_e2_c16_noskip", "ds_r1_k3_s2_c16_noskip"}


def test_a_ratio_of_many_digits_is_not_nearly_repeated():
    block = BlockSpec("mbconv", 3, 1, 10 / 3, 16)
    teacher = Architecture((StageSpec(block),), stem_filters=16)
    (stage,) = space_around(teacher, kernel_sizes=(3,), expansion_shares=(0.1, 0.5, 1)).stages
    ratios = [stage.stage((text,)).block.expand_ratio for text in stage.blocks]
    assert ratios == [10 / 3, 1.67, 1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"resolutions": (96, 16)}, r"resolution is 16 px.*at least 17 px"),
        ({"resolutions": (96, 96)}, "each once"),
        ({"resolutions": (0,)}, "resolution is 0"),
        ({"kernel_sizes": (4,)}, "odd"),
        ({"kernel_sizes": (33,)}, "kernel_size is 33"),
        ({"expansion_shares": (-1,)}, "an expansion share is -1"),
        ({"expansion_shares": (float("nan"),)}, "an expansion share is nan"),
    ],
)
def test_wrong_options_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        space_around(zoo("mobilenet-v2"), **options)


def test_a_teacher_of_other_classes_or_resolution_fits():
    space = space_around(zoo("mobilenet-v2"), resolutions=(96, 64))
    check_fits_teacher(space, replace(zoo("mobilenet-v2"), num_classes=5, resolution=128, dropout=0.5))


def _changed(space, number, blocks):
    stages = [*space.stages]
    stages[number - 1] = StageBlocks(blocks)
    return replace(space, stages=tuple(stages))


def test_the_first_block_that_differs_is_named():
    teacher = zoo("mobilenet-v2")
    space = space_around(teacher)
    cases = [
        (_changed(space, 3, ("ir_r1_k3_s1_e3_c24", "ir_r1_k3_s1_e3_c32")), "block 3 ends with 32 filters.* with 24"),
        (_changed(space, 3, ("ir_r1_k3_s2_e3_c24",)), "block 3 has stride 2, the teacher's has 1"),
        (_changed(space, 3, ("ir_r2_k3_s1_e3_c24",)), "block 3 has the choice ir_r2_k3_s1_e3_c24 of several blocks"),
        (replace(space, stages=space.stages[:-1]), "16 stages and the teacher 17 blocks, so that block 17 is in one"),
        (replace(space, activation="swish"), "its activation is swish, the teacher's is relu6"),
        (replace(load_space("mnasnet"), activation="relu6"), "block 1 is not one decision"),
    ]
    for other, said in cases:
        with pytest.raises(InputError, match=f"is not a space around this teacher: .*{said}.*mnas space around"):
            check_fits_teacher(other, teacher)
    with pytest.raises(InputError, match="is not a space around this teacher"):
        check_fits_teacher(space, zoo("efficientnet-lite0"))


def _priced(space, *slow):
    """Costs of 1 for every block, and of 2 for those with these kernel sizes, at these resolutions."""
    resolutions = {size: kernels for size, *kernels in slow}

    def price(placed):
        kernels = resolutions.get(placed.in_size * 2, ())
        return 2.0 if getattr(placed.block, "kernel_size", 0) in kernels else 1.0

    return SpaceCosts(space, price)


def _kernels(space):
    return [{stage.stage((text,)).block.kernel_size for text in stage.blocks} for stage in space.stages]


def test_choices_that_are_slower_by_every_table_and_size_are_left_out():
    block = BlockSpec("mbconv", 5, 1, 3, 16)
    teacher = Architecture((StageSpec(block), StageSpec(block)), stem_filters=16, resolution=32)
    space = space_around(teacher, resolutions=(32, 16))
    assert without_slower(space, []) == space
    both = _priced(space, (32, 3, 7), (16, 3, 7))
    assert _kernels(without_slower(space, [both])) == [{1, 5}, {1, 5}]
    assert _kernels(without_slower(space, [both, _priced(space, (32, 7), (16, 7))])) == [{1, 3, 5}] * 2
    assert _kernels(without_slower(space, [_priced(space, (32, 3, 7), (16, 3))])) == [{1, 5, 7}] * 2
    left = without_slower(space, [both])
    assert unroll(left.decode([0] * len(left.decisions))) == unroll(teacher)
    check_fits_teacher(left, teacher)


def test_the_teachers_own_block_stays_however_slow():
    block = BlockSpec("mbconv", 5, 1, 3, 16)
    teacher = Architecture((StageSpec(block), StageSpec(block)), stem_filters=16, resolution=32)
    space = space_around(teacher, resolutions=(32, 16))
    assert without_slower(space, [_priced(space, (32, 5), (16, 5))]) == space


def test_choices_without_an_entry_at_any_size_are_left_out_but_not_the_teachers_own():
    block = BlockSpec("mbconv", 5, 1, 3, 16)
    teacher = Architecture((StageSpec(block), StageSpec(block)), stem_filters=16, resolution=32)
    space = space_around(teacher, resolutions=(32, 16))
    assert without_unknown(space, lambda placed: True) == space
    assert _kernels(without_unknown(space, lambda placed: "k7" not in placed.key)) == [{1, 3, 5}] * 2
    small = without_unknown(space, lambda placed: "k3" not in placed.key or placed.in_size != 8)
    assert _kernels(small) == [{1, 5, 7}] * 2
    assert _kernels(without_unknown(space, lambda placed: False)) == [{1, 5}] * 2
