"""Writing files so that nothing is ever half written, and reading JSON with messages a person can use."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnas.errors import InputError, MnasError


def write_atomically(path: Path | str, data: bytes | str) -> None:
    """Write a whole file or nothing: a temporary file beside it, fsync, rename.

    Raises:
        MnasError: if it cannot be written (full disk, read-only folder); what was there before is untouched.
    """
    write_together({Path(path): data})


def write_together(files: Mapping[Path, bytes | str]) -> None:
    """Write several files that belong together: none is put in place before all of them are safely on the disk.

    Raises:
        MnasError: if one cannot be written (full disk, read-only folder); what was there before is untouched.
    """
    staged: dict[Path, str] = {}
    path = Path()
    try:
        for path, data in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, staged[path] = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
            with os.fdopen(handle, "wb") as file:
                file.write(data.encode() if isinstance(data, str) else data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(staged[path], 0o666 & ~_umask())
        for path, temporary in staged.items():
            os.replace(temporary, path)
    except OSError as error:
        raise MnasError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        for temporary in staged.values():
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_json(path: Path | str, document: Any) -> None:
    """Write JSON atomically: sorted keys, indented, no NaN."""
    write_atomically(path, json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path | str, what: str) -> Any:
    """Read a JSON file.

    Args:
        path: the file.
        what: what it should be, for the message: "a latency table".

    Raises:
        InputError: if it cannot be read, or is not JSON (truncated, NaN).
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except OSError as error:
        raise InputError(f"cannot read {what} from {path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not {what}, or is truncated: {error}") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number that may stand here")
