"""One process a study."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from mnas.errors import MnasError
from mnas.lock import hold, is_held


def is_locked(folder: Path) -> bool:
    """Whether a process works on this study now."""
    return is_held(folder / "lock")


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a study's lock. The kernel releases it when the process ends, however it ends.

    Raises:
        MnasError: if another process has it; the message says which, and since when.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(hold(folder / "lock", f"the study {folder}"))
        except MnasError as error:
            hint = ": wait for it, end it, or choose another --study" if "worked on" in str(error) else ""
            raise MnasError(f"{error}{hint}") from None
        yield
