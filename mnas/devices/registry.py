"""Device specifications as text, read in one place: `local`, `adb[:SERIAL]`, `ssh:HOST`."""

from __future__ import annotations

from mnas.devices.base import Device
from mnas.devices.local import LocalDevice, Runtime
from mnas.errors import InputError


def open_device(spec: str, *, runtime: str = "litert", threads: int = 1, delegate: str = "xnnpack") -> Device:
    """The device that a specification names.

    Raises:
        InputError: for a specification that means nothing, or a kind that this version cannot measure.
        MnasError: if the device or its runtime is not there.
    """
    kind, _, _ = spec.partition(":")
    if spec == "local":
        return LocalDevice(Runtime(runtime, threads=threads, delegate=delegate))
    if kind in ("adb", "ssh"):
        raise InputError(f"--device {spec}: this version of mnas measures on --device local only, not yet over {kind}")
    raise InputError(f"--device is {spec!r}: expected local")
