"""How a block library is built."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from mnas.checks import check_fields


@dataclass(frozen=True, slots=True)
class LibraryOptions:
    """How a library is built.

    Attributes:
        steps: training steps of an alternative.
        batch_size: images per step; a quarter of them where activations are large.
        learning_rate: of Adam, at the first step; it falls to 0 as a cosine.
        seed: of the order of images and of weights that are drawn.
    """

    steps: Annotated[int, Meta(ge=1, le=1_000_000)] = 60
    batch_size: Annotated[int, Meta(ge=2, le=4096)] = 32
    learning_rate: Annotated[float, Meta(ge=1e-8, le=1)] = 2e-3
    seed: Annotated[int, Meta(ge=0, le=10**18)] = 0

    def __post_init__(self) -> None:
        check_fields(self)

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * step / self.steps))
