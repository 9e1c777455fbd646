"""What a device is, and how warm, full and busy it is now, for `mnas doctor`. Asking needs no runtime on the device."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypeVar

from msgspec import Meta, Struct

from mnas.checks import convert
from mnas.devices.adb import Adb
from mnas.devices.benchmark_log import printable
from mnas.devices.board_agent import busy_share, condition
from mnas.devices.phone import Cpu, Phone, read_heat, read_phone
from mnas.devices.ssh import parse_board
from mnas.devices.ssh_link import SshLink
from mnas.errors import InputError, MnasError

_FREE = "df -k /data/local/tmp"
_BUSY = "head -n 1 /proc/stat; sleep 1; head -n 1 /proc/stat"
_ANSWER_S = 180.0  # as long as a slow board may take to start Python
_LONGEST = 200

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Condition:
    """A device's state. Texts are empty, and numbers None, where it does not tell.

    Attributes:
        kind: of device: local, adb, ssh.
        model: of the phone or board.
        soc: its chip or instruction set.
        cpu: its cores in one line.
        os: its system.
        cores: all of them, those that are switched off too.
        celsius: of the battery of a phone, of the warmest sensor of another device.
        thermal_status: Android's: 0 none, 1 light, 2 moderate, 3 and above severe; None for other devices.
        free_bytes: where mnas copies its files to.
        busy: share of the CPU time that programs use, over a moment in which mnas does nothing.
    """

    kind: str
    model: str = ""
    soc: str = ""
    cpu: str = ""
    os: str = ""
    cores: tuple[Cpu, ...] = ()
    celsius: float | None = None
    thermal_status: int | None = None
    free_bytes: int | None = None
    busy: float | None = None


def read_condition(device: str) -> Condition:
    """Ask a device for its state. What it does not answer in time, or at all, stays unknown.

    Args:
        device: as `mnas.devices.registry.open_device` takes it.

    Raises:
        InputError: for another specification, or several phones and no serial.
        MnasError: if the device cannot be reached.
    """
    kind, separator, rest = device.partition(":")
    if kind == "adb" and (rest or not separator):
        return _phone(Adb(rest))
    if device == "local":
        return _host("local", condition())
    if kind == "ssh" and rest:
        host, python, port = parse_board(rest)
        with closing(SshLink(host, python, port=port)) as link:
            return _host("ssh", link.ask({"do": "condition"}, limit_s=_ANSWER_S))
    raise InputError(f"--device is {device!r}: expected local, adb, adb:SERIAL or ssh:HOST")


class _Said(Struct, frozen=True, forbid_unknown_fields=True):
    model: str
    soc: str
    cpu: str
    os: str
    cores: list[Cpu]
    celsius: float | None
    free_bytes: Annotated[int, Meta(ge=0, le=10**18)] | None
    busy: float | None


def _phone(adb: Adb) -> Condition:
    phone = _optional(lambda: read_phone(adb))
    heat = _optional(lambda: read_heat(adb))
    free = _optional(lambda: adb.shell(_FREE, check=False)) or ""
    busy = _optional(lambda: adb.shell(_BUSY, check=False)) or ""
    if phone is None:
        phone = Phone("", "", "", "", ())
    before, _, after = busy.strip().partition("\n")
    return Condition(
        kind="adb",
        model=phone.model,
        soc=phone.soc,
        cpu=phone.cpu,
        os=phone.fingerprint,
        cores=phone.cpus,
        celsius=None if heat is None else heat.celsius,
        thermal_status=None if heat is None else heat.status,
        free_bytes=_free_bytes(free),
        busy=_share(busy_share(before, after)),
    )


def _optional(ask: Callable[[], _T]) -> _T | None:
    """The answer to a question; None, with a warning, if there is none."""
    try:
        return ask()
    except MnasError as error:
        _log.warning("%s\n  What it would have told stays unknown.", error)
        return None


def _free_bytes(text: str) -> int | None:
    """The last row's available blocks; a long name of a file system has a line of its own."""
    found = re.findall(r"\b\d{1,15}\s+\d{1,15}\s+(\d{1,15})\s+\d{1,3}%", text)
    return 1024 * int(found[-1]) if found else None


def _share(value: float | None) -> float | None:
    return None if value is None else min(max(value, 0.0), 1.0)


def _host(kind: str, said: Any) -> Condition:
    """What the board's agent says, here or there.

    Raises:
        MnasError: if it is not what the agent says.
    """
    found = convert(said, _Said, "what the device says of itself")
    model, soc, cpu, system = (
        printable(text).strip()[:_LONGEST] for text in (found.model, found.soc, found.cpu, found.os)
    )
    return Condition(
        kind,
        model,
        soc,
        cpu,
        system,
        tuple(replace(core, governor=printable(core.governor)[:_LONGEST]) for core in found.cores),
        celsius=found.celsius,
        free_bytes=found.free_bytes,
        busy=_share(found.busy),
    )
