"""Where candidates are judged: in this process, in several, or on a Ray cluster, behind one seam."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from mnas.arch.spec import Architecture
from mnas.trial import Trial

if TYPE_CHECKING:
    from mnas.search.objective import Objective


class Executor(Protocol):
    """Judges candidates."""

    def run(self, objective: Objective, candidates: Sequence[tuple[int, Architecture]]) -> Iterator[Trial]:
        """Yield each candidate's trial as soon as it is finished, in any order.

        Args:
            objective: judges a number and an architecture. It never raises for a failed evaluation.
            candidates: trial numbers and architectures, all different networks.
        """


class LocalExecutor:
    """One after the other, in this process: training already uses every core. Knows no time limit."""

    def run(self, objective: Objective, candidates: Sequence[tuple[int, Architecture]]) -> Iterator[Trial]:
        """As `Executor.run`, in the order given."""
        for number, architecture in candidates:
            yield objective.evaluate(number, architecture)


def overtime_trial(number: int, architecture: Architecture, minutes: float) -> Trial:
    """What becomes of a candidate whose evaluation took longer than so many minutes."""
    error = f"the evaluation took longer than {minutes:g} minutes and was ended"
    return Trial(number, architecture, error=error, seconds=60 * minutes)
