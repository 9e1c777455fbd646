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

from mnas.arch.memory import check_strides
from mnas.arch.spec import Architecture, StageSpec
from mnas.arch.walk import PlacedBlock, unroll
from mnas.checks import check_integer
from mnas.errors import InputError
from mnas.space.stages import Decision, Stage, StageBlocks, StageChoices

MOST_STAGES = 100
MOST_RESOLUTIONS = 50


@dataclass(frozen=True)
class SearchSpace:
    """An ordered list of decisions. `encode` and `decode` are a bijection between indices and architectures.

    Attributes:
        name: of the space.
        stages: their decisions come first.
        resolution: side of the input in pixels; the largest one if there are several.
        resolutions: two or more sizes to choose from, in pixels: the last decision is then `resolution`, with the
            largest first. One alone is the same as `resolution`.
        stem_filters, stem_stride, head_filters, num_classes, activation, dropout, pooled_filters, pooled_norm: as in
            `Architecture`.
    """

    name: str
    stages: tuple[Stage, ...]
    stem_filters: int = 32
    stem_stride: int = 2
    head_filters: int = 1280
    resolution: int = 224
    num_classes: int = 1000
    activation: str = "relu"
    dropout: float = 0.2
    resolutions: tuple[int, ...] = ()
    pooled_filters: int = 0
    pooled_norm: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(stage.within(self.activation) for stage in self.stages))
        if not isinstance(self.name, str) or not self.name.isprintable() or not 1 <= len(self.name) <= 100:
            raise InputError(f"a space needs a name of 1 to 100 characters; got {str(self.name)[:100]!r}")
        if not 1 <= len(self.stages) <= MOST_STAGES:
            raise InputError(f"the space {self.name} has {len(self.stages)} stages: expected 1 to {MOST_STAGES}")
        self._set_resolutions()
        self.decode([0] * len(self.decisions))  # making one architecture checks the fixed fields
        for size in self.resolutions:
            check_strides(self.at(size).decode([0] * (len(self.decisions) - 1)))

    def _set_resolutions(self) -> None:
        """Check the resolutions, and put the largest first; a single one is the resolution."""
        if not isinstance(self.resolutions, Sequence) or isinstance(self.resolutions, str):
            raise InputError(f"resolutions is {self.resolutions!r}: expected a list of sizes in pixels")
        for size in self.resolutions:
            check_integer("a resolution", size, 1, 8192)
        sizes = tuple(sorted(self.resolutions, reverse=True))
        if len(set(sizes)) < len(sizes) or len(sizes) > MOST_RESOLUTIONS:
            raise InputError(
                f"resolutions is {str(list(self.resolutions))[:100]}: expected at most {MOST_RESOLUTIONS}, each once"
            )
        object.__setattr__(self, "resolutions", sizes if len(sizes) > 1 else ())
        if sizes:
            object.__setattr__(self, "resolution", sizes[0])

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """All stages' decisions in order, with the stage in the name, e.g. `stage3.kernel_size`; then `resolution`."""
        of_stages = tuple(
            Decision(f"stage{number}.{decision.name}", decision.choices)
            for number, stage in enumerate(self.stages, 1)
            for decision in stage.decisions
        )
        return (*of_stages, Decision("resolution", self.resolutions)) if self.resolutions else of_stages

    @property
    def input_sizes(self) -> tuple[int, ...]:
        """Every resolution of its networks in pixels, the largest first."""
        return self.resolutions or (self.resolution,)

    def at(self, resolution: int) -> SearchSpace:
        """Return the same stages at a single resolution."""
        return replace(self, resolution=resolution, resolutions=())

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
        stages = tuple(stage.stage(tuple(islice(rest, len(stage.decisions)))) for stage in self.stages)
        return self._architecture(stages, next(rest, self.resolution))

    def _architecture(self, stages: tuple[StageSpec, ...], resolution: int) -> Architecture:
        return Architecture(
            stages=stages,
            stem_filters=self.stem_filters,
            head_filters=self.head_filters,
            resolution=resolution,
            num_classes=self.num_classes,
            activation=self.activation,
            dropout=self.dropout,
            stem_stride=self.stem_stride,
            pooled_filters=self.pooled_filters,
            pooled_norm=self.pooled_norm,
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
        resolution = architecture.resolution
        if self.resolutions and resolution not in self.resolutions:
            raise InputError(f"the architecture has {resolution} px; {self.name} has {list(self.resolutions)}")
        expected = resolution if self.resolutions else self.resolution
        if self._architecture(architecture.stages, expected) != architecture:
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
        return (*indices, self.resolutions.index(resolution)) if self.resolutions else tuple(indices)

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Sample an architecture, uniformly in every decision."""
        return self.decode(self.sample_indices(rng))

    def sample_indices(self, rng: np.random.Generator) -> list[int]:
        """Sample one index for each decision, as `sample` does."""
        return [int(rng.integers(len(decision.choices))) for decision in self.decisions]

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

    def with_data(
        self,
        *,
        num_classes: int | None = None,
        resolution: int | None = None,
        resolutions: Sequence[int] | None = None,
    ) -> SearchSpace:
        """Return the same stages for another number of classes or other input sizes.

        Args:
            num_classes: of the data.
            resolution: the only one, also of a space that had several.
            resolutions: sizes to choose from, in place of the space's.

        Raises:
            InputError: for both a resolution and several, or one that the strides reduce to nothing.
        """
        if resolution is not None and resolutions is not None:
            raise InputError(f"got the resolution {resolution} and the list {list(resolutions)}: expected one of them")
        changed = self if resolution is None else self.at(resolution)
        return replace(
            changed,
            num_classes=self.num_classes if num_classes is None else num_classes,
            resolutions=changed.resolutions if resolutions is None else tuple(resolutions),
        )

    def placed_blocks(self) -> tuple[PlacedBlock, ...]:
        """Return the different placed blocks of all architectures, in the order of the walk."""
        found: dict[PlacedBlock, None] = {}
        for resolution in self.input_sizes:
            stem, heads = self.ends(resolution)
            found.setdefault(stem)
            before: tuple[int | None, ...] = (None,)
            for position, choices in enumerate(self.stages):
                for filters in before:
                    for values in choices.combinations():
                        for block in self.stage_walk(position, filters, choices.stage(values), resolution):
                            found.setdefault(block)
                before = choices.filters
            found.update(dict.fromkeys(block for head in heads for block in head))
        return tuple(found)

    def ends(self, resolution: int | None = None) -> tuple[PlacedBlock, list[tuple[PlacedBlock, ...]]]:
        """Return the stem, and for each choice of the last stage's filters the blocks after the stages.

        Args:
            resolution: of the input in pixels; the space's (largest) by default.
        """
        before = self.decode([0] * len(self.decisions)).stages[:-1]
        last = [self.stages[-1].stage(values) for values in self.stages[-1].combinations()]
        ways = [next(stage for stage in last if stage.block.filters == count) for count in self.stages[-1].filters]
        walks = [unroll(self._architecture((*before, stage), resolution or self.resolution)) for stage in ways]
        tail = 2 if self.head_filters else 1
        return walks[0][0], [walk[-tail:] for walk in walks]

    def stage_walk(
        self, position: int, in_filters: int | None, stage: StageSpec, resolution: int | None = None
    ) -> tuple[PlacedBlock, ...]:
        """Return one stage's placed blocks.

        Args:
            position: of the stage, from 0.
            in_filters: of the previous stage; None for the stem's.
            stage: what was chosen for it.
            resolution: of the network's input in pixels; the space's (largest) by default.
        """
        strides = [choices.stride for choices in self.stages[:position]]
        size = resolution or self.resolution
        for stride in (self.stem_stride, *strides):
            size = -(-size // stride)
        filters = self.stem_filters if in_filters is None else in_filters
        alone = Architecture((stage,), filters, 0, size, 2, self.activation, stem_stride=1)
        return unroll(alone)[1:-1]

    def to_dict(self) -> dict[str, Any]:
        """Plain data; `SearchSpace.from_dict` reads it back."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        if not self.resolutions:
            del plain["resolutions"]  # so that a space of one resolution keeps its fingerprint
        later = {"pooled_filters": 0, "pooled_norm": True, "activation": "", "hard_se": False}
        for part in (plain, *plain["stages"]):
            for name in [name for name, default in later.items() if part.get(name) == default]:
                del part[name]  # for the same reason
        return plain

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
