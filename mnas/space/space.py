"""A search space: an ordered list of decisions, stage by stage."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from mnas.arch.spec import Architecture, StageSpec
from mnas.arch.walk import PlacedBlock, unroll
from mnas.errors import InputError
from mnas.space.stages import Decision, Stage, StageBlocks, StageChoices

MOST_STAGES = 100


@dataclass(frozen=True)
class SearchSpace:
    """An ordered list of decisions. `encode` and `decode` are a bijection between indices and architectures."""

    name: str
    stages: tuple[Stage, ...]
    stem_filters: int = 32
    stem_stride: int = 2
    head_filters: int = 1280
    resolution: int = 224
    num_classes: int = 1000
    activation: str = "relu"
    dropout: float = 0.2

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(self.stages))
        if not isinstance(self.name, str) or not self.name.isprintable() or not 1 <= len(self.name) <= 100:
            raise InputError(f"a space needs a name of 1 to 100 characters; got {str(self.name)[:100]!r}")
        if not 1 <= len(self.stages) <= MOST_STAGES:
            raise InputError(f"the space {self.name} has {len(self.stages)} stages: expected 1 to {MOST_STAGES}")
        self.decode([0] * len(self.decisions))  # making one architecture checks the fixed fields

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """All stages' decisions in order, with the stage in the name, e.g. `stage3.kernel_size`."""
        return tuple(
            Decision(f"stage{number}.{decision.name}", decision.choices)
            for number, stage in enumerate(self.stages, 1)
            for decision in stage.decisions
        )

    @property
    def size(self) -> int:
        """The number of architectures."""
        return math.prod(len(decision.choices) for decision in self.decisions)

    def decode(self, indices: Sequence[int]) -> Architecture:
        """Return the architecture of the indices, one per decision.

        Raises:
            InputError: for a wrong number of indices, or one out of range.
        """
        if len(indices) != len(self.decisions):
            raise InputError(f"expected {len(self.decisions)} indices for {self.name}; got {len(indices)}")
        values = []
        for decision, index in zip(self.decisions, indices, strict=True):
            if not 0 <= index < len(decision.choices):
                raise InputError(f"{decision.name} has {len(decision.choices)} choices; got index {index}")
            values.append(decision.choices[index])
        rest = iter(values)
        return self._architecture(tuple(s.stage(tuple(islice(rest, len(s.decisions)))) for s in self.stages))

    def _architecture(self, stages: tuple[StageSpec, ...]) -> Architecture:
        return Architecture(
            stages=stages,
            stem_filters=self.stem_filters,
            head_filters=self.head_filters,
            resolution=self.resolution,
            num_classes=self.num_classes,
            activation=self.activation,
            dropout=self.dropout,
            stem_stride=self.stem_stride,
        )

    def encode(self, architecture: Architecture) -> tuple[int, ...]:
        """The inverse of `decode`.

        Raises:
            InputError: for an architecture outside the space, with the first difference.
        """
        if len(architecture.stages) != len(self.stages):
            raise InputError(
                f"{self.name} has {len(self.stages)} stages; the architecture has {len(architecture.stages)}"
            )
        if self._architecture(architecture.stages) != architecture:
            raise InputError(f"stem, head, resolution, classes or activation are not those of {self.name}")
        indices: list[int] = []
        for number, (choices, stage) in enumerate(zip(self.stages, architecture.stages, strict=True), 1):
            if stage.block.stride != choices.stride:
                raise InputError(f"stage{number} has stride {stage.block.stride}; {self.name} has {choices.stride}")
            for decision, value in zip(choices.decisions, choices.values(stage), strict=True):
                options = decision.choices
                if value not in options:
                    raise InputError(f"stage{number}.{decision.name} is {value!r}; {self.name} has {list(options)}")
                indices.append(options.index(value))
        return tuple(indices)

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Sample an architecture, uniformly in every decision."""
        return self.decode([int(rng.integers(len(decision.choices))) for decision in self.decisions])

    def mutate(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        """Change one decision that has more than one choice to another of its choices.

        Raises:
            InputError: if the space has only one architecture.
        """
        indices = list(self.encode(architecture))
        free = [i for i, decision in enumerate(self.decisions) if len(decision.choices) > 1]
        if not free:
            raise InputError(f"{self.name} has only one architecture: there is nothing to mutate")
        chosen = free[int(rng.integers(len(free)))]
        others = len(self.decisions[chosen].choices) - 1
        indices[chosen] = (indices[chosen] + 1 + int(rng.integers(others))) % (others + 1)
        return self.decode(indices)

    def crossover(self, first: Architecture, second: Architecture, rng: np.random.Generator) -> Architecture:
        """Take every decision from one of two parents with equal probability."""
        pairs = zip(self.encode(first), self.encode(second), strict=True)
        return self.decode([pair[int(rng.integers(2))] for pair in pairs])

    def with_data(self, *, num_classes: int | None = None, resolution: int | None = None) -> SearchSpace:
        """Return the same choices for another number of classes or input size."""
        return replace(
            self,
            num_classes=self.num_classes if num_classes is None else num_classes,
            resolution=self.resolution if resolution is None else resolution,
        )

    def placed_blocks(self) -> tuple[PlacedBlock, ...]:
        """Return the different placed blocks of all architectures, in the order of the walk."""
        found: dict[PlacedBlock, None] = {}
        before: tuple[int | None, ...] = (None,)
        for position, choices in enumerate(self.stages):
            for filters in before:
                for values in choices.combinations():
                    for block in self.stage_walk(position, filters, choices.stage(values)):
                        found.setdefault(block)
            before = choices.filters
        stem, heads = self.ends()
        return tuple(dict.fromkeys([stem, *found, *(block for head in heads for block in head)]))

    def ends(self) -> tuple[PlacedBlock, list[tuple[PlacedBlock, ...]]]:
        """Return the stem, and for each choice of the last stage's filters the blocks after the stages."""
        before = self.decode([0] * len(self.decisions)).stages[:-1]
        last = [self.stages[-1].stage(values) for values in self.stages[-1].combinations()]
        ways = [next(stage for stage in last if stage.block.filters == count) for count in self.stages[-1].filters]
        walks = [unroll(self._architecture((*before, stage))) for stage in ways]
        tail = 2 if self.head_filters else 1
        return walks[0][0], [walk[-tail:] for walk in walks]

    def stage_walk(self, position: int, in_filters: int | None, stage: StageSpec) -> tuple[PlacedBlock, ...]:
        """Return one stage's placed blocks, given the filters of the previous stage (None for the stem's)."""
        strides = [choices.stride for choices in self.stages[:position]]
        size = self.resolution
        for stride in (self.stem_stride, *strides):
            size = -(-size // stride)
        filters = self.stem_filters if in_filters is None else in_filters
        alone = Architecture((stage,), filters, 0, size, 2, self.activation, stem_stride=1)
        return unroll(alone)[1:-1]

    def to_dict(self) -> dict[str, Any]:
        """Plain data; `SearchSpace.from_dict` reads it back."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]

    @staticmethod
    def from_dict(data: Any) -> SearchSpace:
        """The inverse of `to_dict`.

        Raises:
            InputError: for missing, unknown or wrong fields.
        """
        try:
            stages = tuple((StageBlocks if "blocks" in stage else StageChoices)(**stage) for stage in data["stages"])
            return SearchSpace(**{**data, "stages": stages})
        except (TypeError, KeyError, AttributeError) as error:
            raise InputError(f"not a search space: {error}") from None

    @property
    def fingerprint(self) -> str:
        """A hash of everything that defines the space; equal for equal spaces."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()
