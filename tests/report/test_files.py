"""Figures as files: CSV and PNG."""

import csv
import dataclasses
import io
import shlex

import pytest

from mnas.report.csv_files import trial_rows, write_sheets
from mnas.report.facts import load_report_data
from mnas.report.figure import LOOKS
from mnas.report.latency_figures import read_key
from mnas.report.page import all_figures
from mnas.report.png_files import write_pictures
from mnas.report.provenance import provenance, search_command
from mnas.study.study import Study
from tests.spaces import small_space


@pytest.fixture
def facts(finished):
    return load_report_data(Study.open(finished))


def test_the_sheets_hold_every_trial_and_block(facts, tmp_path):
    paths = write_sheets(facts, all_figures(facts), tmp_path)
    assert {path.name for path in paths} >= {"trials.csv", "blocks.csv", "figure-front.csv"}
    rows = list(csv.DictReader(io.StringIO((tmp_path / "trials.csv").read_text())))
    assert sum(row["phase"] == "trials" for row in rows) == 40
    best = facts.summary["best"]
    winner = next(row for row in rows if row["phase"] == "finalists" and row["trial"] == str(best["number"]))
    assert float(winner["accuracy"]) == best["accuracy"]
    assert float(winner["latency_ms_1"]) == best["latency_ms"]
    assert float(winner["term_accuracy"]) == best["accuracy"]
    blocks = list(csv.DictReader(io.StringIO((tmp_path / "blocks.csv").read_text())))
    assert sum(float(row["latency_ms"]) for row in blocks) == pytest.approx(best["latency_ms"], rel=1e-6)


def test_a_search_that_has_just_begun_has_the_sheet_s_columns_already(facts):
    nothing = dict.fromkeys(("trials", "finalists", "baseline", "baseline_finalists"), ())
    assert "latency_ms_1" in trial_rows(dataclasses.replace(facts, **nothing))[0]


def test_the_winners_trained_again_are_in_the_sheet(facts):
    again = dataclasses.replace(facts.finalists[0], number=1)
    header, *rows = trial_rows(dataclasses.replace(facts, repeats=(again,)))
    (row,) = (row for row in rows if row[0] == "repeats")
    assert row[header.index("reward")] == again.reward


def test_every_figure_becomes_a_picture(facts, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    from PIL import Image

    paths = write_pictures(all_figures(facts), tmp_path)
    assert len(paths) == 5
    for path in paths:
        with Image.open(path) as image:
            assert image.size == (1280, 840)
            assert len(image.convert("RGB").getcolors(1 << 20)) > 10, f"{path.name} is empty"
            assert image.info["Description"]


def test_the_command_runs_the_same_search_again(facts):
    words = shlex.split(search_command(facts.study))
    assert words[:2] == ["mnas", "search"]
    assert words[words.index("--trials") + 1] == "40"
    assert words[words.index("--table") + 1].endswith("table.json")
    assert words[-2:] == ["--study", str(facts.study.folder)]
    assert "--batch" not in words, "defaults are left out"
    assert provenance(facts.study)["seed"] == "1"


def test_the_policy_s_entropy_is_drawn_as_it_was_logged(facts):
    entropy = next(figure for figure in all_figures(facts) if figure.name == "entropy")
    assert entropy.series[0].x == (10, 20, 30, 40)
    assert entropy.series[0].y == pytest.approx((4.9, 4.8, 4.7, 4.6))


def test_table_keys_are_read_back():
    for placed in small_space().placed_blocks():
        assert read_key(placed.key) == placed or placed.block.op == "identity" or "classifier" in placed.key
    assert read_key("what is this") is None


def _lightness(colour):
    """CIE lightness of sRGB, 0 to 100: what is left of a colour in grey."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return 116 * luminance ** (1 / 3) - 16


def test_series_that_share_a_plot_differ_in_symbol_and_stand_out_from_the_ground():
    for group in (
        ("search", "random", "random_finalist", "finalist", "winner"),
        ("conv", "sepconv", "kernel3", "kernel5", "kernel7", "classifier"),
    ):
        assert len({LOOKS[name].symbol for name in group}) == len(group)
        assert len({LOOKS[name].marker for name in group}) == len(group)
        for name in group:
            assert _lightness(LOOKS[name].light) < 75
            assert _lightness(LOOKS[name].dark) > 45
