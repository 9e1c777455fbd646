"""How a network is trained: plain data, and the numbers that follow from it."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from mnas.arch.spec import check_choice, check_integer, check_number
from mnas.errors import InputError

OPTIMIZERS = ("sgd", "rmsprop", "adam")
# What a mirror image turns into something else.
NOT_MIRRORED = ("digits",)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A short recipe for small data. Warm-up, then cosine decay to nothing.

    Attributes:
        epochs: passes over the training split.
        batch_size: images a step; never more than there are.
        optimizer: sgd (Nesterov momentum 0.9), rmsprop (decay 0.9, momentum 0.9) or adam.
        learning_rate: at its peak.
        warmup_share: share of the steps in which the learning rate rises.
        weight_decay: decoupled, on kernels only.
        label_smoothing: share of the target spread over all classes.
        clip_norm: gradients with a larger global norm are scaled down to it.
        flip: mirror half of the images.
        shift: move images by up to this share of their side.
    """

    epochs: int = 10
    batch_size: int = 128
    optimizer: str = "adam"
    learning_rate: float = 0.004
    warmup_share: float = 0.1
    weight_decay: float = 1e-4
    label_smoothing: float = 0.1
    clip_norm: float = 5.0
    flip: bool = True
    shift: float = 0.08

    def __post_init__(self) -> None:
        check_integer("epochs", self.epochs, 1, 100_000)
        check_integer("batch_size", self.batch_size, 2, 65536)
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_number("learning_rate", self.learning_rate, 1e-9, 100)
        check_number("warmup_share", self.warmup_share, 0, 0.9)
        check_number("weight_decay", self.weight_decay, 0, 1)
        check_number("label_smoothing", self.label_smoothing, 0, 0.9)
        check_number("clip_norm", self.clip_norm, 1e-6, 1e6)
        check_number("shift", self.shift, 0, 0.5)
        if not isinstance(self.flip, bool):
            raise InputError(f"flip is {self.flip!r}: expected true or false")

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return dataclasses.asdict(self)

    def learning_rate_at(self, step: int, steps: int) -> float:
        """The learning rate of one step of `steps`: linear warm-up, then half a cosine down to 0."""
        warmup = int(self.warmup_share * steps)
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def batch_norm_momentum(steps: int) -> float:
    """The published 0.99 needs hundreds of steps to forget where it started; short training gets 0.9."""
    return 0.9 if steps < 2000 else 0.97 if steps < 20000 else 0.99


def recipe_for(data: str, **knobs: Any) -> Recipe:
    """The default recipe for a data set, with some knobs set.

    Raises:
        InputError: for a value out of range.
    """
    return dataclasses.replace(Recipe(flip=data not in NOT_MIRRORED), **knobs)
