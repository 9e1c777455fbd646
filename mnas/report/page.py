"""The web page: one file that loads nothing from a network. Templates by Jinja2, plots by Plotly's basic bundle."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from mnas import __version__
from mnas.latency.table import LatencyTable
from mnas.report.confusion import confusion_view
from mnas.report.csv_files import to_csv, trial_rows
from mnas.report.facts import ReportData
from mnas.report.figure import LOOKS, Figure
from mnas.report.latency_figures import agreement_figure, table_figures
from mnas.report.network import block_views
from mnas.report.plotly_figures import to_plotly
from mnas.report.provenance import provenance, search_command
from mnas.report.study_figures import study_figures

_MOST_CONFUSIONS = 5
_PLOTLY = "static/plotly-basic.min.js"


def study_page(facts: ReportData, *, refresh: int | None = None) -> str:
    """Return a study as one HTML document.

    Args:
        facts: the study.
        refresh: seconds after which the page reloads itself, for a search that is still running.
    """
    figures = {figure.name: figure for figure in all_figures(facts)}
    return _render(
        "study.html",
        figures.values(),
        facts=facts,
        summary=facts.summary,
        best=facts.summary["best"],
        by_name=figures,
        blocks=block_views(facts.blocks),
        confusion=confusion_view(facts.test) if facts.test else [],
        confusions=facts.test.confusions(_MOST_CONFUSIONS) if facts.test else [],
        command=search_command(facts.study),
        provenance=provenance(facts.study),
        sheet=base64.b64encode(to_csv(trial_rows(facts)).encode()).decode(),
        refresh=refresh,
    )


def all_figures(facts: ReportData) -> list[Figure]:
    """Return every figure of a study's report, in the order of the page."""
    table = facts.targets[0].table if facts.targets else None
    agreement = agreement_figure(table, facts.benches)
    return [*study_figures(facts), *([] if agreement is None else [agreement])]


def table_page(table: LatencyTable, name: str) -> str:
    """Return a latency table as one HTML document."""
    figures = {figure.name: figure for figure in table_figures(table)}
    slowest = sorted(table.entries.items(), key=lambda item: -item[1].latency_ms)[:25]
    fitted = sum(entry.source == "fitted" for entry in table.entries.values())
    return _render(
        "table.html",
        figures.values(),
        table=table,
        name=name,
        by_name=figures,
        where=asdict(table.configuration),
        slowest=slowest,
        num_fitted=fitted,
        refresh=None,
    )


def figures_page(figures: Sequence[Figure], *, title: str) -> str:
    """Return figures as one HTML document."""
    return _render("figures.html", figures, shown=figures, title=title, refresh=None)


def _render(template: str, figures: Any, **values: Any) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mnas.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda value: f"{value:.1%}"
    environment.filters["millions"] = lambda value: f"{value / 1e6:.3g} M"
    return environment.get_template(template).render(
        plotly=Markup((files("mnas.report") / _PLOTLY).read_text(encoding="utf-8")),  # noqa: S704 - a shipped file
        plots=[to_plotly(figure) for figure in figures],
        looks=LOOKS,
        version=__version__,
        **values,
    )
