"""An append-only log, one JSON document a line, that survives a kill at any moment."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any, Protocol

from mnas.errors import InputError, MnasError
from mnas.files import parse_json, read_bytes
from mnas.trial import Trial

_LOGGER = logging.getLogger(__name__)
_MOST_BYTES = 1 << 30
_MOST_GAPS = 1000  # trials that were asked for and are not in the log, such as a batch on other machines


class Log(Protocol):
    """Where a search's trials go as they finish."""

    @property
    def path(self) -> Path:
        """Its file, for messages."""

    def read(self) -> list[Trial]:
        """All trials, in the order they finished."""

    def append(self, trial: Trial) -> None:
        """Keep one more."""

    def repair(self) -> None:
        """Make ready to append."""


class MemoryLog:
    """A log that nobody needs when the process has ended."""

    path = Path("memory")

    def __init__(self) -> None:
        self._trials: list[Trial] = []

    def read(self) -> list[Trial]:
        """All trials, in the order they finished."""
        return list(self._trials)

    def append(self, trial: Trial) -> None:
        """Keep one more."""
        self._trials.append(trial)

    def repair(self) -> None:
        """Nothing can be torn here."""


class TrialLog:
    """Trials in a file, in the order they finished.

    A line counts once it ends with a line feed; what a crash left behind the last one is dropped, and said so.

    Args:
        path: the file; it need not exist.
        repeated: whether several trials may have one number.
    """

    def __init__(self, path: Path, *, repeated: bool = False) -> None:
        self.path = path
        self._repeated = repeated

    def read(self) -> list[Trial]:
        """All whole trials.

        Raises:
            InputError: for a line, other than a torn last one, that is no trial; it names the line.
        """
        whole, torn = self._split()
        if torn:
            _LOGGER.warning("%s: the last line is torn (%d bytes), it is left out", self.path, len(torn))
        trials = []
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                trials.append(Trial.from_dict(parse_json(line)))
            except (ValueError, RecursionError) as error:  # InputError is a ValueError
                raise InputError(
                    f"{self.path}, line {number} is no trial ({error}): was the file edited? "
                    "Remove the line to evaluate that trial again"
                ) from None
        self._check_numbers([trial.number for trial in trials])
        return trials

    def _check_numbers(self, numbers: list[int]) -> None:
        """Every number once, and not many left out: a wrong digit must not become a search of a million trials."""
        if len(set(numbers)) != len(numbers) and not self._repeated:
            twice = next(number for number in numbers if numbers.count(number) > 1)
            raise InputError(f"{self.path}: trial {twice} is there twice: was the file edited? Remove one of the lines")
        if numbers and max(numbers) > 2 * len(numbers) + _MOST_GAPS:
            raise InputError(
                f"{self.path} has {len(numbers)} trials, and one of them has the number {max(numbers)}: was the file "
                "edited? Remove that line"
            )

    def append(self, trial: Trial) -> None:
        """Write one trial so that it is on the disk when this returns.

        Raises:
            MnasError: if it cannot be written (full disk); earlier lines are untouched.
        """
        line = json.dumps(trial.to_dict(), allow_nan=False) + "\n"
        try:
            with open(self.path, "ab") as file:
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise MnasError(f"cannot write {self.path}: {error.strerror or error}; earlier trials are kept") from None

    def repair(self) -> None:
        """Cut a torn last line off, before the next append would run on from it."""
        whole, torn = self._split()
        if torn:
            _LOGGER.warning("%s: the last line is torn (%d bytes), it is dropped", self.path, len(torn))
            os.truncate(self.path, len(whole))

    def _split(self) -> tuple[bytes, bytes]:
        """The whole lines, and what is behind them."""
        if not self.path.exists():
            return b"", b""
        data = read_bytes(self.path, "a log of trials", most=_MOST_BYTES)
        end = data.rfind(b"\n") + 1
        last = data[data.rfind(b"\n", 0, max(0, end - 1)) + 1 : end]
        if last and not _is_json(last):  # a power cut can leave a line of zeros behind
            end -= len(last)
        return data[:end], data[end:]


def _is_json(line: bytes) -> bool:
    try:
        parse_json(line)
    except (ValueError, RecursionError):
        return False
    return True


def to_plain(document: Any) -> Any:
    """What a document looks like after a round trip through JSON, for comparing."""
    return json.loads(json.dumps(document, allow_nan=False))
