"""`mnas table calibrate`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mnas.arch.codec import architecture_to_dict
from mnas.latency.table import LatencyTable
from tests.cli.test_table_import import run
from tests.latency.tables import make_table
from tests.latency.test_calibration import SPACE, measure, networks


def calibrate(folder: Path, count: int) -> tuple[Path, ...]:
    make_table(SPACE).save(folder / "table.json")
    rows = [
        {"architecture": architecture_to_dict(network), "latency_ms": ms}
        for network, ms in measure(networks(count), 1.5)
    ]
    document = {"format": "mnas.measurements", "version": 1, "measurements": rows}
    (folder / "measured.json").write_text(json.dumps(document))
    return folder / "table.json", folder / "measured.json", folder / "out.json"


def test_before_and_after_are_said(tmp_path: Path) -> None:
    table, measured, out = calibrate(tmp_path, 5)
    found = json.loads(run("table", "calibrate", table, "--from", measured, "--out", out, "--json"))
    assert found["applied"] is True
    assert found["scale"] == pytest.approx(1.5)
    assert found["error_before"] == pytest.approx(1 / 3)
    assert json.loads(run("table", "compare", table, out, "--json"))["ratio"] == pytest.approx(1.5)
    assert "times 1.5000" in run("table", "calibrate", table, "--from", measured, "--out", out)


def test_a_table_that_is_kept_is_written_as_it_was(tmp_path: Path) -> None:
    table, measured, out = calibrate(tmp_path, 2)
    assert "unchanged" in run("table", "calibrate", table, "--from", measured, "--out", out)
    assert LatencyTable.load(out) == LatencyTable.load(table)
