"""The log of a search's trials, and what stands in for it where nothing is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

from mnas.errors import InputError
from mnas.system.files import parse_json
from mnas.system.jsonlines import JsonLines
from mnas.trial import Trial

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

    Args:
        path: the file; it need not exist.
        repeated: whether several trials may have one number.
    """

    def __init__(self, path: Path, *, repeated: bool = False) -> None:
        self.path = path
        self._lines = JsonLines(path, "trials")
        self._repeated = repeated

    def read(self) -> list[Trial]:
        """All whole trials.

        Raises:
            InputError: for a line, other than a torn last one, that is no trial; it names the line.
        """
        trials = []
        for number, line in self._lines.read():
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
        self._lines.append(trial.to_dict())

    def repair(self) -> None:
        """Cut a torn last line off, before the next append would continue it."""
        self._lines.repair()


def to_plain(document: Any) -> Any:
    """What a document looks like after a round trip through JSON, for comparing."""
    return json.loads(json.dumps(document, allow_nan=False))
