"""Progress on stderr: live bars on a terminal, and elsewhere a plain line every ten seconds."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from mnas.study.observer import Observer, Plan

if TYPE_CHECKING:
    from typing import Self  # of Python 3.11

    from rich.progress import Progress, TaskID

    from mnas.train.trainer import Progress as TrainingState
    from mnas.trial import Trial

_EVERY_SECONDS = 10.0
LOG_TITLES = {
    "trials": "search",
    "confirmed": "stitched networks",
    "finalists": "finalists",
    "baseline": "random baseline",
    "baseline_finalists": "its finalists",
    "repeats": "both winners again",
}


class _Display(ExitStack):
    """Bars on a terminal, or plain lines.

    Args:
        tasks: the amount of work, by the description of each bar; None where it is not known yet.
        columns: of the bars, by the names in `_bars`.
        transient: whether the bars disappear at the end.
    """

    def __init__(self, tasks: Mapping[str, float | None], columns: Sequence[str], *, transient: bool = True) -> None:
        super().__init__()
        self._printed = time.monotonic()
        self._bars = _bars(columns, transient=transient) if sys.stderr.isatty() else None
        self._tasks: dict[str, TaskID] = {}
        if self._bars is not None:
            for name, total in tasks.items():
                self._tasks[name] = self._bars.add_task(name, total=total, note="", start=len(tasks) == 1)

    def __enter__(self) -> Self:
        if self._bars is not None:
            self.enter_context(self._bars)
        return self

    def _update(self, task: str, line: str, *, last: bool = False, **changes: Any) -> None:
        """Change a bar; or print the line, if it is the last one or the one before is ten seconds old."""
        if self._bars is not None:
            self._bars.start_task(self._tasks[task])
            self._bars.update(self._tasks[task], **changes)
        elif last or time.monotonic() - self._printed >= _EVERY_SECONDS:
            self._print(line)

    def _print(self, line: str) -> None:
        """Print a line above the bars, or among the other lines."""
        self._printed = time.monotonic()
        if self._bars is None:
            print(line, file=sys.stderr, flush=True)
        else:
            self._bars.console.print(line)


def _bars(columns: Sequence[str], *, transient: bool) -> Progress:
    """Bars with these columns. Text is not read as markup: it names files and networks."""
    from rich import progress as rich
    from rich.console import Console

    known = {
        "description": rich.TextColumn("{task.description:16}", markup=False),
        "bar": rich.BarColumn(),
        "count": rich.MofNCompleteColumn(),
        "share": rich.TaskProgressColumn(),
        "elapsed": rich.TimeElapsedColumn(),
        "remaining": rich.TimeRemainingColumn(),
        "note": rich.TextColumn("{task.fields[note]}", markup=False),
    }
    console = Console(stderr=True, highlight=False, markup=False)
    return rich.Progress(*(known[name] for name in columns), console=console, transient=transient)


class _ShareProgress(_Display):
    """One bar for a share of the work."""

    def __init__(self, title: str) -> None:
        super().__init__({title: 1.0}, ("description", "bar", "share", "elapsed", "remaining"))
        self._title = title
        self._printed = -math.inf  # the first line is printed at once

    def __call__(self, share: float, what: str) -> None:
        line = f"{self._title}: {share:4.0%} {what}"
        self._update(self._title, line, last=share >= 1, completed=share, description=f"{self._title}: {what}")


@contextmanager
def progress(title: str) -> Iterator[Callable[[float, str], None]]:
    """Show one bar; yields a function that takes the share done, 0 to 1, and what is being done."""
    with _ShareProgress(title) as report:
        yield report


class TrainingProgress(_Display):
    """One bar for a training, and a line that stays for every epoch."""

    def __init__(self) -> None:
        super().__init__({"training": None}, ("description", "bar", "remaining"))

    def say(self, line: str) -> None:
        """Show a line that stays."""
        self._print(line)

    def show(self, state: TrainingState) -> None:
        """One step, or one epoch, is done."""
        figures = state.epoch_ended
        if figures:
            self._print(
                f"epoch {state.epoch:>3} of {state.epochs}: loss {figures['loss']:.3f}, "
                f"validation accuracy {figures['validation_accuracy']:.1%}, {figures['seconds']:.0f} s"
            )
        epoch = f"epoch {state.epoch} of {state.epochs}"
        line = f"{epoch}: {state.step / state.steps:.0%} of all steps"
        self._update("training", line, completed=state.step, total=state.steps, description=epoch)


class SearchProgress(_Display):
    """A bar for each log of a search, with the best trial so far.

    Args:
        totals: how many trials each log will hold, by the log's name; they run in this order.
        at_once: how many of a log are evaluated at the same time, by its name; by default 1.
    """

    def __init__(self, totals: Mapping[str, int], at_once: Mapping[str, int] | None = None) -> None:
        tasks = {LOG_TITLES[name]: total for name, total in totals.items()}
        super().__init__(tasks, ("description", "bar", "count", "elapsed", "note"), transient=False)
        self._totals, self._at_once = totals, at_once or {}
        self._seen: dict[str, list[Trial]] = {name: [] for name in totals}
        self._began: dict[str, float] = {}  # when the first trial of a log was finished

    def __call__(self, phase: str, trial: Trial) -> None:
        """Show a finished trial."""
        if phase not in self._seen:
            return
        trials, name = self._seen[phase], LOG_TITLES[phase]
        trials.append(trial)
        began = self._began.setdefault(phase, time.monotonic())
        seconds = sum(each.seconds for each in trials) / len(trials) / self._at_once.get(phase, 1)
        if len(trials) > 1:  # drawing candidates within the budget may take longer than evaluating them
            seconds = max(seconds, (time.monotonic() - began) / (len(trials) - 1))
        total = max(self._totals[phase], len(trials))  # of stitched networks there may be more than planned
        note = _note(trials, seconds, total - len(trials))
        line = f"{name}: {len(trials)} of {total}, {note}"
        self._update(name, line, last=len(trials) == total, completed=len(trials), note=note)

    def show_evaluation(self, share: float, what: str) -> None:
        """Show how far a finalist's training is."""
        name = LOG_TITLES["finalists"]
        if name in self._tasks or self._bars is None:
            self._update(name, f"{name}: {share:4.0%} {what}", note=f"{share:.0%} {what}")


def _note(trials: Sequence[Trial], each: float, left: int) -> str:
    """Rate, time left and the best so far.

    Args:
        trials: that are finished.
        each: seconds that one takes: replayed ones take no time, so those of the trials at least.
        left: how many more there will be.
    """
    rate = f"{60 / each:.1f} a minute, " if each > 0.05 else ""
    remaining = f"{duration(each * left)} left, " if each * left > 1 else ""
    done = [trial for trial in trials if trial.reward is not None]
    if not done:
        return f"{rate}{remaining}none has succeeded yet"
    best = max(done, key=lambda trial: trial.reward or 0.0)
    return f"{rate}{remaining}best {describe(best)}"


class SearchDisplay(ExitStack, Observer):
    """Shows a search's preparation, then its trials as they finish; use as a context manager."""

    def __init__(self) -> None:
        super().__init__()
        self._report: Callable[[float, str], None] | None = None
        self._trials: SearchProgress | None = None

    def on_preparation(self, share: float, what: str) -> None:
        """Show the progress of the preparation."""
        if self._report is None:
            self._report = self.enter_context(progress("Preparation"))
        self._report(share, what)

    def on_plan(self, plan: Plan) -> None:
        """Begin to show trials."""
        self.close()
        self._trials = self.enter_context(SearchProgress(plan.totals, plan.concurrency))

    def on_evaluation(self, share: float, what: str) -> None:
        """Show the progress of a training."""
        if self._trials is not None:
            self._trials.show_evaluation(share, what)

    def on_trial(self, phase: str, trial: Trial) -> None:
        """Show a trial."""
        if self._trials is not None:
            self._trials(phase, trial)


def describe(trial: Trial) -> str:
    """A trial in a few words: number, reward, accuracy, latency."""
    found = trial.measurement
    if found is None or trial.reward is None:
        return f"#{trial.number} failed: {trial.error}"
    latency = "" if found.latency_ms is None else f", {found.latency_ms:.3f} ms"
    return f"#{trial.number}: reward {trial.reward:.4f}, accuracy {found.accuracy:.4f}{latency}"


def duration(seconds: float) -> str:
    """Format seconds: `45 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
