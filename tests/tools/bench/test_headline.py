"""The report of `tools.bench.headline`: networks by kind, their means and ranges over seeds."""

import sys

import pytest

from tools.bench.headline import main, picture


def row(kind, seed, budget_ms, measured_ms, accuracy, resolution=128):
    return {
        "kind": kind, "seed": seed, "budget_ms": budget_ms, "measured_ms": measured_ms, "test_accuracy": accuracy,
        "resolution": resolution,
    }  # fmt: skip


def test_the_picture_has_means_and_ranges_over_seeds():
    rows = [
        row("designed", 0, 2, 1.9, 0.90),
        row("designed", 1, 2, 2.1, 0.88),
        row("designed", 0, 4, 3.9, 0.92),
        row("published", 0, 2, 1.8, 0.85),
        row("teacher", 0, 2, 5.0, 0.92),
        row("teacher", 0, 4, 5.0, 0.92),
        row("random search", 0, 2, None, 0.8),
    ]
    figure = picture(rows)
    designed, published, teacher = figure.series
    assert (designed.x, published.x, teacher.x) == ((2.0, 3.9), (1.8,), (5.0,))
    assert [round(value, 3) for value in designed.y] == [0.89, 0.92]
    assert designed.interval == ((0.88, 0.90), (0.92, 0.92))


def test_teachers_of_several_resolutions_are_points_of_their_own():
    rows = [
        row("teacher", 0, 2, 5.0, 0.90),
        row("teacher", 1, 2, 5.2, 0.92),
        row("teacher", 0, 4, 11.0, 0.94, resolution=192),
    ]
    (teacher,) = picture(rows).series
    assert teacher.x == (5.1, 11.0)
    assert [round(value, 3) for value in teacher.y] == [0.91, 0.94]


def test_a_resolution_is_for_every_budget_or_for_one(monkeypatch, tmp_path, capsys):
    given = ["--data", "photos", "--out", str(tmp_path), "--budgets-ms", "1", "2", "3", "--resolution", "64", "96"]
    monkeypatch.setattr(sys, "argv", ["headline", *given])
    with pytest.raises(SystemExit):
        main()
    assert "--resolution has 2 numbers: expected one, or one for each of 3 budgets" in capsys.readouterr().err
