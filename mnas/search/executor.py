"""Where candidates are judged: in this process, or, behind the same seam, on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from mnas.arch.spec import Architecture
from mnas.trial import Trial

Judge = Callable[[int, Architecture], Trial]


class Executor(Protocol):
    """Runs a judge over candidates."""

    def run(self, judge: Judge, candidates: Sequence[tuple[int, Architecture]]) -> Iterator[Trial]:
        """Yield each candidate's trial as soon as it is finished, in any order.

        Args:
            judge: from a trial's number and architecture to the trial. It never raises for a failed evaluation.
            candidates: trial numbers and architectures, all different networks.
        """


class LocalExecutor:
    """One after the other, in this process: training already uses every core."""

    def run(self, judge: Judge, candidates: Sequence[tuple[int, Architecture]]) -> Iterator[Trial]:
        """As `Executor.run`, in the order given."""
        for number, architecture in candidates:
            yield judge(number, architecture)
