"""Scaling width, depth and resolution of a network with EfficientNet's rounding rules."""

from __future__ import annotations

import math
from dataclasses import replace

from mnas.arch.spec import Architecture, StageSpec
from mnas.checks import check_number


def round_filters(filters: int, width: float, *, divisor: int = 8, nearest: bool = False) -> int:
    """Multiply filters by width and round to a multiple of `divisor`, at most 10 % down. A width of 1 changes nothing.

    Sources: efficientnet_builder.round_filters; with `nearest`, which rounds further down too, EfficientNetV2's.
    """
    if width == 1:
        return filters
    scaled = filters * width
    rounded = max(divisor, int(scaled + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * scaled and not nearest else rounded


def round_repeats(repeats: int, depth: float) -> int:
    """Multiply repeats by depth, rounded up. Source: efficientnet_builder.round_repeats."""
    return math.ceil(depth * repeats)


def resize(
    architecture: Architecture,
    *,
    width: float = 1.0,
    depth: float = 1.0,
    resolution: int | None = None,
    dropout: float | None = None,
    lite: bool = False,
    scale_head: bool = True,
    nearest: bool = False,
) -> Architecture:
    """Scale a network's filters by `width`, its repeats by `depth`, and set its resolution.

    The convolution after pooling is scaled as the head is. `lite` follows EfficientNet-Lite: stem, head, and the
    repeats of the first and last stage stay as they are. MnasNet's multiplier scales its stem but not its 1280 head:
    pass `scale_head=False`. EfficientNetV2 rounds filters to the `nearest` multiple of 8.

    Raises:
        InputError: for a width or depth outside 0.01 to 100, or a resolution out of range.
    """
    check_number("width", width, 0.01, 100)
    check_number("depth", depth, 0.01, 100)
    last = len(architecture.stages) - 1

    def scaled(filters: int) -> int:
        return round_filters(filters, width, nearest=nearest)

    def grown(index: int, stage: StageSpec) -> StageSpec:
        block = replace(stage.block, filters=scaled(stage.block.filters))
        fixed = lite and index in (0, last)
        return StageSpec(block, stage.repeats if fixed else round_repeats(stage.repeats, depth))

    head, pooled = architecture.head_filters, architecture.pooled_filters
    return replace(
        architecture,
        stages=tuple(grown(index, stage) for index, stage in enumerate(architecture.stages)),
        stem_filters=architecture.stem_filters if lite else scaled(architecture.stem_filters),
        head_filters=scaled(head) if head and scale_head and not lite else head,
        pooled_filters=scaled(pooled) if pooled and scale_head and not lite else pooled,
        resolution=architecture.resolution if resolution is None else resolution,
        dropout=architecture.dropout if dropout is None else dropout,
    )
