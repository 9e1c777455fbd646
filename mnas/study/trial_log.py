"""Logs of a search's trials: in a file, or in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mnas.errors import InputError
from mnas.system.files import parse_json
from mnas.system.jsonlines import JsonLines
from mnas.trial import Trial

_MOST_GAPS = 1000  # numbers missing from the log, such as a batch that other machines evaluate


class MemoryLog:
    """Trials in memory, in the order they finished."""

    path = Path("memory")

    def __init__(self) -> None:
        self._trials: list[Trial] = []

    def read(self) -> list[Trial]:
        """Return all trials."""
        return list(self._trials)

    def append(self, trial: Trial) -> None:
        """Add a trial."""
        self._trials.append(trial)

    def repair(self) -> None:
        """Do nothing: there is no file."""


class TrialLog:
    """Trials in a file, in the order they finished.

    Args:
        path: the file; it need not exist.
        selected: whether it holds chosen trials, such as finalists: numbers may be missing, and several networks may
            have the same one.
    """

    def __init__(self, path: Path, *, selected: bool = False) -> None:
        self.path = path
        self._lines = JsonLines(path, "trials")
        self._selected = selected

    def read(self) -> list[Trial]:
        """Return all trials; an incomplete last line is skipped.

        Raises:
            InputError: for a line that is not a trial; it names the line.
        """
        trials = []
        for number, line in self._lines.read():
            try:
                trials.append(Trial.from_dict(parse_json(line)))
            except (ValueError, RecursionError) as error:  # InputError is a ValueError
                raise InputError(
                    f"{self.path}, line {number} is not a trial ({error}): was the file edited? "
                    "Remove the line to evaluate that trial again"
                ) from None
        if not self._selected:
            self._check_numbers([trial.number for trial in trials])
        return trials

    def _check_numbers(self, numbers: list[int]) -> None:
        """Each number once, and few missing: a wrong digit must not start a search of a million trials."""
        if len(set(numbers)) != len(numbers):
            twice = next(number for number in numbers if numbers.count(number) > 1)
            raise InputError(f"{self.path}: trial {twice} occurs twice: was the file edited? Remove one of the lines")
        if numbers and max(numbers) > 2 * len(numbers) + _MOST_GAPS:
            raise InputError(
                f"{self.path} has {len(numbers)} trials, and one of them has the number {max(numbers)}: was the file "
                "edited? Remove that line"
            )

    def append(self, trial: Trial) -> None:
        """Write a trial; it is on the disk when this returns.

        Raises:
            MnasError: if it cannot be written (full disk); earlier lines are untouched.
        """
        self._lines.append(trial.to_dict())

    def repair(self) -> None:
        """Remove an incomplete last line."""
        self._lines.repair()


Log = MemoryLog | TrialLog


def to_plain(document: Any) -> Any:
    """Return a document after a round trip through JSON, for comparisons."""
    return json.loads(json.dumps(document, allow_nan=False))
