"""A study as notebooks show it."""

from __future__ import annotations

from typing import Any

from mnas import html
from mnas.search.report import report
from mnas.search.study import Study


def study_html(study: Study) -> str:
    """The verdict, the winner, and the front."""
    facts = report(study)
    best = facts["best"]
    note = f"{facts['num_trials']} trials of {facts['strategy']} on {facts['space']}. "
    note += "No winner yet. " if best is None else f"The winner is trial {best['number']}. "
    note += facts["baseline"]["verdict"] if facts["baseline"] else ""
    header = ["trial", "accuracy", "ms", "parameters", "multiply-adds"]
    winner = [] if best is None else [_row(best, "winner, ")]
    return html.table(f"Study {study.folder}", header, [*winner, *map(_row, facts["front"])], note=note)


def _row(row: dict[str, Any], what: str = "") -> list[str]:
    latency = "" if row["latency_ms"] is None else f"{row['latency_ms']:.4g}"
    return [f"{what}#{row['number']}", f"{row['accuracy']:.2%}", latency, f"{row['params']:,}", f"{row['madds']:,}"]
