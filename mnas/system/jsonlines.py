"""An append-only file of JSON documents, one a line, that survives a kill, a full disk or a power cut at any moment."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from mnas.errors import MnasError
from mnas.system.files import parse_json, read_bytes

_LOGGER = logging.getLogger(__name__)
_MOST_BYTES = 1 << 30


class JsonLines:
    """The file. What the documents mean, and what a wrong one leads to, is up to the caller.

    A line counts once it ends with a line feed. What a crash left behind the last one is torn: it is left out in
    reading, and cut off by `repair`. A power cut can also leave a last line of zeros or rubbish: that is torn too.

    Args:
        path: the file; it need not exist.
        records: what its lines are, in the plural, for messages.
    """

    def __init__(self, path: Path, records: str) -> None:
        self.path = path
        self._records = records

    def read(self) -> list[tuple[int, bytes]]:
        """All whole lines with their numbers, from 1. A torn one is left out, with a warning.

        Raises:
            InputError: if the file cannot be read.
        """
        whole, torn = self._split()
        if torn:
            _LOGGER.warning("%s: the last line is torn (%d bytes), it is left out", self.path, len(torn))
        return list(enumerate(whole.split(b"\n")[:-1], 1))

    def repair(self) -> None:
        """Cut a torn last line off, with a warning, before the next `append` would continue it.

        Raises:
            InputError: if the file cannot be read.
            MnasError: if it cannot be written.
        """
        whole, torn = self._split()
        if torn:
            _LOGGER.warning("%s: the last line is torn (%d bytes), it is dropped", self.path, len(torn))
            try:
                os.truncate(self.path, len(whole))
            except OSError as error:
                raise self._unwritable(error) from None

    def append(self, document: Any) -> None:
        """Write one document so that it is on the disk when this returns.

        Raises:
            MnasError: if it cannot be written (full disk); earlier lines are untouched.
        """
        line = json.dumps(document, allow_nan=False) + "\n"
        try:
            with open(self.path, "ab") as file:
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> MnasError:
        return MnasError(f"cannot write {self.path}: {error.strerror or error}; earlier {self._records} are kept")

    def _split(self) -> tuple[bytes, bytes]:
        """The whole lines, and what is torn behind them."""
        if not self.path.exists():
            return b"", b""
        data = read_bytes(self.path, f"a log of {self._records}", most=_MOST_BYTES)
        end = data.rfind(b"\n") + 1
        start = data.rfind(b"\n", 0, max(0, end - 1)) + 1
        # Text in a first line that is no JSON is not torn: the file is not one of ours, and nothing may be cut off.
        if (start or b"\0" in data[:end]) and not _is_json(data[start:end]):
            end = start
        return data[:end], data[end:]


def _is_json(line: bytes) -> bool:
    try:
        parse_json(line)
    except (ValueError, RecursionError):
        return False
    return True
