"""The base class of evaluators: from an architecture to an accuracy."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.arch.spec import Architecture
from mnas.errors import InputError

OnProgress = Callable[[float, str], None]


class Evaluator(ABC):
    """Evaluates candidates.

    A pure function of the architecture and of the evaluator's settings (data, budget, seed): the same candidate always
    gets the same accuracy, in any process and in any order.
    """

    is_additive = False  # whether the accuracy is a sum over the space's decisions: see `additive_scores`

    @abstractmethod
    def accuracy(self, architecture: Architecture) -> float:
        """Return the accuracy on the validation split, 0 to 1; never on the test split.

        Raises:
            MnasError: if the evaluation fails; the search records a failed trial and continues.
        """

    @property
    def num_rungs(self) -> int:
        """The number of accuracies that `rungs` yields."""
        return 1

    def rungs(self, architecture: Architecture) -> Generator[float, None, None]:
        """Yield accuracies during one training; the last one is the result of `accuracy`.

        The caller stops an unpromising candidate by reading no further. By default there is one rung.
        """
        yield self.accuracy(architecture)

    def for_finalists(self, steps: int) -> Evaluator | None:
        """Return an evaluator that trains finalists for this many steps; None keeps the search's own accuracies."""
        return None

    def with_seed(self, seed: int) -> Evaluator | None:
        """Return this evaluator with other random numbers; None if it uses none."""
        return None

    def additive_scores(self) -> list[npt.NDArray[np.float64]]:
        """Return the accuracy as a sum over decisions, where `is_additive`; available after `prepare`.

        Returns:
            For each decision of the space, one number per choice, shape (choices,). `accuracy` is their sum, within 0
            and 1.

        Raises:
            InputError: if it is no such sum.
        """
        raise InputError(f"the accuracy of {type(self).__name__} is not a sum over the space's decisions")

    def trust(self) -> dict[str, float]:
        """Return how far its accuracies can be trusted: `margin`, half of a 90 % interval, and `tau`; {} if unknown."""
        return {}

    def trained_folder(self, architecture: Architecture) -> Path | None:
        """Return the folder that an evaluated network's weights are kept in; by default they are not kept."""
        return None

    def for_confirmation(self) -> Evaluator | None:
        """Return a slower and better evaluator for the best candidates, before finalists are chosen; None for none."""
        return None

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return its kind and settings as plain data for the study file."""

    def prepare(self, on_progress: OnProgress = lambda share, what: None) -> None:  # noqa: B027  most need nothing
        """Prepare once, before the first candidate; a second call does nothing. By default there is nothing to do.

        Args:
            on_progress: called with the share done, 0 to 1, and a description of the current work.

        Raises:
            MnasError: if it fails: then no candidate can be evaluated.
        """

    def report_to(self, on_progress: OnProgress) -> None:  # noqa: B027  most evaluations are short
        """Tell a function how far a long evaluation is: the share done, 0 to 1, and the current work in words."""

    def estimate_preparation_seconds(self) -> float:
        """Estimate the seconds that `prepare` will take, from a few measured steps."""
        return 0.0

    def estimate_seconds(self, architecture: Architecture) -> float:
        """Estimate the seconds that `accuracy` will take. By default one whole evaluation is timed."""
        start = time.perf_counter()
        self.accuracy(architecture)
        return time.perf_counter() - start
