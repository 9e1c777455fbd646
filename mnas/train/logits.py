"""The logits of a space's decisions: probabilities, Adam, and what a checkpoint keeps of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.errors import MnasError
from mnas.space.space import SearchSpace
from mnas.system.arrays import Arrays

Vector = npt.NDArray[np.float32]
SECOND_DECAY, EPSILON = 0.999, 1e-8


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
