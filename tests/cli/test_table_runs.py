"""`mnas table extend` and `merge`, and overwriting tables, on the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mnas.devices import registry
from mnas.errors import InputError
from mnas.profiling.profile import ProfileOptions, profile
from tests.commands import run
from tests.latency.tables import make_table
from tests.profiling.fakes import FakeDevice
from tests.spaces import small_space

SPACE = small_space()


class InSmallWaves(FakeDevice):
    """Measures six networks at a time."""

    pace = replace(FakeDevice.pace, wave_networks=6)


def few(monkeypatch: pytest.MonkeyPatch, networks: int) -> None:
    monkeypatch.setattr("mnas.profiling.collect.LEAST", networks)
    monkeypatch.setattr("mnas.profiling.collect.MOST", networks)
    monkeypatch.setattr("mnas.profiling.extend.MOST", networks)


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    few(monkeypatch, 24)
    for seed, name in enumerate(("a", "b")):
        profile(SPACE, InSmallWaves(), tmp_path / f"{name}.json", ProfileOptions(minutes=0.1, seed=seed))
    return tmp_path / "a.json", tmp_path / "b.json"


def test_extend_says_what_got_better(tables: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    few(monkeypatch, 30)
    monkeypatch.setattr(registry, "open_device", lambda device, **how: InSmallWaves())
    found = json.loads(run("table", "extend", tables[0], "--minutes", 0.2, "--json"))
    assert (found["num_before"], found["num_after"]) == (24, 30)
    assert found["report_card"]["num_networks"] == found["after"]["num_networks"] == found["before"]["num_networks"]
    told = " ".join(run("table", "extend", tables[1], "--minutes", 0.2).split())
    assert "networks instead of 24. On the" in told
    assert "% off on average, now" in told
    assert "90 % intervals: plus and minus" in told
    with pytest.raises(InputError, match="the table is for --device local; got --device adb"):
        run("table", "extend", tables[0], "--minutes", 1, "--device", "adb")


def test_merge_says_where_runs_disagree(tables: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "c.json"
    found = json.loads(run("table", "merge", *tables, "--out", out, "--json"))
    assert found["table"] == str(out)
    assert found["disagreements"][0]["groups"]
    with pytest.raises(InputError, match=r"c.json exists already"):
        run("table", "merge", *tables, "--out", out)
    told = " ".join(run("table", "merge", *tables, "--out", out, "--force").split())
    assert f"of 2 runs. {tables[1]} against {tables[0]}:" in told
    assert "Report card" in told


def test_profile_does_not_overwrite_a_table(tmp_path: Path) -> None:
    make_table(SPACE).save(tmp_path / "t.json")
    (tmp_path / "notes.json").write_text("mine")
    with pytest.raises(
        InputError, match=r"a latency table of small at 16 px, a CPU, litert, float32, 1 thread, 2026-01"
    ):
        run("profile", "--space", "mnasnet-16", "--out", tmp_path / "t.json")
    with pytest.raises(InputError, match="it is not a latency table that this mnas reads"):
        run("profile", "--space", "mnasnet-16", "--out", tmp_path / "notes.json")
    several = ("profile", "--space", "mnasnet-16", "--device", "adb:1", "--device", "adb:2", "--force")
    with pytest.raises(InputError, match="--force is for one device"):
        run(*several, "--out", tmp_path / "tables")
