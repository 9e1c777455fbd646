"""The folder for what can be made again: copies of remote data, images too large for memory, locks of phones."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """Return the folder for one kind of content; it need not exist.

    It is in `$MNAS_CACHE`, else in `~/.cache/mnas`, else, for a user without a home folder as in many containers, in
    the folder for temporary files.
    """
    chosen = os.environ.get("MNAS_CACHE")
    return (Path(chosen) if chosen else _usual()) / kind


def _usual() -> Path:
    try:
        home = Path.home()
    except RuntimeError:
        return _temporary()
    # Containers often say that / is the home of a user whom they do not know.
    return home / ".cache" / "mnas" if os.access(home, os.W_OK) else _temporary()


@cache
def _temporary() -> Path:
    """A folder of this user alone: what others could write into is not read again."""
    user = str(os.getuid()) if hasattr(os, "getuid") else "user"
    folder = Path(tempfile.gettempdir()) / f"mnas-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if not hasattr(os, "getuid") or folder.lstat().st_uid == os.getuid():
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="mnas-"))
