"""The interface of executors, which evaluate candidates in this process, in several, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from mnas.arch.spec import Architecture
from mnas.trial import Trial

if TYPE_CHECKING:
    from mnas.search.objective import Objective


class Executor(Protocol):
    """Evaluates candidates."""

    def run(self, objective: Objective, candidates: Sequence[tuple[int, Architecture]]) -> Iterator[Trial]:
        """Yield each candidate's trial when it is finished, in any order.

        Args:
            objective: evaluates an architecture; it never raises for a failed evaluation.
            candidates: trial numbers and architectures, all different networks.
        """


class LocalExecutor:
    """Evaluates one candidate after the other in this process, without a time limit."""

    def run(self, objective: Objective, candidates: Sequence[tuple[int, Architecture]]) -> Iterator[Trial]:
        """As `Executor.run`, in the given order."""
        for number, architecture in candidates:
            yield objective.evaluate(number, architecture)


def overtime_trial(number: int, architecture: Architecture, minutes: float) -> Trial:
    """Make the failed trial of an evaluation that took longer than this many minutes."""
    error = f"the evaluation took longer than {minutes:g} minutes and was ended"
    return Trial(number, architecture, error=error, seconds=60 * minutes)
