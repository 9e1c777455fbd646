"""A family of networks: its members with what is known of each, as files."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnas.arch.codec import architecture_to_json
from mnas.arch.complexity import complexity
from mnas.arch.memory import footprint
from mnas.arch.spec import Architecture
from mnas.errors import InputError
from mnas.files import write_together


@dataclass(frozen=True, slots=True)
class Member:
    """One size.

    Attributes:
        name: such as `phi1`.
        architecture: the network.
        latencies_ms: predicted, by the name of the table; empty without tables.
        intervals_ms: the 90 % intervals, by the same names.
        accuracy: as the evaluator found it, or None.
    """

    name: str
    architecture: Architecture
    latencies_ms: Mapping[str, float]
    intervals_ms: Mapping[str, tuple[float, float]]
    accuracy: float | None = None

    def row(self) -> dict[str, Any]:
        """Plain data, one value a column."""
        cost = complexity(self.architecture)
        return {
            "name": self.name,
            "resolution": self.architecture.resolution,
            "layers": sum(stage.repeats for stage in self.architecture.stages),
            "params": cost.params,
            "madds": cost.madds,
            "memory_bytes": footprint(self.architecture).memory_bytes,
            "accuracy": self.accuracy,
            **{f"latency_ms {name}": latency for name, latency in self.latencies_ms.items()},
            **{f"interval_ms {name}": list(interval) for name, interval in self.intervals_ms.items()},
        }


def read_range(text: str) -> list[int]:
    """`0..4` or `0,1,3` as whole numbers.

    Raises:
        InputError: for anything else, or a family of more than 21.
    """
    try:
        if ".." in text:
            first, last = (int(part) for part in text.split(".."))
            numbers = list(range(first, min(last, first + 100) + 1))
        else:
            numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--family is {text!r}: expected 0..4, or 0,1,3") from None
    if not numbers or len(numbers) > 21 or len(set(numbers)) != len(numbers):
        raise InputError(f"--family is {text!r}: expected 1 to 21 different numbers, rising")
    return numbers


def write_family(folder: Path, members: Sequence[Member], made: Mapping[str, Any], curve: str | None = None) -> None:
    """Write one file a member, `family.csv`, `family.json`, and a page with the curve; all of them or none.

    Raises:
        MnasError: if they cannot be written.
    """
    import json

    rows = [member.row() for member in members]
    files: dict[Path, bytes | str] = {
        folder / f"{member.name}.json": architecture_to_json(member.architecture, indent=1) + "\n" for member in members
    }
    document = {"format": "mnas.family", "version": 1, "made": dict(made), "members": rows}
    files[folder / "family.json"] = json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n"
    table = io.StringIO()
    columns = [name for name in rows[0] if not name.startswith("interval_ms")]
    writer = csv.DictWriter(table, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files[folder / "family.csv"] = table.getvalue()
    if curve is not None:
        files[folder / "family.html"] = curve
    write_together(files)
