"""How a supernet is trained, as plain data."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from mnas.checks import check_integer, check_number
from mnas.oneshot.path_sampling import check_sampling


@dataclass(frozen=True, slots=True)
class SupernetRecipe:
    """How a supernet is trained: SGD with Nesterov momentum, warm-up over a tenth of the steps, cosine decay to zero.

    Attributes:
        steps: updates.
        batch_size: images a step.
        num_paths: architectures a step, all on the same images; their gradients are averaged.
        sampling: uniform, fair or sandwich; see `PathSampler`. With the sandwich rule the smaller paths learn from the
            largest one's answers (in-place distillation): from the labels at first, from nothing else in the end.
            From answers alone, as in BigNAS, short trainings learn next to nothing: the teacher knows nothing yet.
        learning_rate: at its peak, for a batch of 96; scaled linearly with the batch size.
        weight_decay: on the kernels that a step uses.
        clip_norm: the gradient is scaled down to this norm.
        seed: of the weights, the paths and the order of images.
    """

    steps: int = 1000
    batch_size: int = 96
    num_paths: int = 1
    sampling: str = "fair"
    learning_rate: float = 0.1
    weight_decay: float = 1e-4
    clip_norm: float = 5.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_integer("steps", self.steps, 1, 100_000_000)
        check_integer("batch_size", self.batch_size, 2, 65536)
        check_number("learning_rate", self.learning_rate, 1e-8, 100)
        check_number("clip_norm", self.clip_norm, 1e-6, 1e9)
        check_sampling(self.sampling, self.num_paths)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as studies and checkpoints have it since there were two more ways to begin."""
        return {**asdict(self), "stage_warm_up": False, "operation_warm_up": False}

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        peak = self.learning_rate * self.batch_size / 96
        warm_up = max(1, self.steps // 10)
        if step < warm_up:
            return peak * (step + 1) / warm_up
        return peak * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, self.steps - warm_up)))
