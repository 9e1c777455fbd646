"""A search's progress: a live line on a terminal, now and then a plain line elsewhere. Always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType

from mnas.trial import Trial

_NAMES = {
    "trials": "search",
    "finalists": "finalists",
    "baseline": "random baseline",
    "baseline_finalists": "its finalists",
    "repeats": "winners again",
}
_EVERY_SECONDS = 10.0


class SearchProgress:
    """Shows trials as they finish; use as a context manager.

    Args:
        totals: how many trials each log will hold, by the log's name; they run in this order.
        at_once: how many of a log are judged at the same time, by its name; 1 where nothing is said.
    """

    def __init__(self, totals: dict[str, int], at_once: Mapping[str, int] | None = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._totals, self._at_once = totals, at_once or {}
        self._seen: dict[str, list[Trial]] = {name: [] for name in totals}
        self._live = sys.stderr.isatty()
        self._said = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description:16}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
            disable=not self._live,
        )
        self._tasks = {
            name: self._bar.add_task(_NAMES[name], total=total, note="", start=False) for name, total in totals.items()
        }

    def __enter__(self) -> SearchProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, phase: str, trial: Trial) -> None:
        """Take note of a finished trial."""
        if phase not in self._seen:
            return
        trials = self._seen[phase]
        trials.append(trial)
        note = self._note(trials, self._totals[phase] - len(trials), self._at_once.get(phase, 1))
        self._bar.start_task(self._tasks[phase])
        self._bar.update(self._tasks[phase], completed=len(trials), note=note)
        last = len(trials) == self._totals[phase]
        if not self._live and (last or time.monotonic() - self._said > _EVERY_SECONDS):
            self._said = time.monotonic()
            print(f"{_NAMES[phase]}: {len(trials)} of {self._totals[phase]}, {note}", file=sys.stderr, flush=True)

    def _note(self, trials: list[Trial], left: int, at_once: int) -> str:
        """Rate, time left and the best so far; time comes from the trials, so that replayed ones do not flatter it."""
        each = sum(trial.seconds for trial in trials) / len(trials) / at_once
        rate = f"{60 / each:.1f} a minute, " if each > 0.05 else ""
        remaining = f"{duration(each * left)} left, " if each * left > 1 else ""
        done = [trial for trial in trials if trial.reward is not None]
        if not done:
            return f"{rate}{remaining}none has succeeded yet"
        best = max(done, key=lambda trial: trial.reward or 0.0)
        return f"{rate}{remaining}best {describe(best)}"


def judged_at_once(*, workers: int, batch: int, finalists: int) -> dict[str, int]:
    """How many candidates of each log are judged at the same time: workers wait for a batch to end.

    Args:
        workers: of the search.
        batch: candidates between two updates of the strategy.
        finalists: of each of the two runs.
    """
    most = {"trials": batch, "baseline": batch, "finalists": finalists, "baseline_finalists": finalists, "repeats": 2}
    return {log: max(1, min(workers, count)) for log, count in most.items()}


def describe(trial: Trial) -> str:
    """A trial in a few words: number, reward, accuracy, latency."""
    found = trial.measurement
    if found is None or trial.reward is None:
        return f"#{trial.number} failed: {trial.error}"
    latency = "" if found.latency_ms is None else f", {found.latency_ms:.3f} ms"
    return f"#{trial.number}: reward {trial.reward:.4f}, accuracy {found.accuracy:.4f}{latency}"


def duration(seconds: float) -> str:
    """Seconds as a person says them: `45 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
