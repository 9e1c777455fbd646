"""The real adb program: which phones there are, commands that fail or never end."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mnas.devices.adb import Adb
from mnas.devices.phone import read_phone
from mnas.errors import InputError, MnasError
from tests.devices.phone_double import PhoneDouble


def test_no_phone(adb_server: None) -> None:
    subprocess.run(["adb", "kill-server"], capture_output=True, check=False)  # it remembers phones for a while
    with pytest.raises(MnasError, match="USB debugging"):
        Adb()
    with pytest.raises(MnasError, match="not connected"):
        Adb("0123456789ABCDEF")


def test_a_phone_that_does_not_allow_it(phone: PhoneDouble) -> None:
    phone.authorized = False
    with pytest.raises(MnasError, match="unlock its screen and accept"):
        Adb(phone.address)


def test_one_of_two(new_phone: Callable[[], PhoneDouble], monkeypatch: pytest.MonkeyPatch) -> None:
    phones = [new_phone(), new_phone()]
    for number, each in enumerate(phones):
        each.set_prop("ro.product.model", f"phone {number}")
        assert read_phone(Adb(each.address)).model == f"Google phone {number}"
    with pytest.raises(InputError, match=r"2 phones: .*\(device\).*--device adb:SERIAL") as found:
        Adb()
    assert all(each.address in str(found.value) for each in phones)
    with pytest.raises(MnasError, match=r"0123 is not connected: .*; adb sees ") as found:
        Adb("0123")
    assert all(each.address in str(found.value) for each in phones)
    monkeypatch.setenv("ANDROID_SERIAL", phones[1].address)
    assert read_phone(Adb()).model == "Google phone 1"
    monkeypatch.setenv("ANDROID_SERIAL", "0123")
    with pytest.raises(MnasError, match=r"0123 is not connected: .*\n.*ANDROID_SERIAL names it"):
        Adb()


def test_commands_that_fail_or_never_end(phone: PhoneDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    adb = Adb(phone.address)
    with pytest.raises(MnasError, match=r"exit code 3.*\n.*no such luck"):
        adb.shell("echo no such luck; exit 3")
    with pytest.raises(MnasError, match=r"longer than 0.2 s and was ended there: sleep 30"):
        adb.shell("sleep 30", limit_s=0.2)
    monkeypatch.setattr("mnas.devices.adb.ANSWER_S", -1.5)
    phone.install(phone.root / "bin/timeout", "#!/bin/sh\nsleep 3\n")
    with pytest.raises(MnasError, match="did not answer"):
        adb.shell("true", limit_s=0.1)


def test_adb_does_not_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    PhoneDouble.install(tmp_path / "adb", "#!/bin/sh\necho 'cannot connect to daemon' >&2; exit 1\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(MnasError, match=r"cannot start its server:\n.*daemon"):
        Adb()


def test_adb_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MnasError, match="apt-get install adb"):
        Adb()


def test_a_phone_that_never_stops_talking(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    PhoneDouble.install(tmp_path / "adb", "#!/bin/sh\nhead -c 20000000 /dev/zero\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(MnasError, match="the phone printed 19 MiB where a few lines were expected"):
        Adb()


def test_wireless_debugging_by_name(adb_server: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """mDNS needs a while to find a phone; mnas leaves it to the user whether adb has it."""
    name = "adb-9B101FFAZ001XY-a1B2c3._adb-tls-connect._tcp"
    script = f"""#!/bin/sh
echo "$ADB_MDNS $ADB_MDNS_OPENSCREEN $ADB_MDNS_AUTO_CONNECT" >>{tmp_path}/settings
if [ "$1" = devices ]; then
    echo "List of devices attached"
    [ -e {tmp_path}/seen ] && printf '{name}\\tdevice\\n'
    touch {tmp_path}/seen
else for command; do :; done; sh -c "$command"; fi
"""
    for variable in ("ADB_MDNS", "ADB_MDNS_OPENSCREEN", "ADB_MDNS_AUTO_CONNECT"):
        monkeypatch.delenv(variable, raising=False)
    PhoneDouble.install(tmp_path / "adb", script)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert Adb(name).shell("echo hello").strip() == "hello"
    assert set((tmp_path / "settings").read_text().splitlines()) == {"  "}
