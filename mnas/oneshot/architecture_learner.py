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
from mnas.errors import MnasError
from mnas.oneshot.trainer import SupernetTrainer
from mnas.random_streams import Stream, generator
from mnas.space.costs import SpaceCosts
from mnas.space.space import SearchSpace
from mnas.system.arrays import Arrays

Target = tuple[SpaceCosts, float]

Vector = npt.NDArray[np.float32]
SECOND_DECAY, EPSILON = 0.999, 1e-8


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


class Logits:
    """One logit a choice, all decisions one after the other, moved by Adam (Kingma and Ba 2015, algorithm 1).

    Args:
        space: whose decisions.
        learning_rate: Adam's.
        first_decay: Adam's beta1; TuNAS takes 0.

    Attributes:
        values: the logits, float32 (choices of all decisions,).
        counts: choices of every decision.
        updates: how many there were.
    """

    def __init__(self, space: SearchSpace, *, learning_rate: float, first_decay: float = 0.9) -> None:
        self.counts = [len(decision.choices) for decision in space.decisions]
        self.updates = 0
        self._learning_rate, self._first_decay = learning_rate, first_decay
        self.values, self._mean, self._square = (np.zeros(sum(self.counts), np.float32) for _ in range(3))

    def probabilities(self) -> list[npt.NDArray[np.float64]]:
        """Of every decision's choices."""
        logits = np.split(self.values.astype(np.float64), np.cumsum(self.counts)[:-1])
        shares = [np.exp(own - own.max()) for own in logits]
        return [own / own.sum() for own in shares]

    def descend(self, gradient: npt.NDArray[Any]) -> None:
        """One step against a gradient.

        Raises:
            MnasError: if the gradient is not finite.
        """
        if not np.isfinite(gradient).all():
            raise MnasError(f"the architecture's gradient is not finite at update {self.updates}")
        self.updates += 1
        first = self._first_decay
        self._mean = np.float32(first) * self._mean + np.float32(1 - first) * gradient.astype(np.float32)
        square = gradient.astype(np.float32) ** 2
        self._square = np.float32(SECOND_DECAY) * self._square + np.float32(1 - SECOND_DECAY) * square
        mean = self._mean / (1 - first**self.updates)
        spread = np.sqrt(self._square / (1 - SECOND_DECAY**self.updates)) + EPSILON
        self.values = (self.values - self._learning_rate * mean / spread).astype(np.float32)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Logits, Adam's moments, the number of updates."""
        moments = {"logits": self.values, "mean": self._mean, "square": self._square}
        return {**moments, "updates": np.array(self.updates)}

    def restore(self, arrays: Arrays) -> None:
        """Put back what `state` gave.

        Raises:
            MnasError: if it is something else.
        """
        vectors = [arrays.get(name) for name in ("logits", "mean", "square")]
        found = [vector for vector in vectors if vector is not None and vector.shape == self.values.shape]
        if len(found) < 3 or "updates" not in arrays or arrays["updates"].shape:
            raise MnasError("the checkpoint's architecture logits are missing or damaged: delete it to train anew")
        self.values, self._mean, self._square = found
        self.updates = int(arrays["updates"])
