"""`mnas report --watch`: a look at a running search every few seconds, until it has its winner."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from mnas.cli.progress import describe, duration
from mnas.files import write_atomically
from mnas.search.lock import is_locked
from mnas.search.study import LOGS, Study
from mnas.search.winner import ranked

_NAMES = dict(zip(LOGS, ("search", "finalists", "random baseline", "its finalists", "both winners again"), strict=True))


def watch_study(study: Study, page: Path | None, every: float, *, quiet: bool = False) -> None:
    """Say what is new, and write the page again with an order to reload itself, until nobody works on the study.

    Args:
        study: the search's folder.
        page: the page's file; None for none.
        every: seconds between two looks.
        quiet: say nothing.
    """
    said = ""
    while True:
        running = is_locked(study.folder)
        lines = "\n".join(_lines(study))
        if lines != said:
            said = lines
            if page is not None:
                _write(study, page, max(1, round(every)) if running else None)
            if not quiet:
                print(f"{time.strftime('%H:%M:%S')}\n{lines}", file=sys.stderr, flush=True)
        if not running:
            return
        time.sleep(every)


def _write(study: Study, page: Path, refresh: int | None) -> None:
    from mnas.report.facts import gather
    from mnas.report.page import study_page

    write_atomically(page, study_page(gather(study), refresh=refresh))


def _lines(study: Study) -> list[str]:
    """One line a log that has trials: how many, how fast, and the best."""
    lines = []
    for name, title in _NAMES.items():
        trials = study.log(name).read()
        if not trials:
            continue
        each = sum(trial.seconds for trial in trials) / len(trials)
        wanted = int(study.arguments.get("finalists" if "finalists" in name else "trials") or len(trials))
        left = max(0, wanted - len(trials))
        rest = f", {duration(each * left)} left" if each * left > 1 else ""
        best = ranked(trials)
        lines.append(f"  {title}: {len(trials)} of {wanted}{rest}" + (f", best {describe(best[0])}" if best else ""))
    return lines
