"""Figures as self-contained HTML files, with plotly: the extra `mnas[report]`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mnas.errors import MnasError
from mnas.files import write_atomically
from mnas.search.compare import Standing
from mnas.search.survey import Survey


def _plotly() -> Any:
    try:
        from plotly import graph_objects
    except ImportError:
        raise MnasError("plotly is not installed, and plots need it: pip install 'mnas[report]'") from None
    return graph_objects


def check_plotly() -> None:
    """Refuse to plot before any work is done.

    Raises:
        MnasError: if plotly is not installed.
    """
    _plotly()


def write_edf(surveys: Sequence[Survey], path: Path) -> None:
    """The error EDF of every space that was sampled, as an HTML file."""
    plotly = _plotly()
    figure = plotly.Figure()
    for found in surveys:
        errors = found.errors
        if len(errors):
            shares = np.arange(1, len(errors) + 1) / len(errors)
            name = f"{found.space.name}, {len(errors)} samples"
            figure.add_scatter(x=errors, y=shares, mode="lines", line_shape="hv", name=name)
    figure.update_layout(
        title="Error EDF: the curve that lies above belongs to the better space (Radosavovic et al. 2020)",
        xaxis_title="validation error",
        yaxis_title="share of random samples at or below it",
        template="plotly_white",
    )
    write_atomically(path, figure.to_html(include_plotlyjs=True))


def write_standings(standings: Mapping[int, Sequence[Standing]], path: Path, *, title: str) -> None:
    """The mean best reward of every strategy over the numbers of trials, with 95 % intervals, as an HTML file."""
    plotly = _plotly()
    figure = plotly.Figure()
    counts = sorted(standings)
    for place, first in enumerate(standings[counts[0]]):
        rows = [standings[count][place] for count in counts]
        means = [row.mean_best for row in rows]
        figure.add_scatter(
            x=[str(count) for count in counts],
            y=means,
            name=first.strategy,
            mode="lines+markers",
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [row.interval[1] - row.mean_best for row in rows],
                "arrayminus": [row.mean_best - row.interval[0] for row in rows],
            },
        )
    figure.update_layout(title=title, xaxis_title="trials", yaxis_title="mean best reward", template="plotly_white")
    write_atomically(path, figure.to_html(include_plotlyjs=True))
