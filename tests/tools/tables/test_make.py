"""Measuring the ready-made tables: what is there is kept, and the index follows."""

from __future__ import annotations

from pathlib import Path

import pytest

from mnas.latency.registry import read_registry
from mnas.space.files import SPACES
from tests.latency.tables import CONFIGURATION
from tests.profiling.fakes import FakeDevice
from tests.spaces import small_space
from tools.tables import make


def test_every_space_is_planned_at_every_dtype(tmp_path: Path) -> None:
    planned = make.plan_tables(CONFIGURATION, tmp_path)
    assert {(each.space, each.dtype) for each in planned} == {(s, d) for s in SPACES for d in ("float32", "int8")}
    assert len({each.path for each in planned}) == len(planned)
    assert planned[0].path.name.startswith("a-cpu_litert_")
    assert not any(each.is_there for each in planned)


def test_what_is_missing_is_measured_and_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnas.profiling.collect.LEAST", 24)
    monkeypatch.setattr("mnas.profiling.collect.MOST", 24)
    monkeypatch.setattr(make, "SPACES", ("small",))
    monkeypatch.setattr(make, "DTYPES", ("float32",))
    monkeypatch.setattr(make, "load_space", lambda name: small_space())
    (table,) = make.make_tables(FakeDevice(), 0.05, tmp_path)
    (listed,) = read_registry(tmp_path)
    assert (listed.name, listed.file) == ("a-cpu-float32-small", "a-cpu_litert_float32_small.json")
    assert listed.sha256 == table.sha256
    assert make.make_tables(FakeDevice(fail_after=0), 0.05, tmp_path) == []
