"""One stage of a search space: MnasNet's six decisions, or one decision over whole blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Annotated, Any, Literal

from msgspec import Meta

from mnas.arch.codec import format_stage, parse_stage
from mnas.arch.spec import BlockSpec, StageSpec
from mnas.arch.text import ACTIVATION_TOKENS, format_number
from mnas.checks import check_fields
from mnas.errors import InputError

MOST_COMBINATIONS = 20_000  # of one stage: the cost of each is computed when a search starts
_EXPANDING = ("mbconv", "fused_mbconv")  # a uib has two kernel sizes: its spaces are lists of blocks
FIELDS = ("op", "kernel_size", "se_ratio", "skip", "filters", "repeats")


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision: its name, e.g. `stage3.kernel_size`, and its choices."""

    name: str
    choices: tuple[Any, ...]


@dataclass(frozen=True)
class StageChoices:
    """The choices of one stage. `op` is conv, sepconv, or mbconv6 and fused_mbconv4, with a ratio.

    `activation` and `hard_se` are those of every choice, see `BlockSpec`.
    """

    stride: Annotated[int, Meta(ge=1, le=2)]
    op: tuple[str, ...]
    kernel_size: tuple[Annotated[int, Meta(ge=1, le=31)], ...]
    se_ratio: tuple[Annotated[int, Meta(ge=0, le=64)] | Annotated[float, Meta(ge=0, le=64)], ...]
    skip: tuple[Literal["none", "identity", "pool"], ...]
    filters: tuple[Annotated[int, Meta(ge=1, le=65536)], ...]
    repeats: tuple[Annotated[int, Meta(ge=1, le=1000)], ...]
    activation: str = ""
    hard_se: bool = False

    def __post_init__(self) -> None:
        for field in FIELDS:
            choices = tuple(getattr(self, field))
            object.__setattr__(self, field, choices)
            if not choices or len(set(choices)) != len(choices):
                raise InputError(f"{field} is {list(choices)}: expected one or more different choices")
        check_fields(self)
        if math.prod(len(getattr(self, field)) for field in FIELDS) > MOST_COMBINATIONS:
            raise InputError(f"the choices multiply to more than {MOST_COMBINATIONS:,} stages: remove some")
        for op in self.op:
            split_op(op)
        for values in self.combinations():
            self.stage(values)  # raises if a choice is not a valid block: when the space is made, not in a search

    def within(self, activation: str) -> StageChoices:
        """Return the same choices without an activation if it is the network's own."""
        return replace(self, activation="") if self.activation == activation else self

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """Six, in order: op, kernel size, SE ratio, skip, filters, repeats."""
        return tuple(Decision(field, getattr(self, field)) for field in FIELDS)

    def combinations(self) -> Iterator[tuple[Any, ...]]:
        """All values of the six decisions, the last changing fastest."""
        return product(*(decision.choices for decision in self.decisions))

    def stage(self, values: Sequence[Any]) -> StageSpec:
        """Return the stage for six chosen values."""
        op, kernel_size, se_ratio, skip, filters, repeats = values
        name, expand_ratio = split_op(op)
        block = BlockSpec(
            name,
            kernel_size,
            self.stride,
            expand_ratio,
            filters,
            se_ratio,
            skip,
            activation=self.activation,
            hard_se=self.hard_se,
        )
        return StageSpec(block, repeats)

    def values(self, stage: StageSpec) -> tuple[Any, ...]:
        """The inverse of `stage`.

        Raises:
            InputError: for an activation or a kind of squeeze-and-excitation that no choice has.
        """
        block = stage.block
        if block.activation != self.activation or (block.se_ratio and block.hard_se != self.hard_se):
            raise InputError(f"{format_stage(stage)}: its activation or kind of squeeze-and-excitation is no choice")
        return (join_op(block), block.kernel_size, block.se_ratio, block.skip, block.filters, stage.repeats)


def split_op(op: str) -> tuple[str, float]:
    """Split `mbconv6` into ("mbconv", 6); `conv` into ("conv", 1).

    Raises:
        InputError: for anything else.
    """
    if op in ("conv", "sepconv"):
        return op, 1
    name = next((name for name in _EXPANDING if str(op).startswith(name)), None)
    try:
        ratio = math.nan if name is None else float(op.removeprefix(name))
    except ValueError:
        ratio = math.nan
    if name is None or not 1 < ratio <= 64:
        raise InputError(
            f"op is {op!r}: expected conv, sepconv, or mbconv or fused_mbconv with an expansion ratio such as mbconv6"
        )
    return name, ratio


def join_op(block: BlockSpec) -> str:
    """The inverse of `split_op`."""
    return f"{block.op}{format_number(block.expand_ratio)}" if block.op in _EXPANDING else block.op


@dataclass(frozen=True)
class StageBlocks:
    """A stage of one decision over whole blocks, for spaces whose choices are not a product.

    Attributes:
        blocks: block strings, e.g. `ir_r1_k3_s1_e3_c64`, all of the same stride; `id_r1_k1_s1_c64` is no stage.
    """

    blocks: tuple[str, ...]

    def __post_init__(self) -> None:
        if isinstance(self.blocks, str) or not self.blocks:
            raise InputError(f"blocks is {self.blocks!r}: expected a list of block strings")
        object.__setattr__(self, "blocks", tuple(format_stage(parse_stage(text)) for text in self.blocks))
        if len(self._stages) != len(self.blocks):
            raise InputError(f"blocks is {list(self.blocks)}: expected different blocks")
        if len({stage.block.stride for stage in self._stages.values()}) > 1:
            raise InputError(f"blocks is {list(self.blocks)}: expected the same stride in all of them")

    @cached_property
    def _stages(self) -> dict[str, StageSpec]:
        return {text: parse_stage(text) for text in self.blocks}

    @property
    def stride(self) -> int:
        """The stride of every choice."""
        return self._stages[self.blocks[0]].block.stride

    @property
    def filters(self) -> tuple[int, ...]:
        """The different numbers of filters that the choices end with."""
        return tuple(dict.fromkeys(stage.block.filters for stage in self._stages.values()))

    def within(self, activation: str) -> StageBlocks:
        """Return the same blocks, without activations that are the network's own."""
        if not activation or all(stage.block.activation != activation for stage in self._stages.values()):
            return self
        token = f"_{ACTIVATION_TOKENS[activation]}"
        return StageBlocks(tuple(text.replace(token, "") for text in self.blocks))

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """One: block."""
        return (Decision("block", self.blocks),)

    def combinations(self) -> Iterator[tuple[Any, ...]]:
        """Every block, as the only value of the only decision."""
        return ((text,) for text in self.blocks)

    def stage(self, values: Sequence[Any]) -> StageSpec:
        """Return the stage of the chosen block."""
        (text,) = values
        return self._stages[text]

    def values(self, stage: StageSpec) -> tuple[Any, ...]:
        """The inverse of `stage`."""
        return (format_stage(stage),)


Stage = StageChoices | StageBlocks
