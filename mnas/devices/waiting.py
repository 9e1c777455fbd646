"""Waiting for a device that is gone: a cable, a network or a phone that restarts need not end a run of a night."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import chain, repeat
from typing import TypeVar

from mnas.devices.base import LostDeviceError
from mnas.errors import MnasError

_T = TypeVar("_T")
_PAUSES_S = (2.0, 5.0, 10.0, 20.0)  # the last one again and again

_log = logging.getLogger(__name__)


def wait_until_back(
    name: str,
    connect: Callable[[], _T],
    lost: LostDeviceError,
    *,
    wait_s: float,
    sleep: Callable[[float], None] = time.sleep,
) -> _T:
    """Connect to a device again and again, with growing pauses, and say so once.

    Args:
        name: of the device, for messages.
        connect: connects to it.
        lost: why it is gone.
        wait_s: how long at most; 0 does not wait.
        sleep: as `time.sleep`.

    Returns:
        What `connect` returns.

    Raises:
        LostDeviceError: if the time is over, or there is none.
    """
    if wait_s <= 0:
        raise lost
    _log.warning(
        "%s\n  Waiting up to %s for %s to come back. Ctrl-C ends this; finished measurements are kept.",
        lost,
        _minutes(wait_s),
        name,
    )
    began = time.monotonic()
    for pause_s in chain(_PAUSES_S, repeat(_PAUSES_S[-1])):
        left_s = wait_s - (time.monotonic() - began)
        if left_s <= 0:
            break
        sleep(min(pause_s, left_s))
        with suppress(MnasError):
            found = connect()
            _log.warning("%s is back after %s", name, _minutes(time.monotonic() - began))
            return found
    raise type(lost)(f"{lost}\n  It did not come back within the {_minutes(wait_s)} of --wait.")


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
