"""The log of an unfinished profile: what continues it, and what does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mnas.errors import InputError
from mnas.profiling.log import ProfileLog

PHONE = {
    "device": "adb",
    "model": "Pixel 4",
    "soc": "SM8150",
    "cpu": "1 x 2.84 GHz, 7 x 1.79 GHz",
    "os": "google/flame:13",
    "runtime": "benchmark_model",
    "delegate": "xnnpack",
    "dtype": "float32",
    "threads": 1,
    "affinity": "7",
    "governor": "schedutil",
    "binary_sha256": "ab" * 32,
}


def header(*, minutes: float = 20.0, seed: int = 0, **changes: Any) -> dict[str, Any]:
    options = {"minutes": minutes, "dtype": "float32", "seed": seed}
    return {"space": "12ab", "configuration": PHONE | changes, "options": options}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"governor": "performance"}, "governor (schedutil then, performance now)"),
        ({"governor": ""}, "governor (schedutil then, unknown now)"),
        ({"affinity": "6", "cpu": "7 x 1.79 GHz"}, "affinity (7 then, 6 now)"),
        ({"binary_sha256": "cd" * 32}, "binary_sha256 (abab"),
        ({"affinity": "7-7: 7"}, "affinity (7 then, 7-7: 7 now)"),
        ({"minutes": 60.0}, "minutes (20.0 then, 60.0 now)"),
    ],
)
def test_what_changes_by_itself_does_not_end_a_profile(
    changes: dict[str, Any], said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ProfileLog(tmp_path / "t.log", header())
    assert not caplog.text
    ProfileLog(tmp_path / "t.log", header(**changes))
    assert f"continues a profile that was begun with another {said}" in caplog.text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "Pixel 5"}, "model (Pixel 4 then, Pixel 5 now)"),
        ({"soc": "SM7250"}, "soc"),
        ({"os": "google/flame:14"}, "os"),
        ({"runtime": "litert_benchmark_model"}, "runtime"),
        ({"delegate": "gpu"}, "delegate"),
        ({"affinity": "little: 0,1"}, "affinity (7 then, little: 0,1 now)"),
        ({"dtype": "int8"}, "dtype"),
        ({"threads": 4}, "threads (1 then, 4 now)"),
        ({"seed": 1}, "seed"),
    ],
)
def test_another_device_or_runtime_is_another_profile(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    ProfileLog(tmp_path / "t.log", header())
    with pytest.raises(InputError) as found:
        ProfileLog(tmp_path / "t.log", header(**changes))
    assert f"belongs to an unfinished profile that differs in {said}" in str(found.value)


def test_another_processor_of_this_machine_is_another_machine(tmp_path: Path) -> None:
    ProfileLog(tmp_path / "t.log", header(device="local", cpu="Xeon"))
    with pytest.raises(InputError, match=r"differs in cpu \(Xeon then, EPYC now\)"):
        ProfileLog(tmp_path / "t.log", header(device="local", cpu="EPYC"))
