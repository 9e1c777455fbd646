"""Locks: one process at a time works on a study, a training or a profile."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import IO

from mnas.errors import MnasError
from mnas.system.files import UNSUPPORTED
from mnas.system.flock import lock

_LOGGER = logging.getLogger(__name__)


@contextlib.contextmanager
def hold(path: Path, what: str, *, remove: bool = False, wait: bool = False) -> Iterator[None]:
    """Hold a lock. The kernel releases it when the process ends.

    Args:
        path: of the lock's file, which is made if needed and names the holder.
        what: the work, for messages: `the study runs/first`.
        remove: whether to remove the file afterwards.
        wait: whether to wait until it is free.

    Raises:
        MnasError: if another process holds it (the message names it and the time), or it cannot be written. A file
            system without locks is only warned of.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - closed below
    except OSError as error:
        raise MnasError(f"cannot write into {path.parent} for {what}: {error.strerror or error}") from None
    with file:
        try:
            lock(file, wait=wait)
        except BlockingIOError:
            file.seek(0)
            raise MnasError(f"{what} is being worked on by {file.read().strip() or 'another process'}") from None
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise MnasError(f"cannot lock {path} for {what}: {error.strerror or error}") from None
            _warn_of_missing_lock(path.parent, error.strerror)
        if not _is_still(path, file):  # its holder has just removed it
            raise MnasError(f"{what} was just finished by another process: try again")
        with contextlib.suppress(OSError):  # the lock holds on a full disk too
            file.truncate(0)
            file.write(f"{owner()}\n")
            file.flush()
        try:
            yield
        finally:
            if remove:
                with contextlib.suppress(PermissionError):  # Windows does not remove open files
                    path.unlink(missing_ok=True)


def owner() -> str:
    """This process, for messages of others: `process 12 on laptop since 2026-02-03 04:05:06`."""
    return f"process {os.getpid()} on {platform.node()} since {time.strftime('%Y-%m-%d %H:%M:%S')}"


@cache
def _warn_of_missing_lock(folder: Path, why: str) -> None:
    _LOGGER.warning(
        "the file system of %s has no locks (%s): make sure that no second process works there", folder, why
    )


def is_held(path: Path) -> bool:
    """Whether a process holds the lock."""
    try:
        with open(path, encoding="utf-8") as file:
            lock(file, shared=True)
    except BlockingIOError:
        return True
    except OSError:  # there is no file
        return False
    return False


def _is_still(path: Path, file: IO[str]) -> bool:
    with contextlib.suppress(OSError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False
