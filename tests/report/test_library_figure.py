"""The figure of a block library."""

import pytest

from mnas.report.library_figure import library_figure
from mnas.report.page import figures_page


def block(number, *rows):
    names = ("own", "b", "c", "d", "e")
    return {
        "number": number,
        "alternatives": [
            {"block": name, "loss": loss, "latency_ms": ms} for name, (loss, ms) in zip(names, rows, strict=False)
        ],
    }


def test_a_series_holds_what_no_alternative_beats():
    rows = [(0.0, 1.0), (0.2, 0.5), (0.3, 0.6), (0.9, 0.1), (0.1, 1.4)]
    (series,) = library_figure([block(3, *rows)]).series
    assert series.name == "block 3"
    assert series.x == pytest.approx((0.0, 0.5, 0.9)), "the one of 0.6 ms is slower and worse than that of 0.5 ms"
    assert series.y == (0.0, 0.2, 0.9)
    assert series.hover[1] == "b\nloss 0.2000\n0.500 ms"


def test_every_block_has_its_series_and_the_summary_the_sum():
    figure = library_figure([block(1, (0, 1.0), (0.5, 0.4)), block(2, (0, 2.0)), block(3, (0, 1.0), (0.1, 0.5))])
    assert [series.name for series in figure.series] == ["block 1", "block 2", "block 3"]
    assert "3 blocks; all cheapest alternatives save 1.1 ms" in figure.summary
    page = figures_page([figure], title="Block library lib<a>")
    assert figure.summary in page
    assert "lib<a>" not in page


def test_equal_alternatives_are_drawn_once():
    (series,) = library_figure([block(1, (0.0, 1.0), (0.5, 0.5), (0.5, 0.5))]).series
    assert len(series.x) == 2
