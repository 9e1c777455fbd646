"""What one kind of killed work is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Kind:
    """Something that may be killed.

    Attributes:
        work: does it, or goes on with it, in a folder.
        end: what came out, without times.
        finished: what is finished already, by name; `done` files name what each life has begun.
    """

    work: Callable[[Path], None]
    end: Callable[[Path], Any]
    finished: Callable[[Path], set[str]]


def note(folder: Path, what: str) -> None:
    """Say that a piece of work is begun."""
    with open(folder / "begun", "a", encoding="utf-8") as file:
        file.write(what + "\n")
