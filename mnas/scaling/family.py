"""A family of networks: its members with their costs, latencies and accuracies, as files."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mnas.arch.codec import architecture_from_dict, architecture_to_json
from mnas.arch.complexity import complexity
from mnas.arch.memory import footprint
from mnas.arch.spec import Architecture
from mnas.errors import InputError, MnasError
from mnas.latency.extrapolation import ExtendedEstimator
from mnas.latency.table import LatencyTable
from mnas.system.files import read_json, write_together

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Member:
    """One network of a family.

    Attributes:
        name: such as `phi1`.
        architecture: the network.
        latencies_ms: predicted, by the name of the latency table; empty without tables, None if one cannot price it.
        intervals_ms: the 90 % intervals, by the same names.
        accuracy: by the evaluator, or None.
        extrapolated: the keys of the blocks that a table lacks, by the same names.
    """

    name: str
    architecture: Architecture
    latencies_ms: Mapping[str, float | None]
    intervals_ms: Mapping[str, tuple[float, float] | None]
    accuracy: float | None = None
    extrapolated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """Plain data, one value per column."""
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
            **{f"interval_ms {name}": interval and list(interval) for name, interval in self.intervals_ms.items()},
            **{f"extrapolated {name}": list(keys) for name, keys in self.extrapolated.items() if keys},
        }


def read_range(text: str) -> list[int]:
    """Read `0..4` or `0,1,3` as whole numbers.

    Raises:
        InputError: for anything else, or more than 21 numbers.
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
        raise InputError(f"--family is {text!r}: expected 1 to 21 different increasing numbers")
    return numbers


def write_family(folder: Path, members: Sequence[Member], made: Mapping[str, Any], curve: str | None = None) -> None:
    """Write one file per member, `family.csv`, `family.json`, and a page with the curve: all or none.

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
    columns = [name for name in rows[0] if not name.startswith(("interval_ms", "extrapolated"))]
    writer = csv.DictWriter(table, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files[folder / "family.csv"] = table.getvalue()
    if curve is not None:
        files[folder / "family.html"] = curve
    write_together(files)


@dataclass(frozen=True)
class FamilyMember:
    """One network of a family, as read from its file.

    Attributes:
        name: of the file, without its suffix.
        architecture: the network.
        params, madds: by arithmetic.
        latency_ms: from the file for the study's first device, or predicted by its table; None if neither has it.
        accuracy: from the file; None if it has none.
    """

    name: str
    architecture: Architecture
    params: int
    madds: int
    latency_ms: float | None
    accuracy: float | None


def read_family(folder: Path, table: LatencyTable | None, table_path: str = "") -> tuple[FamilyMember, ...]:
    """Read the networks in `folder/family/*.json`, the smallest first; files without a network are skipped.

    A `family.json` with a list of `members`, by the names of the files, may contain their accuracies and latencies.

    Args:
        folder: of the study.
        table: of the study's first device; None if it has none.
        table_path: of that table: a family contains latencies by the names of tables.
    """
    members = []
    known = _known(folder / "family" / "family.json")
    for path in sorted((folder / "family").glob("*.json")):
        try:
            data = read_json(path, "an architecture")
            members.append(_member(path.stem, data, known.get(path.stem, {}), table, table_path))
        except MnasError as error:
            _LOGGER.info("%s is not a network of the family: %s", path, error)
    return tuple(sorted(members, key=lambda member: member.madds))


def _known(path: Path) -> dict[str, dict[str, Any]]:
    if not path.is_file():
        return {}
    data = read_json(path, "a family")
    rows = data.get("members") if isinstance(data, dict) else None
    return {str(row.get("name")): row for row in rows if isinstance(row, dict)} if isinstance(rows, list) else {}


def _member(name: str, data: Any, known: dict[str, Any], table: LatencyTable | None, table_path: str) -> FamilyMember:
    more = {**known, **(data if isinstance(data, dict) else {})}
    architecture = architecture_from_dict(more.get("architecture", data))
    cost = complexity(architecture)
    latency_ms = _latency_ms(more, table_path)
    if latency_ms is None and table is not None:
        try:
            latency_ms = ExtendedEstimator(table).latency_ms(architecture)
        except MnasError:
            _LOGGER.info("the table cannot predict %s", name)
    return FamilyMember(name, architecture, cost.params, cost.madds, latency_ms, _number(more.get("accuracy")))


def _latency_ms(row: dict[str, Any], table_path: str) -> float | None:
    """A row's latency by the study's first table: under its name, without a name, or the only one."""
    start = "latency_ms"
    by_table = {key.removeprefix(start).strip(): row[key] for key in row if key.startswith(start)}
    path = Path(table_path)
    chosen = [name for name in ("", path.stem, path.name, table_path) if name in by_table]
    if not chosen and len(by_table) == 1:
        chosen = list(by_table)
    return _number(by_table[chosen[0]]) if chosen else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
