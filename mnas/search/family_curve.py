"""A family drawn as a curve: accuracy or multiply-adds over latency, a bubble's size by parameters; plotly draws it."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from mnas.scaling.family import Member


def family_page(members: Sequence[Member], *, title: str) -> str | None:
    """A self-contained HTML page, or None where plotly is not installed (`pip install 'mnas[report]'`)."""
    try:
        graph = importlib.import_module("plotly.graph_objects")
    except ImportError:
        return None
    rows = [member.row() for member in members]
    accuracies = all(row["accuracy"] is not None for row in rows)
    tables = list(members[0].latencies_ms)
    figure = graph.Figure()
    for table in tables or [""]:
        figure.add_trace(_trace(graph, rows, table, accuracies))
    figure.update_layout(
        title=title,
        xaxis_title="predicted latency in ms" if tables else "parameters",
        yaxis_title="accuracy on the validation images" if accuracies else "multiply-adds",
        template="plotly_white",
    )
    page: str = figure.to_html(full_html=True, include_plotlyjs=True, div_id="family")
    return page


def _trace(graph: Any, rows: Sequence[dict[str, Any]], table: str, accuracies: bool) -> Any:
    """One device's curve; without a device, over parameters."""
    most = max(row["params"] for row in rows)
    return graph.Scatter(
        x=[row[f"latency_ms {table}"] if table else row["params"] for row in rows],
        y=[row["accuracy"] if accuracies else row["madds"] for row in rows],
        mode="lines+markers+text",
        name=table or "family",
        text=[row["name"] for row in rows],
        textposition="top center",
        marker={"size": [8 + 24 * (row["params"] / most) ** 0.5 for row in rows]},
        customdata=[[row["params"], row["madds"], row["resolution"]] for row in rows],
        hovertemplate=(
            "%{text}: %{x:.4g}, %{y:.4g}<br>%{customdata[0]:,} parameters, %{customdata[1]:,} multiply-adds, "
            "%{customdata[2]} px<extra></extra>"
        ),
    )
