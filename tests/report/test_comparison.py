"""Strategies, spaces and families as figures, drawn by the report's own plots."""

from __future__ import annotations

from pathlib import Path

import pytest

from mnas.evaluators.base import Evaluator
from mnas.experiments.standings import StrategyResult
from mnas.experiments.survey import survey
from mnas.report.comparison import edf_figure, family_figure, standings_figure
from mnas.report.page import figures_page
from mnas.report.plotly_figures import to_plotly
from mnas.report.png_files import draw
from mnas.reward import make_reward
from mnas.scaling import scale_by_formula
from mnas.scaling.priced import Devices
from mnas.search.objective import Objective
from tests.latency.tables import make_table
from tests.spaces import separable, small_space

SPACE = small_space()


class _Separable(Evaluator):
    def accuracy(self, architecture):  # type: ignore[no-untyped-def]
        return separable(SPACE)(architecture)

    def describe(self):  # type: ignore[no-untyped-def]
        return {"kind": "separable"}


def test_an_edf_rises_to_one() -> None:
    found = survey(SPACE, Objective(_Separable(), make_reward("absolute")), num_samples=5)
    one, two = edf_figure([found, found]).series
    assert one.name == "small, 5 samples"
    assert list(one.x) == sorted(one.x)
    assert one.y == (0.2, 0.4, 0.6, 0.8, 1.0)
    assert one.look != two.look


def test_standings_carry_their_intervals() -> None:
    def row(name: str, mean: float) -> StrategyResult:
        return StrategyResult(name, mean, (mean - 0.02, mean + 0.01), 1.5, (mean,), None)

    standings = {50: [row("random", 0.6), row("ppo", 0.5)], 10: [row("random", 0.4), row("ppo", 0.45)]}
    figure = standings_figure(standings, title="t")
    random, ppo = to_plotly(figure)["data"]
    assert (random["name"], random["x"], random["y"]) == ("random", [10, 50], [0.4, 0.6])
    assert ppo["error_y"]["array"] == pytest.approx([0.01, 0.01])
    assert ppo["error_y"]["arrayminus"] == pytest.approx([0.02, 0.02])
    assert "After 50 trials random has the best mean, 0.6000" in figure.summary
    pytest.importorskip("matplotlib", reason="pictures need the extra mnas[report]")
    assert draw(figure).startswith(b"\x89PNG")


def test_a_family_is_drawn_with_and_without_a_table(tmp_path: Path) -> None:
    make_table(SPACE).save(tmp_path / "phone.json")
    base = SPACE.decode(tuple(0 for _ in SPACE.decisions))
    for devices in (Devices([tmp_path / "phone.json"]), Devices([])):
        members = [devices.member(f"phi{phi}", scale_by_formula(base, phi)) for phi in (0, 1)]
        figure = family_figure(members, title="Family of base")
        assert figure.x_label == ("predicted latency (ms)" if devices.estimators else "parameters")
        (series,) = figure.series
        assert series.hover[1].startswith("phi1\n")
        page = figures_page([figure], title="Family of base")
        assert page == figures_page([figure], title="Family of base")
        assert "Family of base" in page
        assert "<script src=" not in page
