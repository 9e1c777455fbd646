"""`mnas report --watch`: the state of a running search every few seconds, until it has its winner."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from mnas.checks import check_integer
from mnas.cli.progress import LOG_TITLES, describe, duration
from mnas.errors import InputError
from mnas.evaluators.registry import EVALUATORS
from mnas.search.session import concurrency
from mnas.study.study import Study, is_locked
from mnas.study.winner import ranked
from mnas.system.files import write_atomically


def watch_study(study: Study, page: Path | None, every: float, *, quiet: bool = False) -> None:
    """Print what is new and write the page, which reloads itself, until no search runs in the study.

    Args:
        study: the search's folder.
        page: the page's file; None for none.
        every: seconds between two updates.
        quiet: print nothing.

    Raises:
        InputError: if the study was edited, so that its arguments are not numbers.
    """
    shown = ""
    while True:
        running = is_locked(study.folder)
        lines = "\n".join(status_lines(study, running))
        if lines != shown:
            shown = lines
            if page is not None:
                _write(study, page, max(1, round(every)) if running else None)
            if not quiet:
                print(f"{time.strftime('%H:%M:%S')}\n{lines}", file=sys.stderr, flush=True)
        if not running:
            return
        time.sleep(every)


def _write(study: Study, page: Path, refresh: int | None) -> None:
    from mnas.report.facts import load_report_data
    from mnas.report.page import study_page

    write_atomically(page, study_page(load_report_data(study), refresh=refresh))


def status_lines(study: Study, running: bool) -> list[str]:
    """Return a line for each log with trials: how many, the time left, the best; or what precedes the first trial."""
    lines = []
    arguments = _Arguments(study)
    for name, title in LOG_TITLES.items():
        trials = study.log(name).read()
        if not trials:
            continue
        each = sum(trial.seconds for trial in trials) / len(trials) / arguments.at_once(name)
        wanted = max(arguments.total(name), len(trials))  # of stitched networks there may be more than planned
        left = wanted - len(trials)
        rest = f", {duration(each * left)} left" if each * left > 1 else ""
        best = ranked(trials)
        lines.append(f"  {title}: {len(trials)} of {wanted}{rest}" + (f", best {describe(best[0])}" if best else ""))
    if running and not lines:
        entry = EVALUATORS.get(str(study.arguments.get("evaluator")))
        prepared = entry and entry.preparation
        lines = [f"  preparing: {prepared} before the first trial" if prepared else "  no trial is finished yet"]
    return lines


class _Arguments:
    """The numbers among a study's arguments, which may have been edited."""

    def __init__(self, study: Study) -> None:
        self._study = study

    def total(self, log: str) -> int:
        """How many trials a log will hold; 0 if the study does not state it."""
        if log == "repeats":
            return 2 * self._number("verdict_seeds", 0)  # both winners
        if log == "confirmed":
            return self._number("confirmed", 0)
        return self._number("finalists" if "finalists" in log else "trials", 0)

    def at_once(self, log: str) -> int:
        """How many of a log's candidates are evaluated at the same time."""
        workers, batch, finalists = (self._number(name, 1) for name in ("workers", "batch", "finalists"))
        return concurrency(workers=workers, batch=batch, finalists=finalists)[log]

    def _number(self, name: str, otherwise: int) -> int:
        value = self._study.arguments.get(name)
        if value is None:
            return otherwise
        try:
            check_integer(name, value, 0, 10**9)
        except InputError as error:
            raise InputError(f"{self._study.folder}/study.json: arguments: {error}: was it edited?") from None
        return int(value)
