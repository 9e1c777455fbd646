"""What every evaluator is: from an architecture to an accuracy."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from typing import Any

from mnas.arch.spec import Architecture

OnProgress = Callable[[float, str], None]


class Evaluator(ABC):
    """Judges a candidate.

    A pure function of the architecture and of what the evaluator was made with (data, budget, seed): the same candidate
    always gets the same accuracy, whichever process asks and in whichever order.
    """

    @abstractmethod
    def accuracy(self, architecture: Architecture) -> float:
        """Accuracy between 0 and 1 on the validation split, which no candidate is trained on; never the test split.

        Raises:
            MnasError: if the evaluation fails; the search tells it as a failed trial and goes on.
        """

    @property
    def num_rungs(self) -> int:
        """How many accuracies `rungs` gives."""
        return 1

    def rungs(self, architecture: Architecture) -> Generator[float, None, None]:
        """The accuracy at every rung of a longer and longer training; the last one is what `accuracy` gives.

        Whoever reads them stops a hopeless candidate by reading no further. By default there is one rung.
        """
        yield self.accuracy(architecture)

    def for_finalists(self, steps: int) -> Evaluator | None:
        """What trains finalists for so many steps, and scores them; None lets the search's own figures decide."""
        return None

    def with_seed(self, seed: int) -> Evaluator | None:
        """The same evaluator with other random numbers; None where chance has no part."""
        return None

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What it is and what it was made with, as plain data for the study file."""

    def prepare(self, on_progress: OnProgress = lambda share, what: None) -> None:  # noqa: B027  most need nothing
        """Do what is done once, before the first candidate is judged; nothing by default, and nothing the second time.

        Args:
            on_progress: called with the share done, 0 to 1, and what is being done.

        Raises:
            MnasError: if it fails: then no candidate can be judged.
        """

    def estimate_preparation_seconds(self) -> float:
        """How long `prepare` will take, in seconds; measured on a few steps."""
        return 0.0

    def estimate_seconds(self, architecture: Architecture) -> float:
        """How long `accuracy` will take, in seconds. An evaluator that trains measures a few steps.

        By default one whole evaluation is timed.
        """
        start = time.perf_counter()
        self.accuracy(architecture)
        return time.perf_counter() - start
