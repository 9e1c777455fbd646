"""A plot as plain data, for Plotly in the page, matplotlib, CSV and text.

Colours are those of Okabe and Ito (2008), which can be distinguished with every kind of colour vision. Symbols differ
as well, so that a plot printed in grey can be read.
"""

from __future__ import annotations

from dataclasses import dataclass

Number = float | int | None


@dataclass(frozen=True, slots=True)
class Look:
    """How a series is drawn: its colours on light and dark backgrounds, Plotly's symbol and matplotlib's marker."""

    light: str
    dark: str
    symbol: str
    marker: str
    size: int = 8


_INK = ("#1b1f24", "#f2f4f7")
LOOKS = {
    "search": Look("#0072B2", "#56B4E9", "circle", "o"),
    "random": Look("#E69F00", "#E69F00", "triangle-up-open", "^"),
    "random_finalist": Look("#E69F00", "#E69F00", "diamond-open", "d", 10),
    "finalist": Look("#009E73", "#009E73", "diamond", "D", 10),
    "winner": Look("#D55E00", "#D55E00", "star", "*", 17),
    "front": Look(*_INK, "line-ew", "_", 6),
    "conv": Look(*_INK, "cross", "P", 9),
    "sepconv": Look("#56B4E9", "#56B4E9", "triangle-down", "v"),
    "kernel3": Look("#0072B2", "#3E9BD6", "circle", "o"),
    "kernel5": Look("#D55E00", "#D55E00", "square", "s"),
    "kernel7": Look("#CC79A7", "#CC79A7", "diamond", "D"),
    "classifier": Look("#009E73", "#009E73", "star", "*", 12),
    "family": Look("#009E73", "#009E73", "diamond", "D", 10),
}

CYCLE = ("kernel3", "random", "family", "kernel5", "kernel7", "sepconv", "conv")  # looks for series of equal rank


@dataclass(frozen=True, slots=True)
class Series:
    """A series of points.

    Attributes:
        name: name in the legend.
        look: a key of `LOOKS`.
        x, y: coordinates; a y of None leaves a gap.
        kind: `points`, `steps` (a line that keeps its height until the next point) or `both` (points and lines).
        hover: text of each point, with line feeds; empty to show x and y only.
        interval: lower and upper end of the interval of each y; empty for none.
    """

    name: str
    look: str
    x: tuple[Number, ...]
    y: tuple[Number, ...]
    kind: str = "points"
    hover: tuple[str, ...] = ()
    interval: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """A reference line with its text: `vertical` at x, `horizontal` at y, or `ratio`: y is x times the value."""

    kind: str
    value: float
    text: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot.

    Attributes:
        name: name of its files and of its element in the page: letters and hyphens.
        title: title of the plot.
        x_label, y_label: labels of the axes, with units.
        series: drawn in order, later ones on top.
        summary: the content in words, for people who cannot see the plot.
        lines: reference lines.
        log: whether both axes are logarithmic.
        log_x: whether the x axis is.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    summary: str
    lines: tuple[Line, ...] = ()
    log: bool = False
    log_x: bool = False

    def rows(self) -> list[list[Number | str]]:
        """Return a header and the points, for CSV: series, x, y."""
        header: list[Number | str] = ["series", self.x_label, self.y_label]
        return [header, *([s.name, x, y] for s in self.series for x, y in zip(s.x, s.y, strict=True))]
