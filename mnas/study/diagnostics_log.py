"""A strategy's diagnostics after each update, for plots only. A search can resume without this log."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct, structs

from mnas.checks import AnyText, Number, convert
from mnas.errors import InputError
from mnas.system.files import parse_json
from mnas.system.jsonlines import JsonLines


class Update(Struct, frozen=True):
    """A strategy's diagnostics after it was told a batch.

    Attributes:
        phase: the log with the batch: `trials` or `baseline`.
        num_trials: number of trials told so far.
        diagnostics: numbers by name, such as `entropy` in nats.
    """

    phase: AnyText
    num_trials: Annotated[int, Meta(ge=1, le=10**9)]
    diagnostics: dict[AnyText, Number]


class UpdateLog:
    """Updates in a file, one JSON document in each line.

    A replayed search repeats its updates: those in the file are not written again. Lines that cannot be read are
    skipped.

    Args:
        path: the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._lines = JsonLines(path, "updates")
        self._known: set[tuple[str, int]] | None = None

    def read(self) -> list[Update]:
        """Return all valid lines, in order."""
        try:
            lines = self._lines.read()
        except InputError:
            return []
        return [update for _, line in lines if (update := _parse(line)) is not None]

    def repair(self) -> None:
        """Remove an incomplete last line."""
        with suppress(InputError):
            self._lines.repair()

    def append(self, phase: str, num_trials: int, diagnostics: dict[str, float]) -> None:
        """Write an update, unless the file has it.

        Raises:
            MnasError: if it cannot be written (full disk).
        """
        if self._known is None:
            self._known = {(update.phase, update.num_trials) for update in self.read()}
        if (phase, num_trials) in self._known:
            return
        self._known.add((phase, num_trials))
        finite = {name: value for name, value in diagnostics.items() if math.isfinite(value)}
        self._lines.append(structs.asdict(Update(phase, num_trials, finite)))


def _parse(line: bytes) -> Update | None:
    try:
        return convert(parse_json(line), Update, "")
    except (ValueError, RecursionError):  # InputError is a ValueError
        return None
