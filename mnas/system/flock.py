"""Locks on open files: `flock`, or what Windows has instead."""

from __future__ import annotations

import errno
import sys
import time
from typing import IO, Any

_PLACE = 1 << 40  # of the byte that Windows locks, beyond any content: a locked byte cannot be read
_WAIT_S = 0.2


def lock(file: IO[Any], *, shared: bool = False, wait: bool = False) -> None:
    """Lock an open file until it is closed.

    Args:
        file: the file.
        shared: whether others may lock it so, too.
        wait: whether to wait until it is free.

    Raises:
        BlockingIOError: if another process holds it.
        OSError: if the system or the file system has no locks, with `errno.ENOSYS` or what the file system says.
    """
    if sys.platform == "win32":
        _lock_byte(file, wait=wait)
        return
    try:
        import fcntl
    except ImportError:
        raise OSError(errno.ENOSYS, "this system has no flock") from None
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    fcntl.flock(file, kind if wait else kind | fcntl.LOCK_NB)


def _lock_byte(file: IO[Any], *, wait: bool) -> None:
    import msvcrt

    windows: Any = msvcrt  # its functions are known on Windows alone
    while True:
        place = file.tell()
        file.seek(_PLACE)
        try:
            windows.locking(file.fileno(), windows.LK_NBLCK, 1)
        except PermissionError as error:
            if not wait:
                raise BlockingIOError(errno.EAGAIN, "another process holds it") from error
        else:
            return
        finally:
            file.seek(place)
        time.sleep(_WAIT_S)
