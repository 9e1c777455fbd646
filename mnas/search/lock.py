"""One process a study."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

from mnas.errors import MnasError


def is_locked(folder: Path) -> bool:
    """Whether a process works on this study now."""
    try:
        with open(folder / "lock", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no lock file: nobody ever worked on it
        return False
    return False


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a study's lock. The kernel releases it when the process ends, however it ends.

    Raises:
        MnasError: if another process has it; the message says which, and since when.
    """
    try:
        file = open(folder / "lock", "a+", encoding="utf-8")  # noqa: SIM115 - closed below
    except OSError as error:
        raise MnasError(f"cannot write into the study {folder}: {error.strerror or error}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise MnasError(
                f"the study {folder} is being worked on by {file.read().strip() or 'another process'}: "
                "wait for it, end it, or choose another --study"
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()} since {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
        file.flush()
        yield
