"""Measurements kept one by one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mnas.arch.zoo import ZOO
from mnas.errors import InputError
from mnas.latency.calibration import read_configuration, read_measurements
from mnas.latency.measurements import append_measurement
from tests.latency.tables import CONFIGURATION


def test_they_are_kept_with_where_they_were_measured(tmp_path: Path) -> None:
    path = tmp_path / "measured.json"
    assert append_measurement(path, ZOO["mnasnet-a1"], 20.5, CONFIGURATION) == 1
    assert append_measurement(path, ZOO["mnasnet-small"], 3.25, CONFIGURATION) == 2
    assert read_measurements(path) == [(ZOO["mnasnet-a1"], 20.5), (ZOO["mnasnet-small"], 3.25)]
    assert read_configuration(path) == CONFIGURATION


@pytest.mark.parametrize(
    ("device", "changes"),
    [
        ("local", {"governor": "performance"}),
        ("ssh", {"affinity": "0"}),
        ("adb", {"cpu": "7 x 1.79 GHz", "affinity": "6"}),  # a core was switched off
        ("adb", {"binary_sha256": "cd" * 32}),
    ],
)
def test_what_changes_by_itself_is_warned_of(
    device: str, changes: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, first = tmp_path / "measured.json", replace(CONFIGURATION, device=device)
    append_measurement(path, ZOO["mnasnet-a1"], 20.5, first)
    assert not caplog.text
    assert append_measurement(path, ZOO["mnasnet-small"], 3.25, replace(first, **changes)) == 2
    for name, value in changes.items():
        assert f"{name} was {getattr(first, name)!r}, is {value!r}" in caplog.text
    assert read_configuration(path) == first


@pytest.mark.parametrize("changes", [{"cpu": "another"}, {"os": "Linux 7"}, {"model": "Pi 5"}, {"soc": "arm64"}])
def test_another_machine_is_refused(changes: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "measured.json"
    append_measurement(path, ZOO["mnasnet-a1"], 20.5, CONFIGURATION)
    with pytest.raises(InputError, match="was measured in another way"):
        append_measurement(path, ZOO["mnasnet-a1"], 20.5, replace(CONFIGURATION, **changes))


def test_those_of_two_devices_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "measured.json"
    append_measurement(path, ZOO["mnasnet-a1"], 20.5, CONFIGURATION)
    before = path.read_bytes()
    with pytest.raises(
        InputError, match=r"in another way \(dtype was 'float32', is 'int8'; threads was 1, is 4\): name"
    ):
        append_measurement(path, ZOO["mnasnet-a1"], 20.5, replace(CONFIGURATION, dtype="int8", threads=4))
    assert path.read_bytes() == before
    document = json.loads(before)
    del document["configuration"]
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match="does not state where"):
        append_measurement(path, ZOO["mnasnet-a1"], 20.5, CONFIGURATION)
