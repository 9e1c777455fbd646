"""Writing files atomically, and reading JSON with clear error messages."""

from __future__ import annotations

import codecs
import contextlib
import errno
import json
import math
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from mnas.errors import InputError, MnasError
from mnas.system.flock import lock

MOST_BYTES = 1 << 28
_SUFFIX = ".mnas-tmp"
_PART_BYTES = 1 << 20
# What file systems answer to a call that they do not have.
UNSUPPORTED = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL, errno.EPERM}


def write_atomically(path: Path | str, data: bytes | str) -> None:
    """Write a file completely or not at all: a temporary file beside it, fsync, rename.

    Raises:
        MnasError: if it cannot be written (full disk, read-only folder); an earlier file is kept.
    """
    write_together({Path(path): data})


def write_together(files: Mapping[Path, bytes | str]) -> None:
    """Write several files that belong together: none is put in place before all of them are on the disk.

    Raises:
        MnasError: if one cannot be written (full disk, read-only folder); earlier files are kept.
    """
    staged: dict[Path, str] = {}
    path = Path()
    try:
        with contextlib.ExitStack() as stack:  # in the `try`, as closing a file may fail again on a full disk
            for path, data in files.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                _sweep(path)
                handle, staged[path] = tempfile.mkstemp(prefix=_prefix(path), suffix=_SUFFIX, dir=path.parent)
                file = stack.enter_context(os.fdopen(handle, "wb"))
                with if_supported():
                    lock(file)  # held until it is in place, so that `_sweep` keeps it
                # A text may name a path that is not UTF-8, as data sets and folders of others may have.
                file.write(data.encode(errors="backslashreplace") if isinstance(data, str) else data)
                sync(file)
                with if_supported():
                    if hasattr(os, "fchmod"):  # not on Windows
                        os.fchmod(file.fileno(), 0o666 & ~_umask())
            if sys.platform == "win32":
                stack.close()  # which does not rename open files
            for path, temporary in staged.items():
                os.replace(temporary, path)
    except OSError as error:
        raise MnasError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        for temporary in staged.values():
            with contextlib.suppress(OSError):
                os.unlink(temporary)


@contextlib.contextmanager
def if_supported() -> Iterator[None]:
    """Do something that a file system need not be able to do; network disks lack locks, modes or fsync."""
    try:
        yield
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise


def sync(file: IO[bytes]) -> None:
    """Bring what was written to the disk, as far as its file system can promise this.

    Raises:
        OSError: on a full disk.
    """
    file.flush()
    with if_supported():
        os.fsync(file.fileno())


def check_writable(path: Path) -> None:
    """Refuse a file that cannot be written, before hours of work; not every reason can be seen in advance.

    Raises:
        MnasError: if its folder is not a folder, cannot be made, or cannot be written to.
    """
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise MnasError(f"cannot write {path}: {folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise MnasError(f"cannot write {path}: no permission for {folder}")


def is_leftover(path: Path) -> bool:
    """Whether this is the temporary file of a writer that was killed."""
    return path.name.endswith(_SUFFIX)


def set_aside(path: Path) -> None:
    """Rename a damaged file to `NAME.damaged`.

    Raises:
        MnasError: if it cannot be renamed.
    """
    try:
        os.replace(path, path.with_name(f"{path.name}.damaged"))
    except OSError as error:
        raise MnasError(f"cannot set {path} aside: {error.strerror or error}") from None


def _prefix(path: Path) -> str:
    return f".{path.name[:100]}."


def _sweep(path: Path) -> None:
    """Remove the temporary files of killed writers of this file."""
    for name in os.listdir(path.parent):
        if not (name.startswith(_prefix(path)) and name.endswith(_SUFFIX)):
            continue
        with contextlib.suppress(OSError), open(path.parent / name, "rb") as file:  # OSError: it is being written now
            lock(file)
            os.unlink(path.parent / name)


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
    data = read_bytes(path, what)
    try:
        return parse_json(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not {what}, or is truncated: {shorten(str(error))}") from None


def read_bytes(path: Path | str, what: str, *, most: int = MOST_BYTES) -> bytes:
    """Read a file of limited size, so that an endless device or a wrong path does not fill the memory.

    Raises:
        InputError: if it cannot be read, or is larger than `most` bytes.
    """
    try:
        with Path(path).open("rb") as file:
            parts, size = [], 0
            while size <= most and (part := file.read(_PART_BYTES)):  # read(most) would allocate all of it at once
                parts.append(part)
                size += len(part)
    except (OSError, ValueError) as error:  # a path may hold a null byte
        raise InputError(f"cannot read {what} from {path}: {getattr(error, 'strerror', None) or error}") from None
    if size > most:
        raise InputError(f"{path} is larger than {most >> 20} MiB: it is not {what}")
    return b"".join(parts)


def decode_text(data: bytes) -> str:
    """Decode a text that a user may have written: UTF-8, with or without a byte-order mark.

    Raises:
        ValueError: for anything else; UTF-16, which some editors write, is named.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data[:2]:
        raise ValueError("it is UTF-16 text: save it as UTF-8")
    return data.decode("utf-8-sig")


def parse_json(text: str | bytes) -> Any:
    """Parse standard JSON: UTF-8, no NaN or infinity, no number beyond a float, no name twice in an object.

    Raises:
        ValueError: for anything else.
        RecursionError: if it is nested too deeply.
    """
    decoded = decode_text(text) if isinstance(text, bytes) else text
    return json.loads(
        decoded, parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_refuse_repetition
    )


def is_document(document: Any, format_name: str, version: int) -> bool:
    """Whether a JSON document has this format and version; `true` and `1.0` are not version 1."""
    if not isinstance(document, dict):
        return False
    found = document.get("version")
    return document.get("format") == format_name and type(found) is int and found == version


def shorten(text: str, most: int = 300) -> str:
    """Return the start of a text from a file, for a message, with control characters escaped."""
    safe = "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text[: most + 1])
    return safe if len(text) <= most else f"{safe[:most]}..."


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not allowed here")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is too large for a number")
    return number


def _refuse_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name appears twice in one object")
    return found
