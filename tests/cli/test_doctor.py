"""`mnas doctor` on this machine."""

from __future__ import annotations

import pytest

from mnas.errors import InputError, MnasError
from tests.commands import run


def test_the_doctor_looks_at_this_machine() -> None:
    text = run("doctor")
    for words in ("Pinned to cores: ", "Cores", "A small network", "xnnpack", "Noise: the reference network takes"):
        assert words in text
    assert ("What to fix first" in text) != ("Nothing to fix" in text)


def test_what_the_doctor_refuses() -> None:
    with pytest.raises(InputError, match="is for phones"):
        run("doctor", "--benchmark-binary", __file__)
    with pytest.raises(InputError, match="expected local, adb"):
        run("doctor", "--device", "usb")
    with pytest.raises(InputError, match="this process may use"):
        run("doctor", "--threads", 1000)


def test_a_runtime_that_is_not_there_ends_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise MnasError("ai-edge-litert cannot be loaded")

    monkeypatch.setattr("mnas.devices.local.Runtime", missing)
    with pytest.raises(MnasError, match=r"cannot be measured\. No network runs: ai-edge-litert cannot be loaded"):
        run("doctor", "--json")
