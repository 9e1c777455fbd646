"""Figures as PNG files, by matplotlib."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mnas.errors import MnasError
from mnas.report.figure import LOOKS, Figure
from mnas.system.files import write_together

_INCHES = (6.4, 4.2)
_DOTS = 200


def write_pictures(figures: Iterable[Figure], folder: Path) -> list[Path]:
    """Write one PNG per figure, 1280 by 840 pixels, on white, and return their paths.

    Raises:
        MnasError: if matplotlib is not installed, or a file cannot be written.
    """
    files = {folder / f"{figure.name}.png": draw(figure) for figure in figures}
    write_together(files)
    return list(files)


def draw(figure: Figure) -> bytes:
    """Return a figure as the content of a PNG file."""
    canvas, axes = _axes()
    for series in figure.series:
        look = LOOKS[series.look]
        lines = series.kind != "points"
        axes.plot(
            series.x,
            series.y,
            color=look.light,
            marker=look.marker if series.kind in ("points", "both") else None,
            markersize=look.size * 0.6,
            markerfacecolor="none" if "open" in look.symbol else look.light,
            linestyle="-" if lines else "none",
            drawstyle="steps-post" if series.kind == "steps" else "default",
            label=series.name,
        )
        for x, (low, high) in zip(series.x, series.interval, strict=bool(series.interval)):
            axes.plot([x, x], [low, high], color=look.light, linewidth=1.5)
    _references(figure, axes)
    if figure.log or figure.log_x:
        axes.set_xscale("log")
    if figure.log:
        axes.set_yscale("log")
    axes.set_xlabel(figure.x_label)
    axes.set_ylabel(figure.y_label)
    axes.set_title(figure.title, loc="left", fontweight="bold")
    axes.grid(alpha=0.25)
    if len(figure.series) > 1:
        axes.legend(fontsize=8)
    buffer = io.BytesIO()
    canvas.savefig(buffer, dpi=_DOTS, metadata={"Description": figure.summary, "Software": "mnas"})
    return buffer.getvalue()


def _axes() -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure as Canvas
    except ImportError:
        raise MnasError("PNG files need matplotlib, which is not installed: pip install 'mnas[report]'") from None
    canvas = Canvas(figsize=_INCHES, layout="constrained")
    return canvas, canvas.subplots()


def _references(figure: Figure, axes: Any) -> None:
    for line in figure.lines:
        if line.kind in ("vertical", "horizontal"):
            draw_line = axes.axvline if line.kind == "vertical" else axes.axhline
            draw_line(line.value, color="#1b1f24", linestyle="--", label=line.text)
        else:
            axes.axline((0, 0), slope=line.value, color="#767676", linestyle="-" if line.value == 1 else ":")
    if any(line.kind == "ratio" for line in figure.lines):
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
