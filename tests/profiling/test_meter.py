"""Latencies that are kept, and when they are no longer those of the device."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from mnas.profiling import meter
from mnas.profiling.meter import open_meter
from tests.latency.tables import make_table
from tests.spaces import small_space


@pytest.mark.parametrize("changed", [{"runtime_version": "9.9"}, {"os": "Android 99"}])
def test_an_updated_device_has_a_record_of_its_own(
    changed: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = make_table(small_space())
    table.save(tmp_path / "table.json")
    names = set()
    for now in (table.configuration, table.configuration, replace(table.configuration, **changed)):
        device = SimpleNamespace(configuration=lambda dtype, now=now: now)
        monkeypatch.setattr(meter, "open_again", lambda *given, device=device, **options: device)
        opened = open_meter(str(tmp_path / "table.json"), "adb", tmp_path)
        assert opened is not None
        names.add(opened.device_name)
    assert len(names) == 2
