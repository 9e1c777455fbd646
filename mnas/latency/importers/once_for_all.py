"""Once-for-All's networks (MobileNetV3 width 1.0, Note 10 tables) as placed blocks.

They have two activations and a second 1x1 convolution behind the pooling, so they are no `Architecture`; but a table
prices placed blocks, whatever network they come from: `LatencyEstimator.predict_blocks`.
"""

from __future__ import annotations

from collections.abc import Sequence

from mnas.arch.spec import BlockSpec, ClassifierSpec
from mnas.arch.walk import PlacedBlock, place
from mnas.checks import check_choice, check_integer
from mnas.errors import InputError
from mnas.latency.importers.blocks import once_for_all_se_ratio

_MOST_BLOCKS = 4
# Stride of the first block, filters, activation, squeeze-and-excitation: ofa/tutorial/latency_table.py.
_STAGES = (
    (2, 32, "relu", False),
    (2, 48, "relu", True),
    (2, 96, "hswish", False),
    (1, 136, "hswish", True),
    (2, 192, "hswish", True),
)


def once_for_all_blocks(
    kernels: Sequence[int], expansions: Sequence[int], depths: Sequence[int], resolution: int
) -> tuple[PlacedBlock, ...]:
    """A network by Once-for-All's own encoding.

    Args:
        kernels: `ks`, 3, 5 or 7: one for each of the five stages' four blocks, also those that are left out.
        expansions: `e`, 3, 4 or 6: likewise.
        depths: `d`, 2, 3 or 4: blocks in each of the five stages.
        resolution: `r`, in pixels.

    Raises:
        InputError: for other numbers, or other numbers of them.
    """
    _check(kernels, expansions, depths)
    check_integer("resolution", resolution, 1, 8192)
    walk = [
        place(BlockSpec("conv", 3, 2, 1, 24, skip="none"), resolution, 3, "hswish"),
        place(BlockSpec("sepconv", 3, 1, 1, 24), -(-resolution // 2), 24, "relu"),
    ]
    for stage, (first_stride, filters, activation, excites) in enumerate(_STAGES):
        for repeat in range(depths[stage]):
            index, in_filters = stage * _MOST_BLOCKS + repeat, walk[-1].out_filters
            expansion, stride = expansions[index], 1 if repeat else first_stride
            se_ratio = once_for_all_se_ratio(in_filters, in_filters * expansion) if excites else 0
            block = BlockSpec("mbconv", kernels[index], stride, expansion, filters, se_ratio)
            walk.append(place(block, walk[-1].out_size, in_filters, activation))
    head = BlockSpec("conv", 1, 1, 1, 1152, skip="none")
    mixing = BlockSpec("conv", 1, 1, 1, 1536, skip="none")
    walk.append(place(head, walk[-1].out_size, 192, "hswish"))
    walk.append(place(mixing, 1, 1152, "hswish"))
    walk.append(place(ClassifierSpec(1000), 1, 1536, "hswish"))
    return tuple(walk)


def _check(kernels: Sequence[int], expansions: Sequence[int], depths: Sequence[int]) -> None:
    num_blocks = len(_STAGES) * _MOST_BLOCKS
    if (len(kernels), len(expansions), len(depths)) != (num_blocks, num_blocks, len(_STAGES)):
        raise InputError(
            f"expected {num_blocks} kernels, {num_blocks} expansions and {len(_STAGES)} depths; "
            f"got {len(kernels)}, {len(expansions)} and {len(depths)}"
        )
    for name, values, choices in (("kernel", kernels, (3, 5, 7)), ("expansion", expansions, (3, 4, 6))):
        for value in values:
            check_choice(name, str(value), [str(choice) for choice in choices])
    for depth in depths:
        check_integer("depth", depth, 2, _MOST_BLOCKS)
