"""What one kind of mutated input is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Scenario:
    """One kind of input.

    Attributes:
        seeds: valid inputs to start from, made in an empty folder that `read` finds again.
        read: reads the input at the path it is given, in that folder, and gives what it understood as plain data.
        means: what the same bytes mean by an independent reading; None where there is none to be had.
        name: of the file.
    """

    seeds: Callable[[Path], list[bytes]]
    read: Callable[[Path], Any]
    means: Callable[[bytes, Any], bool] | None = None
    name: str = "input"
