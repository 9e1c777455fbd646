"""An adb server of the tests' own, and phones for it."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mnas.devices.adb import Adb
from tests.devices.phone_double import BENCHMARK_MODEL, PhoneDouble


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks of phones go to a folder of the test's own, and nothing waits before another try."""
    monkeypatch.setenv("MNAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Adb, "sleep", staticmethod(lambda seconds: None))


@pytest.fixture(scope="module")  # no longer, for it moves this user's home
def adb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The real adb, with its keys in a temporary home and its server on a port of its own."""
    if shutil.which("adb") is None:
        pytest.skip("adb is not installed (apt-get install adb): nothing to reach a phone with")
    with socket.create_server(("127.0.0.1", 0)) as free, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANDROID_ADB_SERVER_PORT", str(free.getsockname()[1]))
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.delenv("ANDROID_SERIAL", raising=False)
        for name in ("ADB_MDNS", "ADB_MDNS_OPENSCREEN", "ADB_MDNS_AUTO_CONNECT"):  # it would listen on all interfaces
            patch.setenv(name, "0")
        free.close()
        yield
        subprocess.run(["adb", "kill-server"], capture_output=True, check=False)


@pytest.fixture
def new_phone(adb_server: None, tmp_path: Path) -> Iterator[Callable[[], PhoneDouble]]:
    """Phones that are not connected yet."""
    phones: list[PhoneDouble] = []

    def make() -> PhoneDouble:
        phones.append(PhoneDouble(tmp_path / f"phone{len(phones)}"))
        return phones[-1]

    yield make
    for phone in phones:
        phone.close()
        subprocess.run(["adb", "disconnect", phone.address], capture_output=True, check=False)


@pytest.fixture
def phone(new_phone: Callable[[], PhoneDouble]) -> PhoneDouble:
    """One of them."""
    return new_phone()


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    """What stands for benchmark_model on the double."""
    path = tmp_path / "benchmark_model_of_some_name"
    path.write_text(BENCHMARK_MODEL)
    return path
