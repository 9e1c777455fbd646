"""What devices tell of their state, and `mnas doctor` on a phone and on a board."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mnas.cli.main import app
from mnas.devices.adb import Adb, SlowAnswerError
from mnas.devices.android import AndroidDevice
from mnas.devices.base import MeasurementSettings
from mnas.devices.board_agent import busy_share
from mnas.devices.condition import Condition, read_condition
from mnas.errors import InputError, MnasError
from tests.devices.phone_double import PhoneDouble

BUSY = "cpu  1000 0 500 8000 500 0 0 0 0 0\ncpu0 1 1 1 1\n"


def doctor(*arguments: object) -> tuple[dict[str, Any], MnasError | None]:
    """What `mnas doctor --json` prints, and its error if there is one."""
    result = CliRunner().invoke(app, ["doctor", "--json", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, MnasError), result.exception
    return json.loads(result.stdout), result.exception


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    pace = MeasurementSettings(burst_ms=1, start_ms=1, reference_runs=5, first_looks=2, wave_networks=2)
    monkeypatch.setattr(AndroidDevice, "pace", pace)


@pytest.fixture
def tells(phone: PhoneDouble) -> Callable[[str], None]:
    """Gives the phone a storage and CPU time of its own, instead of this machine's."""

    def set_up(df: str) -> None:
        phone.install(phone.root / "bin/df", f"#!/bin/sh\ncat <<END\n{df}\nEND\n")
        phone.install(phone.root / "bin/sleep", "#!/bin/sh\n")
        later = "cpu  1100 0 500 8800 500 0 0 0 0 0"
        phone.install(
            phone.root / "bin/head",
            f'#!/bin/sh\n[ -e "$PHONE/asked" ] && echo "{later}" || head=1; touch "$PHONE/asked"; '
            f'[ -z "$head" ] || echo "cpu  1000 0 500 8000 500 0 0 0 0 0"\n',
        )

    return set_up


def test_a_phone_tells_its_state(phone: PhoneDouble, tells: Callable[[str], None]) -> None:
    long_name = "/dev/block/by-name/userdata\n                  110000000 9000000 101000000  9% /data"
    tells(f"Filesystem 1K-blocks Used Available Use% Mounted on\n{long_name}")
    phone.set_temperature(42.5, status=3)
    (phone.root / "sys/devices/system/cpu/cpu3/online").write_text("0\n")
    found = read_condition(f"adb:{phone.address}")
    assert (found.kind, found.model, found.soc) == ("adb", "Google Pixel 4", "SM8150")
    assert (found.celsius, found.thermal_status) == (42.5, 3)
    assert found.free_bytes == 101000000 * 1024
    assert found.busy == pytest.approx(100 / 900)
    assert [core.number for core in found.cores if not core.online] == [3]


def test_a_phone_that_does_not_answer_optional_questions(
    phone: PhoneDouble, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    adb = Adb(phone.address)
    shell = adb.shell

    def slow(self: Adb, command: str, **options: Any) -> str:
        if any(word in command for word in ("dumpsys", "df ", "/proc/stat", "getprop")):
            raise SlowAnswerError(f"too long ({command})")
        return shell(command, **options)

    monkeypatch.setattr(Adb, "shell", slow)
    assert read_condition(f"adb:{phone.address}") == Condition("adb")
    assert "stays unknown" in caplog.text


def test_this_machine_tells_its_state() -> None:
    found = read_condition("local")
    assert found.kind == "local"
    assert found.cores
    assert any(core.online for core in found.cores)
    assert found.free_bytes
    assert found.busy is None or 0 <= found.busy <= 1
    with pytest.raises(InputError, match="expected local, adb"):
        read_condition("usb:1")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (BUSY, "cpu  1100 0 500 8900 500 0 0 0 0 0\n", 0.1),
        (BUSY, BUSY, None),
        ("", "", None),
        (BUSY, "Permission denied", None),
        ("cpu a b c d e", BUSY, None),
    ],
)
def test_how_busy_a_device_is(before: str, after: str, expected: float | None) -> None:
    assert busy_share(before, after) == (expected if expected is None else pytest.approx(expected))


@pytest.mark.usefixtures("quick")
def test_the_doctor_looks_at_a_phone(phone: PhoneDouble, binary: Path, tells: Callable[[str], None]) -> None:
    tells("Filesystem 1K-blocks Used Available Use% Mounted on\n/dev/x 1000 900 90000 9% /data")
    phone.set_temperature(43.0)
    (phone.root / "no_gpu").touch()
    (phone.root / "accelerators").write_text("nnapi-reference")
    (phone.root / "sys/devices/system/cpu/cpu2/online").write_text("0\n")
    for file in phone.root.glob("sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"):
        file.write_text("powersave\n")
    found, error = doctor("--device", f"adb:{phone.address}", "--benchmark-binary", binary)
    assert error is None
    runs = {(check["delegate"], check["dtype"]): check["reason"] for check in found["delegates"]}
    assert {name for name, reason in runs.items() if not reason} == {
        (delegate, dtype) for delegate in ("xnnpack", "none") for dtype in ("float32", "int8")
    }
    assert "did not run the network on GPU" in runs["gpu", "int8"]
    assert "nnapi-reference alone" in runs["nnapi", "float32"]
    assert found["configuration"]["affinity"] == "7"
    assert found["program"].startswith("benchmark_model (classic, a script, SHA-256 ")
    assert found["noise"]["repeatability"] == 0
    hot, full, busy, governor, off = found["advice"]
    assert hot.startswith("It is hot")  # and it was measured without waiting for it to cool
    assert full.startswith("Only 92 MB are free in /data/local/tmp")
    assert busy.startswith("Other programs use 11% of its CPU time")
    assert "powersave" in governor
    assert off.startswith("Of its 8 cores, core 2 is switched off")
    assert phone.files == []


def test_the_doctor_of_a_phone_that_cannot_be_measured(phone: PhoneDouble, binary: Path) -> None:
    found, error = doctor("--device", f"adb:{phone.address}")
    assert error is not None
    assert error.exit_code == 1
    assert "cannot be measured. There is no benchmark program: add --benchmark-binary" in str(error)
    assert found["condition"]["model"] == "Google Pixel 4"
    (phone.root / "log.sed").write_text("s/count=/cuont=/\n")
    found, error = doctor("--device", f"adb:{phone.address}", "--benchmark-binary", binary)
    assert found["advice"][0].startswith("No network runs: ")
    assert not found["can_be_measured"]
    assert error is not None
    with pytest.raises(MnasError, match="not connected"):
        read_condition("adb:127.0.0.1:1")


def test_the_agent_of_a_board_tells_its_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ssh = tmp_path / "ssh"  # runs the last of its arguments here, as sshd does there
    ssh.write_text('#!/bin/sh\nfor last; do :; done\nexec sh -c "$last"\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{Path('/usr/bin')}:/bin")
    found, error = doctor("--device", f"ssh:board:{sys.executable}")
    assert error is None
    assert found["condition"]["kind"] == "ssh"
    assert found["condition"]["free_bytes"] > 0
    assert {check["delegate"]: check["latency_ms"] is not None for check in found["delegates"]} == {
        "xnnpack": True,
        "none": True,
    }
