"""What a strategy said of itself after each update: for plots only. Resume writes no line twice and never needs one."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mnas.arch.spec import check_integer, check_number
from mnas.errors import InputError, MnasError
from mnas.files import parse_json, read_bytes


@dataclass(frozen=True, slots=True)
class Update:
    """A strategy after it was told a batch.

    Attributes:
        phase: the log whose trials it was told: `trials` or `baseline`.
        num_trials: how many it has been told so far.
        diagnostics: numbers by name, such as `entropy` in nats.
    """

    phase: str
    num_trials: int
    diagnostics: dict[str, float]


class UpdateLog:
    """Updates in a file, one JSON document a line.

    A replayed search says the same again, so that what is in the file already is left alone. A line that cannot be
    read is left out: the search can do without.

    Args:
        path: the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: set[tuple[str, int]] | None = None

    def read(self) -> list[Update]:
        """All whole lines, in order."""
        try:
            lines = read_bytes(self.path, "a log of updates").split(b"\n")[
                :-1
            ]  # behind the last line feed is nothing, or a torn line
        except InputError:
            return []
        return [update for update in map(_parse, lines) if update is not None]

    def repair(self) -> None:
        """Cut a torn last line off, before the next append would run on from it."""
        try:
            data = read_bytes(self.path, "a log of updates")
        except InputError:
            return
        if not data.endswith(b"\n"):
            os.truncate(self.path, data.rfind(b"\n") + 1)

    def append(self, phase: str, num_trials: int, diagnostics: dict[str, float]) -> None:
        """Keep one more, unless it is there.

        Raises:
            MnasError: if it cannot be written (full disk).
        """
        if self._known is None:
            self._known = {(update.phase, update.num_trials) for update in self.read()}
        if (phase, num_trials) in self._known:
            return
        self._known.add((phase, num_trials))
        finite = {name: value for name, value in diagnostics.items() if math.isfinite(value)}
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(Update(phase, num_trials, finite))) + "\n")
        except OSError as error:
            raise MnasError(f"cannot write {self.path}: {error.strerror or error}") from None


def _parse(line: bytes) -> Update | None:
    try:
        data: Any = parse_json(line)
        for name, value in data["diagnostics"].items():
            check_number(name[:40], value, -1e12, 1e12)
        check_integer("num_trials", data["num_trials"], 1, 10**9)
        return Update(str(data["phase"]), data["num_trials"], dict(data["diagnostics"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
