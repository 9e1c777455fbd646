"""One process at a time for what must not be done by two: a study, a training, a profile."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from mnas.errors import MnasError


@contextlib.contextmanager
def hold(path: Path, what: str, *, remove: bool = False, wait: bool = False) -> Iterator[None]:
    """Hold a lock. The kernel releases it when the process ends, however it ends.

    Args:
        path: of the lock's file, made if it is not there; it says who has it.
        what: is being done, for the message: `the study runs/first`.
        remove: whether to take the file away afterwards.
        wait: until whoever has it is done.

    Raises:
        MnasError: if another process has it (the message says which, and since when), or it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - closed below
    except OSError as error:
        raise MnasError(f"cannot write into {path.parent} for {what}: {error.strerror or error}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise MnasError(f"{what} is being worked on by {file.read().strip() or 'another process'}") from None
        except OSError as error:
            raise MnasError(f"cannot lock {path} for {what}: {error.strerror or error}") from None
        if not _is_still(path, file):  # whoever had it has just taken it away
            raise MnasError(f"{what} was just finished by another process: try again")
        with contextlib.suppress(OSError):  # on a full disk the lock holds all the same
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()} since {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
            file.flush()
        try:
            yield
        finally:
            if remove:
                path.unlink(missing_ok=True)


def is_held(path: Path) -> bool:
    """Whether a process holds the lock now."""
    try:
        with open(path, encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no file: nobody ever held it
        return False
    return False


def _is_still(path: Path, file: IO[str]) -> bool:
    with contextlib.suppress(OSError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False
