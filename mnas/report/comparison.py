"""The figures of `mnas compare`, `mnas space survey` and `mnas scale --family`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

from mnas.experiments.standings import StrategyResult
from mnas.experiments.survey import Survey
from mnas.report.figure import CYCLE, Figure, Series
from mnas.report.page import figures_page
from mnas.scaling.family import Member


def edf_figure(surveys: Sequence[Survey]) -> Figure:
    """Error EDF of every sampled space (Radosavovic et al. 2020)."""
    drawn = []
    for found, look in zip(surveys, cycle(CYCLE), strict=False):
        errors = tuple(float(error) for error in found.errors)
        shares = tuple((place + 1) / len(errors) for place in range(len(errors)))
        drawn.append(Series(f"{found.space.name}, {len(errors)} samples", look, errors, shares, kind="steps"))
    return Figure(
        "edf",
        "Error EDF",
        "validation error",
        "share of random samples at or below it",
        tuple(drawn),
        "The higher curve belongs to the better space: more of its random networks have a small error.",
    )


def standings_figure(standings: Mapping[int, Sequence[StrategyResult]], *, title: str) -> Figure:
    """Mean best reward of every strategy against the number of trials, with 95 % intervals."""
    counts = sorted(standings)
    drawn = []
    for place, look in zip(range(len(standings[counts[0]])), cycle(CYCLE), strict=False):
        rows = [standings[count][place] for count in counts]
        means, intervals = tuple(row.mean_best for row in rows), tuple(row.interval for row in rows)
        drawn.append(Series(rows[0].strategy, look, tuple(counts), means, kind="both", interval=intervals))
    best = max(standings[counts[-1]], key=lambda row: row.mean_best)
    return Figure(
        "standings",
        title,
        "trials",
        "mean best reward",
        tuple(drawn),
        f"After {counts[-1]} trials {best.strategy} has the best mean, {best.mean_best:.4f}. Bars are 95 % intervals.",
    )


def family_figure(members: Sequence[Member], *, title: str) -> Figure:
    """Accuracy (multiply-adds if unknown) against predicted latency (parameters without a table)."""
    rows = [member.row() for member in members]
    scored = all(row["accuracy"] is not None for row in rows)
    tables = list(members[0].latencies_ms)
    hover = tuple(
        f"{row['name']}\n{row['params']:,} parameters\n{row['madds']:,} multiply-adds\n{row['resolution']} px"
        for row in rows
    )
    y = tuple(row["accuracy"] if scored else row["madds"] for row in rows)
    drawn = []
    for table, look in zip(tables or [""], cycle(CYCLE), strict=False):
        key = f"latency_ms {table}" if table else "params"
        priced = [place for place, row in enumerate(rows) if row[key] is not None]
        x, heights = tuple(rows[place][key] for place in priced), tuple(y[place] for place in priced)
        drawn.append(Series(table or "family", look, x, heights, "both", tuple(hover[place] for place in priced)))
    return Figure(
        "family",
        title,
        "predicted latency (ms)" if tables else "parameters",
        "accuracy on the validation images" if scored else "multiply-adds",
        tuple(drawn),
        f"From {rows[0]['name']} to {rows[-1]['name']}: {rows[0]['params']:,} to {rows[-1]['params']:,} parameters.",
    )


def family_page(members: Sequence[Member], *, title: str) -> str:
    """A family's figure as one HTML document."""
    return figures_page([family_figure(members, title=title)], title=title)
