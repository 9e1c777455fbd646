"""What a strategy said of itself after each update: for plots only. Resume writes no line twice and never needs one."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct

from mnas.checks import AnyText, Number, convert
from mnas.errors import InputError
from mnas.system.files import parse_json
from mnas.system.jsonlines import JsonLines


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


class _Line(Struct, frozen=True):
    phase: Any
    num_trials: Annotated[int, Meta(ge=1, le=10**9)]
    diagnostics: dict[AnyText, Number]


class UpdateLog:
    """Updates in a file, one JSON document a line.

    A replayed search says the same again, so that what is in the file already is left alone. A line that cannot be
    read is left out: the search can do without.

    Args:
        path: the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._lines = JsonLines(path, "updates")
        self._known: set[tuple[str, int]] | None = None

    def read(self) -> list[Update]:
        """All whole lines, in order."""
        try:
            lines = self._lines.read()
        except InputError:
            return []
        return [update for _, line in lines if (update := _parse(line)) is not None]

    def repair(self) -> None:
        """Cut a torn last line off, before the next append would continue it."""
        with suppress(InputError):
            self._lines.repair()

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
        self._lines.append(asdict(Update(phase, num_trials, finite)))


def _parse(line: bytes) -> Update | None:
    try:
        data = convert(parse_json(line), _Line, "")
        return Update(str(data.phase), data.num_trials, data.diagnostics)
    except (ValueError, RecursionError):  # InputError is a ValueError
        return None
