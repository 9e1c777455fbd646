"""A Linux board over ssh."""

from __future__ import annotations

from mnas.devices.base import Device
from mnas.errors import InputError


def open_board(spec: str, *, runtime: str, threads: int, delegate: str) -> Device:
    """Not there yet."""
    raise InputError(f"--device ssh:{spec}: this version of mnas does not measure over ssh yet")
