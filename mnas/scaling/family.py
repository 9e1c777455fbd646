"""A family of networks: its members with what is known of each, as files."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnas.arch.codec import architecture_from_dict, architecture_to_json
from mnas.arch.complexity import complexity
from mnas.arch.memory import footprint
from mnas.arch.spec import Architecture
from mnas.errors import InputError, MnasError
from mnas.latency.estimator import LatencyEstimator
from mnas.latency.table import LatencyTable
from mnas.system.files import read_json, write_together

_LOGGER = logging.getLogger(__name__)


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


@dataclass(frozen=True)
class FamilyMember:
    """One network of a family.

    Attributes:
        name: its file's.
        architecture: of the file.
        params, madds: by arithmetic.
        latency_ms: what the file says of the study's first device, or what its table predicts; None where neither
            knows.
        accuracy: what the file says; None where it says nothing.
    """

    name: str
    architecture: Architecture
    params: int
    madds: int
    latency_ms: float | None
    accuracy: float | None


def read_family(folder: Path, table: LatencyTable | None, table_path: str = "") -> tuple[FamilyMember, ...]:
    """The networks in `folder/family/*.json`, the smallest first; files that hold no network are left out.

    A `family.json` with a list of `members`, by the names of the files, may say their accuracies and latencies.

    Args:
        folder: the study's.
        table: of the study's first device, None where there is none.
        table_path: where it is, or was: a family says latencies by the names of tables.
    """
    members = []
    known = _known(folder / "family" / "family.json")
    for path in sorted((folder / "family").glob("*.json")):
        try:
            data = read_json(path, "an architecture")
            members.append(_member(path.stem, data, known.get(path.stem, {}), table, table_path))
        except MnasError as error:
            _LOGGER.info("%s is no network of the family: %s", path, error)
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
    latency_ms = _said(more, table_path)
    if latency_ms is None and table is not None:
        try:
            latency_ms = LatencyEstimator(table).predict(architecture).latency_ms
        except MnasError:
            _LOGGER.info("the table does not price %s", name)
    return FamilyMember(name, architecture, cost.params, cost.madds, latency_ms, _number(more.get("accuracy")))


def _said(row: dict[str, Any], table_path: str) -> float | None:
    """A row's latency by the study's first table; without a table's name, or by the only table, it is that one's."""
    start = "latency_ms"
    by_table = {key.removeprefix(start).strip(): row[key] for key in row if key.startswith(start)}
    path = Path(table_path)
    chosen = [name for name in ("", path.stem, path.name, table_path) if name in by_table]
    if not chosen and len(by_table) == 1:
        chosen = list(by_table)
    return _number(by_table[chosen[0]]) if chosen else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
