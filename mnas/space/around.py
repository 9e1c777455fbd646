"""The space around a teacher: one decision per block, over cheaper and wider forms of the teacher's own block.

The filters between blocks are the teacher's, so that every block can be exchanged alone (DNA, Li et al. 2020; DONNA,
Moons et al. 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product

from mnas.arch.codec import format_stage
from mnas.arch.memory import check_strides
from mnas.arch.spec import EXPANDING, Architecture, BlockSpec, StageSpec
from mnas.arch.walk import PlacedBlock, named_blocks, unroll
from mnas.checks import check_number
from mnas.errors import InputError
from mnas.space.costs import SpaceCosts
from mnas.space.space import SearchSpace
from mnas.space.stages import Stage, StageBlocks

KERNEL_SIZES = (3, 5, 7)
EXPANSION_SHARES = (1 / 3, 1 / 2, 2 / 3, 1.0)  # of the teacher's expansion ratio: 2, 3, 4 and 6 where it has 6

_REMEDY = "Make one with mnas space around TEACHER --out FILE.toml"


def space_around(
    teacher: Architecture,
    *,
    name: str = "teacher",
    kernel_sizes: Sequence[int] = KERNEL_SIZES,
    expansion_shares: Sequence[float] = EXPANSION_SHARES,
    resolutions: Sequence[int] = (),
) -> SearchSpace:
    """Return the space around a teacher.

    Each block of the teacher becomes a stage of one decision. Its choices have every kernel size and every share of the
    expansion ratio, squeeze-and-excitation as the teacher has it or none, and are left out where the block keeps size
    and filters and has an identity skip connection. A fused MBConv may become an MBConv, and a universal inverted
    bottleneck lose its first depthwise convolution. The teacher's own block is always the first choice.

    Args:
        teacher: the network.
        name: of the space.
        kernel_sizes: of the depthwise convolutions.
        expansion_shares: shares of the teacher's expansion ratio; ratios below 1 are left out.
        resolutions: input sizes to choose from, in pixels; by default the teacher's only.

    Raises:
        InputError: for kernel sizes or shares out of range, a resolution that the strides reduce to nothing, or a
            teacher with blocks that do nothing.
    """
    for share in expansion_shares:
        check_number("an expansion share", share, 0.01, 10)
    sizes = tuple(resolutions) or (teacher.resolution,)
    for size in sizes:
        check_strides(replace(teacher, resolution=size))
    stages = []
    filters = teacher.stem_filters
    for block in teacher_blocks(teacher):
        choices = dict.fromkeys(_choices(block, filters, kernel_sizes, expansion_shares))
        stages.append(StageBlocks(tuple(format_stage(StageSpec(choice)) for choice in choices)))
        filters = block.filters
    return SearchSpace(
        name=name,
        stages=tuple(stages),
        stem_filters=teacher.stem_filters,
        stem_stride=teacher.stem_stride,
        head_filters=teacher.head_filters,
        num_classes=teacher.num_classes,
        activation=teacher.activation,
        dropout=teacher.dropout,
        resolutions=sizes,
        pooled_filters=teacher.pooled_filters,
        pooled_norm=teacher.pooled_norm,
    )


def without_slower(space: SearchSpace, costs: Sequence[SpaceCosts]) -> SearchSpace:
    """Return a space around a teacher without the choices that can never pay.

    Left out is what costs more than the teacher's own block, the first choice, by every table and at every resolution.

    Args:
        space: the space.
        costs: its latencies by each table; with none the space stays as it is.

    Raises:
        InputError: if the costs are no sums over the space's stages.
    """
    if not costs:
        return space
    priced = [each.additive(size)[1] for each in costs for size in range(len(space.input_sizes))]
    stages = []
    for stage, *rows in zip(space.stages, *priced, strict=True):
        blocks = stage.decisions[0].choices
        stages.append(
            StageBlocks(tuple(block for i, block in enumerate(blocks) if any(row[i] <= row[0] for row in rows)))
        )
    return replace(space, stages=tuple(stages))


def without_unknown(space: SearchSpace, known: Callable[[PlacedBlock], bool]) -> SearchSpace:
    """Return a space around a teacher without the choices that a table has no entry for; the teacher's own stay.

    Args:
        space: the space.
        known: whether there is an entry for a block, wherever it is; asked at every resolution.
    """
    teacher = [0] * len(space.decisions)

    def placed(number: int, choice: int) -> set[PlacedBlock]:
        """The blocks of the teacher with this choice, at all resolutions."""
        row = [*teacher[:number], choice, *teacher[number + 1 :]]
        rows = [[*row[:-1], size] for size in range(len(space.resolutions))] or [row]
        return {each for own in rows for each in unroll(space.decode(own))}

    own = placed(0, 0)
    kept = [
        tuple(
            block
            for choice, block in enumerate(stage.decisions[0].choices)
            if all(known(each) for each in placed(number, choice) - own)
        )
        for number, stage in enumerate(space.stages)
    ]
    return replace(space, stages=tuple(StageBlocks(choices) for choices in kept))


def check_fits_teacher(space: SearchSpace, teacher: Architecture) -> None:
    """Check that every block of a space can take the place of the teacher's block.

    Resolution and number of classes may differ: a teacher works at any size, and its classes are those of its data.

    Raises:
        InputError: if stem, head or activation are not the teacher's, or with the first block whose stride, filters or
            number of choices differ.
    """
    whose = f"{space.name} is not a space around this teacher"
    for field in ("stem_filters", "stem_stride", "head_filters", "activation", "pooled_filters", "pooled_norm"):
        has, wanted = getattr(space, field), getattr(teacher, field)
        if has != wanted:
            raise InputError(f"{whose}: its {field} is {has}, the teacher's is {wanted}. {_REMEDY}")
    blocks = teacher_blocks(teacher)
    for number, (stage, block) in enumerate(zip(space.stages, blocks, strict=False), 1):
        if difference := _difference(stage, block):
            raise InputError(f"{whose}: block {number} {difference}. {_REMEDY}")
    if len(space.stages) != len(blocks):
        raise InputError(
            f"{whose}: it has {len(space.stages)} stages and the teacher {len(blocks)} blocks, so that block "
            f"{min(len(space.stages), len(blocks)) + 1} is in one of them only. {_REMEDY}"
        )


def _difference(stage: Stage, block: BlockSpec) -> str:
    """What a stage has that the teacher's block does not; empty if every choice fits."""
    if not isinstance(stage, StageBlocks):
        return "is not one decision over a list of blocks"
    if stage.stride != block.stride:
        return f"has stride {stage.stride}, the teacher's has {block.stride}"
    if stage.filters != (block.filters,):
        other = next(count for count in stage.filters if count != block.filters)
        return f"ends with {other} filters, the teacher's with {block.filters}"
    repeated = next((text for text in stage.blocks if stage.stage((text,)).repeats > 1), None)
    return f"has the choice {repeated} of several blocks" if repeated else ""


def teacher_blocks(teacher: Architecture) -> list[BlockSpec]:
    """Return the blocks of a network's stages one by one, without stem, head and classifier.

    Raises:
        InputError: if a stage changes nothing, so that there is no block in its place.
    """
    count = sum(stage.repeats for stage in teacher.stages)
    found = [placed for name, placed in named_blocks(teacher) if name.startswith("stage")]
    if len(found) != count:
        raise InputError(f"the teacher has {count - len(found)} blocks without operators: leave these stages out")
    own = {placed: placed.activation if placed.activation != teacher.activation else "" for placed in found}
    return [replace(placed.block, activation=own[placed]) for placed in found if isinstance(placed.block, BlockSpec)]


def _choices(
    block: BlockSpec, in_filters: int, kernel_sizes: Sequence[int], expansion_shares: Sequence[float]
) -> Iterator[BlockSpec]:
    yield block
    if block.op in ("sepconv", *EXPANDING):
        ratios = [block.expand_ratio]
        if block.op in EXPANDING:
            ratios = [_expanded(block.expand_ratio, share) for share in expansion_shares]
        for ratio in sorted({ratio for ratio in ratios if ratio >= 1}):
            for form in _forms(block, kernel_sizes):
                if form.op == "fused_mbconv" and ratio == 1:
                    continue  # that would be a conv
                for se_ratio in dict.fromkeys([block.se_ratio, 0]):
                    yield replace(form, expand_ratio=ratio, se_ratio=se_ratio)
    elif block.op == "conv":
        yield from (replace(block, kernel_size=size) for size in kernel_sizes if block.kernel_size > 1)
    if block.stride == 1 and block.filters == in_filters and block.skip == "identity":
        yield BlockSpec("identity", 1, 1, 1, block.filters)


def _forms(block: BlockSpec, kernel_sizes: Sequence[int]) -> Iterator[BlockSpec]:
    """The kernels and depthwise convolutions that a block may have instead of its own, at any expansion ratio."""
    if block.op in ("sepconv", "mbconv"):
        yield from (replace(block, op="mbconv", kernel_size=size) for size in kernel_sizes)
    elif block.op == "fused_mbconv":
        yield from (replace(block, kernel_size=size) for size in kernel_sizes)
        yield from (replace(block, op="mbconv", kernel_size=size) for size in kernel_sizes)
    else:
        middles = kernel_sizes if block.kernel_size else (0,)
        starts = dict.fromkeys([block.start_kernel_size, 0])
        for start, middle in product(starts, middles):
            if start or middle or block.stride == 1:
                yield replace(block, kernel_size=middle, start_kernel_size=start)


def _expanded(ratio: float, share: float) -> float:
    """A share of the teacher's ratio, to two digits so that block strings stay short; all of it is left as it is."""
    return ratio if share == 1 else round(ratio * share, 2)
