"""What learns an architecture's logits beside a supernet's weights: what differentiable search and TuNAS share."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from mnas.data.batches import Batches
from mnas.data.dataset import Split
from mnas.random_streams import Stream, generator
from mnas.space.costs import SpaceCosts
from mnas.space.space import SearchSpace
from mnas.system.arrays import Arrays
from mnas.train.logits import Logits
from mnas.train.weight_sharing import SupernetTrainer

Target = tuple[SpaceCosts, float]


class LearnerRecipe(Protocol):
    """What the recipes of all learners say; they are dataclasses."""

    @property
    def steps(self) -> int:
        """Of the supernet's training."""

    @property
    def batch_size(self) -> int:
        """Images an update."""

    @property
    def seed(self) -> int:
        """Of what chance decides."""

    def due(self, step: int) -> bool:
        """Whether the logits learn after this step of the weights."""


R = TypeVar("R", bound=LearnerRecipe)


class LogitsLearner(ABC, Generic[R]):
    """The logits of a space's decisions, and what a supernet's trainer asks of its `Companion`.

    Args:
        space: what is searched.
        split: the images; the weights must be trained on others.
        recipe: how the logits learn.
        targets: pairs of a latency table's costs and its budget.
        logits: freshly made.
    """

    kind = ""
    traced: tuple[str, ...] = ()  # attributes that hold what is traced

    def __init__(self, space: SearchSpace, split: Split, recipe: R, targets: Sequence[Target], logits: Logits) -> None:
        self.space, self.recipe = space, recipe
        chance = partial(generator, recipe.seed, Stream.SUPERNET_BATCHES)
        self._batches = Batches(split, recipe.batch_size, chance)
        self._budgets = [budget for _, budget in targets]
        self._logits = logits

    def __getstate__(self) -> dict[str, Any]:
        """Without what is traced, for workers in other processes."""
        return {**self.__dict__, **dict.fromkeys(self.traced)}

    def describe(self) -> dict[str, Any]:
        """The recipe and the budgets."""
        return {"kind": self.kind, **asdict(self.recipe), "budgets": self._budgets}  # type: ignore[call-overload]

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """As `Logits.state`."""
        return self._logits.state()

    def restore(self, arrays: Arrays) -> None:
        """As `Logits.restore`."""
        self._logits.restore(arrays)

    def policy(self) -> list[npt.NDArray[np.float64]]:
        """The probabilities of every decision's choices."""
        return self._logits.probabilities()

    @abstractmethod
    def after_step(self, trainer: SupernetTrainer, step: int) -> None:
        """One update of the logits, where one is due.

        Raises:
            MnasError: if it diverges.
        """

    @abstractmethod
    def _rehearse(self, trainer: SupernetTrainer) -> None:
        """What an update computes, without learning from it."""

    def estimate_seconds(self, trainer: SupernetTrainer) -> float:
        """How long all updates will take: tracing and one more update are measured; nothing is learnt from them."""
        stamps = [time.perf_counter()]
        for _ in range(2):
            self._rehearse(trainer)
            stamps.append(time.perf_counter())
        updates = sum(map(self.recipe.due, range(self.recipe.steps)))
        return stamps[1] - stamps[0] + updates * (stamps[2] - stamps[1])
