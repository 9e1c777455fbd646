"""Latencies that are kept, and when they are no longer those of the device."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from mnas.arch.resize import resize
from mnas.arch.zoo import ZOO
from mnas.profiling import meter
from mnas.profiling.meter import LatencyMeter, open_meter
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


def test_a_device_that_has_become_slower_as_a_whole_does_not_decide_a_comparison(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(resize(ZOO["mnasnet-small"], width=0.35), resolution=32, num_classes=2)
    winner, other = small, replace(small, resolution=64)
    slowdown, measured = 1.3, []

    def measure_files(device: object, contents: list[bytes], **rest: object) -> list[SimpleNamespace]:
        measured.append(len(contents))
        return [SimpleNamespace(quiet_ms=slowdown * each) for each in (4.0, 2.0)[: len(contents)]]

    monkeypatch.setattr(meter, "measure_files", measure_files)
    opened = LatencyMeter(None, path=tmp_path / "measured.json", beside=(winner, 2.0))  # type: ignore[arg-type]
    assert opened.measure([other]) == pytest.approx([4.0])
    slowdown = 0.8
    assert opened.measure([other]) == pytest.approx([4.0])
    assert measured == [2], "what is in the record is not measured again"
    again = LatencyMeter(None, path=tmp_path / "measured.json", beside=(winner, 2.0))  # type: ignore[arg-type]
    assert again.measure([other]) == pytest.approx([4.0])
    assert measured == [2]
