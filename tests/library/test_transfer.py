"""Initial weights of alternatives, taken from the teacher's block."""

from dataclasses import replace

import numpy as np
import pytest

from mnas.arch.complexity import layer_complexity
from mnas.arch.spec import BlockSpec
from mnas.arch.walk import layers, place
from mnas.library.transfer import transfer_weights

WIDE = BlockSpec("mbconv", 5, 1, 3, 8, 0.25)
NOTHING = BlockSpec("identity", 1, 1, 1, 8)


def placed(block):
    return place(block, 8, 8, "relu6")


def weights(block, seed=0):
    """Random arrays of a block: transferred from one that has none, then drawn."""
    rng = np.random.default_rng(seed)
    shapes = [array.shape for array in transfer_weights(placed(NOTHING), [], placed(block), rng)]
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def by_role(block, arrays):
    """The arrays of each layer, by its role."""
    given, found = iter(arrays), {}
    for layer in layers(placed(block)):
        if layer_complexity(layer).params:
            found[layer.role] = [next(given) for _ in range(5 if layer.norm else 2)]
    return found


def transferred(teacher, alternative, arrays=None):
    arrays = weights(teacher) if arrays is None else arrays
    found = transfer_weights(placed(teacher), arrays, placed(alternative), np.random.default_rng(7))
    return by_role(teacher, arrays), by_role(alternative, found)


@pytest.mark.parametrize(
    "block",
    [
        WIDE,
        replace(WIDE, se_ratio=0),
        BlockSpec("sepconv", 3, 1, 1, 8),
        BlockSpec("sepconv", 3, 2, 1, 12, 0.5),
        BlockSpec("conv", 3, 1, 1, 8),
        BlockSpec("conv", 3, 1, 1, 8, 0.5),
        BlockSpec("fused_mbconv", 3, 1, 4, 8, 0.25),
        BlockSpec("uib", 3, 1, 4, 8, start_kernel_size=5),
        BlockSpec("uib", 0, 1, 4, 8, start_kernel_size=3),
        BlockSpec("uib", 0, 1, 4, 8),
        BlockSpec("mbconv", 3, 1, 4, 8, 0.25, hard_se=True, activation="hswish"),
    ],
)
def test_a_block_of_the_same_shape_is_unchanged(block):
    arrays = weights(block)
    found = transfer_weights(placed(block), arrays, placed(block), np.random.default_rng(0))
    assert [array.tobytes() for array in found] == [array.tobytes() for array in arrays]


def test_a_narrower_block_keeps_part_of_its_hard_squeeze_and_excitation():
    teacher = replace(WIDE, expand_ratio=8, se_ratio=0.25, hard_se=True)
    own, found = transferred(teacher, replace(teacher, expand_ratio=4))
    assert (own["se_reduce"][0].shape[3], found["se_reduce"][0].shape[3]) == (16, 8)
    assert np.isin(found["se_reduce"][0], own["se_reduce"][0][..., :8]).all()
    wider = transferred(teacher, replace(teacher, expand_ratio=12))[1]
    assert wider["se_reduce"][0].shape[3] == 24
    assert np.array_equal(wider["se_reduce"][1][:16], own["se_reduce"][1])


def test_a_smaller_kernel_is_the_centre():
    own, found = transferred(WIDE, replace(WIDE, kernel_size=3))
    assert np.array_equal(found["depthwise"][0], own["depthwise"][0][1:4, 1:4])
    assert np.array_equal(found["project"][0], own["project"][0])


@pytest.mark.parametrize("op", ["mbconv", "conv"])
def test_a_larger_kernel_has_zeros_around_it(op):
    teacher = replace(WIDE, op=op, kernel_size=3, se_ratio=0, expand_ratio=3 if op == "mbconv" else 1)
    own, found = transferred(teacher, replace(teacher, kernel_size=7))
    role = "depthwise" if op == "mbconv" else next(iter(own))
    kernel = found[role][0].copy()
    assert np.array_equal(kernel[2:5, 2:5], own[role][0])
    kernel[2:5, 2:5] = 0
    assert not kernel.any()


def test_the_most_important_middle_channels_are_kept_in_their_order():
    arrays = weights(WIDE)
    own = by_role(WIDE, arrays)
    kept = [2, 3, 5, 8, 9, 11, 13, 14, 17, 19, 20, 23]  # 12 of 24
    own["project"][0][:] = 0.1
    own["project"][0][0, 0, kept] = 1.0
    own["depthwise"][1][:] = 1.0
    own["depthwise"][1][4] = -30.0  # its |gamma| makes up for a small projection
    own["project"][0][0, 0, 23] = 0.2
    kept[-1] = 4
    kept.sort()
    own, found = transferred(WIDE, replace(WIDE, expand_ratio=1.5), arrays)
    assert np.array_equal(found["expand"][0], own["expand"][0][..., kept])
    assert np.array_equal(found["depthwise"][0], own["depthwise"][0][:, :, kept])
    assert np.array_equal(found["project"][0], own["project"][0][:, :, kept])
    for place_in_layer in range(1, 5):  # gamma, beta, mean, variance
        assert np.array_equal(found["depthwise"][place_in_layer], own["depthwise"][place_in_layer][kept])
    assert np.array_equal(found["se_reduce"][0], own["se_reduce"][0][:, :, kept])
    assert np.array_equal(found["se_expand"][0], own["se_expand"][0][..., kept])
    assert np.array_equal(found["project"][1], own["project"][1])


def test_without_expansion_or_squeeze_and_excitation_the_rest_is_taken():
    own, found = transferred(WIDE, replace(WIDE, expand_ratio=1, se_ratio=0))
    assert set(found) == {"depthwise", "project"}
    assert found["depthwise"][0].shape == (5, 5, 8, 1)
    assert all(
        any(np.array_equal(row, other) for other in own["project"][0][0, 0]) for row in found["project"][0][0, 0]
    )


def test_further_channels_start_without_influence():
    narrow = replace(WIDE, expand_ratio=2)
    own, found = transferred(narrow, WIDE)
    assert np.array_equal(found["depthwise"][0][:, :, :16], own["depthwise"][0])
    assert not found["project"][0][:, :, 16:].any()
    assert found["depthwise"][0][:, :, 16:].all(), "they are drawn, so that they can learn"
    assert np.array_equal(found["project"][0][:, :, :16], own["project"][0])


def test_what_is_drawn_depends_on_the_generator_alone():
    arrays = weights(replace(WIDE, expand_ratio=2))
    first, again = (
        transfer_weights(placed(replace(WIDE, expand_ratio=2)), arrays, placed(WIDE), np.random.default_rng(3))
        for _ in range(2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
