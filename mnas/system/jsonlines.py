"""An append-only file of JSON documents, one per line, that survives a kill, a full disk or a power cut."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from mnas.errors import MnasError
from mnas.system.files import parse_json, read_bytes, sync

_LOGGER = logging.getLogger(__name__)
_MOST_BYTES = 1 << 30


class JsonLines:
    """The file. The caller checks the documents.

    A line is complete when it ends with a line feed. The rest after the last complete line is torn: `read` skips it,
    `repair` removes it. A last line of zeros or other bytes that are not JSON, as after a power cut, is torn too.

    Args:
        path: the file; it need not exist.
        records: name of its lines in the plural, for messages.
    """

    def __init__(self, path: Path, records: str) -> None:
        self.path = path
        self._records = records

    def read(self) -> list[tuple[int, bytes]]:
        """Read all complete lines with their numbers, from 1. A torn line is skipped with a warning.

        Raises:
            InputError: if the file cannot be read.
        """
        whole, torn = self._split()
        if torn:
            _LOGGER.warning("%s: the last line is torn (%d bytes) and is skipped", self.path, len(torn))
        return list(enumerate(whole.split(b"\n")[:-1], 1))

    def repair(self) -> None:
        """Remove a torn last line with a warning, so that `append` does not continue it.

        Raises:
            InputError: if the file cannot be read.
            MnasError: if it cannot be written.
        """
        whole, torn = self._split()
        if torn:
            _LOGGER.warning("%s: the last line is torn (%d bytes) and is removed", self.path, len(torn))
            try:
                os.truncate(self.path, len(whole))
            except OSError as error:
                raise self._unwritable(error) from None

    def append(self, document: Any) -> None:
        """Write one document; it is on the disk when this returns.

        Raises:
            MnasError: if it cannot be written (full disk); earlier lines are kept.
        """
        line = json.dumps(document, allow_nan=False) + "\n"
        try:
            with open(self.path, "ab") as file:
                file.write(line.encode())
                sync(file)
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> MnasError:
        return MnasError(f"cannot write {self.path}: {error.strerror or error}; earlier {self._records} are kept")

    def _split(self) -> tuple[bytes, bytes]:
        """Return the complete lines and the torn rest."""
        if not self.path.exists():
            return b"", b""
        data = read_bytes(self.path, f"a log of {self._records}", most=_MOST_BYTES)
        end = data.rfind(b"\n") + 1
        start = data.rfind(b"\n", 0, max(0, end - 1)) + 1
        # A first line of text that is not JSON is not torn: it is a foreign file, and nothing may be removed.
        if (start or b"\0" in data[:end]) and not _is_json(data[start:end]):
            end = start
        return data[:end], data[end:]


def _is_json(line: bytes) -> bool:
    try:
        parse_json(line)
    except (ValueError, RecursionError):
        return False
    return True
