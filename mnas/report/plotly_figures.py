"""Figures for Plotly: traces and layout as plain data. The page adds the colours of its light or dark scheme."""

from __future__ import annotations

from typing import Any

from mnas.report.figure import LOOKS, Figure, Line, Series

_SPREAD = 0.04  # of the range: room around the outermost points


def to_plotly(figure: Figure) -> dict[str, Any]:
    """Return the data and layout for Plotly, and `alt`, the text alternative."""
    drawn = [series for series in figure.series if series.x]
    x, y = _range(figure, "x"), _range(figure, "y")
    references = [_ratio(line, x) for line in figure.lines if line.kind == "ratio"]
    return {
        "name": figure.name,
        "alt": figure.summary,
        "data": [*references, *(_trace(series) for series in drawn)],
        "layout": {
            "xaxis": {"title": {"text": figure.x_label}, **_axis(figure.log or figure.log_x, x)},
            "yaxis": {"title": {"text": figure.y_label}, **_axis(figure.log, y)},
            "shapes": [_shape(line) for line in figure.lines if line.kind != "ratio"],
            "annotations": [_text(line, x) for line in figure.lines if line.kind != "ratio"],
            "showlegend": len(drawn) > 1,
        },
    }


def _axis(log: bool, extent: tuple[float, float]) -> dict[str, Any]:
    return {"type": "log", "tickformat": "~g"} if log else {"range": list(extent)}


def _trace(series: Series) -> dict[str, Any]:
    look = LOOKS[series.look]
    drawn = {"points": "markers", "steps": "lines", "both": "lines+markers"}[series.kind]
    text = [hover.replace("\n", "<br>") for hover in series.hover]
    return {
        "type": "scatter",
        "mode": drawn,
        "name": series.name,
        "x": list(series.x),
        "y": list(series.y),
        "text": text or None,
        "hovertemplate": "%{text}<extra></extra>" if text else "%{y:.4g} at %{x:.4g}<extra>%{fullData.name}</extra>",
        "meta": {"look": series.look},
        **_interval(series),
        "marker": {"symbol": look.symbol, "size": look.size},
        "line": {"shape": "hv" if series.kind == "steps" else "linear", "width": 2},
        "opacity": 0.8 if series.kind == "points" and series.look in ("search", "random") else 1,
    }


def _interval(series: Series) -> dict[str, Any]:
    if not series.interval:
        return {}
    pairs = list(zip(series.y, series.interval, strict=True))
    up, down = [high - (y or 0.0) for y, (_, high) in pairs], [(y or 0.0) - low for y, (low, _) in pairs]
    return {"error_y": {"type": "data", "symmetric": False, "array": up, "arrayminus": down, "thickness": 1.5}}


def _ratio(line: Line, extent: tuple[float, float]) -> dict[str, Any]:
    """A line through the origin, over the range of the x axis."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": line.text,
        "x": list(extent),
        "y": [line.value * end for end in extent],
        "hoverinfo": "skip",
        "showlegend": False,
        "meta": {"look": "reference"},
        "line": {"width": 1.5 if line.value == 1 else 1, "dash": "solid" if line.value == 1 else "dot"},
    }


def _shape(line: Line) -> dict[str, Any]:
    along = {"x0": line.value, "x1": line.value, "y0": 0, "y1": 1, "yref": "paper"}
    if line.kind == "horizontal":
        along = {"y0": line.value, "y1": line.value, "x0": 0, "x1": 1, "xref": "paper"}
    return {"type": "line", "line": {"width": 2, "dash": "dash"}, **along}


def _text(line: Line, extent: tuple[float, float]) -> dict[str, Any]:
    """The text of a reference line, on the side with room for it."""
    share = (line.value - extent[0]) / (extent[1] - extent[0])
    side = "left" if share < 0.25 else "right" if share > 0.75 else "center"
    place = {"x": line.value, "y": 1, "yref": "paper", "xanchor": side, "yanchor": "bottom"}
    if line.kind == "horizontal":
        place = {"x": 1, "y": line.value, "xref": "paper", "xanchor": "right", "yanchor": "bottom"}
    return {"text": line.text, "showarrow": False, **place}


def _range(figure: Figure, axis: str) -> tuple[float, float]:
    """The range of an axis: all values and reference lines, with a margin; from 0 if there are ratios."""
    square = any(line.kind == "ratio" for line in figure.lines)
    kind = {"x": "vertical", "y": "horizontal"}[axis]
    values = [line.value for line in figure.lines if line.kind == kind]
    for series in figure.series:
        columns = (series.x, series.y) if square else (getattr(series, axis),)
        values += [value for column in columns for value in column if value is not None]
        values += [end for pair in series.interval for end in pair] if axis == "y" else []
    if not values:
        return 0.0, 1.0
    low, high = float(min(values)), float(max(values))
    if square:
        return 0.0, (1 + _SPREAD) * high
    room = _SPREAD * (high - low) or abs(high) * _SPREAD or 1.0
    return low - room, high + room
