"""A plot as plain data. Drawn by Plotly in the page and by matplotlib as a picture, written as CSV, told as text.

Colours are Okabe and Ito's (2008), which people of every colour vision tell apart; symbols differ as well, so that
a picture printed in grey can be read.
"""

from __future__ import annotations

from dataclasses import dataclass

Number = float | int | None


@dataclass(frozen=True, slots=True)
class Look:
    """How a series is drawn: colours on a light and on a dark ground, Plotly's symbol and matplotlib's marker."""

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
    """Points that belong together.

    Attributes:
        name: for the legend.
        look: a key of `LOOKS`.
        x, y: as many of one as of the other; a y of None leaves a gap.
        kind: `points`, `line`, `steps` (a line that keeps its height until the next point) or `both`.
        hover: what is said of each point, lines separated by line feeds; empty for x and y alone.
        interval: the lower and upper end of each y's interval; empty for none.
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
    """A reference line with its text: `vertical` at x, `horizontal` at y, or `ratio`: y is so many times x."""

    kind: str
    value: float
    text: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot.

    Attributes:
        name: of its files and of its place in the page: letters and hyphens.
        title: a sentence's worth.
        x_label, y_label: with units.
        series: drawn in order, later ones on top.
        summary: what it shows, in words, for who does not see it.
        lines: for reference.
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
        """Header and points, for CSV: series, x, y."""
        header: list[Number | str] = ["series", self.x_label, self.y_label]
        return [header, *([s.name, x, y] for s in self.series for x, y in zip(s.x, s.y, strict=True))]
