"""`mnas table calibrate`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mnas.arch.codec import architecture_to_dict
from mnas.errors import InputError
from mnas.latency.table import LatencyTable
from mnas.tflite.random_model import write_random_model
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
    again = ("table", "calibrate", table, "--from", measured, "--out", out)
    written = out.read_bytes()
    with pytest.raises(InputError, match=r"out.json exists already \(a latency table of .*--force"):
        run(*again)
    assert out.read_bytes() == written
    assert "times 1.5000" in run(*again, "--force")


def test_a_table_that_is_kept_is_written_as_it_was(tmp_path: Path) -> None:
    table, measured, out = calibrate(tmp_path, 2)
    assert "unchanged" in run("table", "calibrate", table, "--from", measured, "--out", out)
    assert LatencyTable.load(out) == LatencyTable.load(table)


def test_a_published_table_becomes_one_of_this_device(tmp_path: Path) -> None:
    """Networks are measured here one by one, and kept; calibrated to them, the table is one of this device."""
    somewhere = replace(make_table(SPACE).configuration, device="unknown", runtime="unknown", dtype="unknown")
    table, measured, out = tmp_path / "table.json", tmp_path / "measured.json", tmp_path / "out.json"
    make_table(SPACE, configuration=somewhere).save(table)
    kept = []
    for number, network in enumerate(networks(4)):
        file = tmp_path / f"{number}.tflite"
        file.write_bytes(write_random_model(network))
        file.with_suffix(".json").write_text(
            json.dumps({"architecture": architecture_to_dict(network), "dtype": "float32"})
        )
        said = json.loads(run("bench", file, "--seconds", 0.2, "--append", measured, "--json"))
        assert said["num_kept"] == number + 1
        kept.append(said["quiet_ms"])
    document = json.loads(measured.read_text())
    assert [row["latency_ms"] for row in document["measurements"]] == kept
    for row, (_, ms) in zip(document["measurements"], measure(networks(4), 1.5), strict=True):
        row["latency_ms"] = ms  # whatever else this machine is doing, the fit helps
    measured.write_text(json.dumps(document))
    first = (tmp_path / "0.tflite", "--seconds", 0.2, "--table")
    with pytest.raises(InputError, match="is float32; the table is for unknown"):
        run("bench", *first, table)
    told = run("table", "calibrate", table, "--from", measured, "--out", out)
    assert "It is a table of" in told
    assert "--device local, float32" in " ".join(told.split())
    assert json.loads(run("bench", *first, out, "--json"))["same_machine"]


def test_what_cannot_be_kept_is_said_before_anything_is_measured(tmp_path: Path) -> None:
    (network,) = networks(1)
    file, measured = tmp_path / "net.tflite", tmp_path / "measured.json"
    file.write_bytes(write_random_model(network))
    with pytest.raises(InputError, match=r"need the network of .*: add --arch ARCH"):
        run("bench", file, "--append", measured)
    for dtype, message in (({}, "does not state: make"), ({"dtype": "dynamic"}, "is dynamic, and latency tables are")):
        described = {"architecture": architecture_to_dict(network), **dtype}
        file.with_suffix(".json").write_text(json.dumps(described))
        with pytest.raises(InputError, match=message):
            run("bench", file, "--append", measured)
    file.with_suffix(".json").write_text(json.dumps({**described, "dtype": "float32"}))
    measured.write_text("{}")
    with pytest.raises(InputError, match="is not a document of measurements"):
        run("bench", file, "--append", measured, "--seconds", 3600)
