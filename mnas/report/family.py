"""A scaled family beside a study: architecture files in its folder `family`, the base among them or not."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnas.arch.codec import architecture_from_dict
from mnas.arch.complexity import complexity
from mnas.arch.spec import Architecture
from mnas.errors import MnasError
from mnas.files import read_json
from mnas.latency.estimator import LatencyEstimator
from mnas.latency.table import LatencyTable

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Member:
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


def read_family(folder: Path, table: LatencyTable | None, table_path: str = "") -> tuple[Member, ...]:
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


def _member(name: str, data: Any, known: dict[str, Any], table: LatencyTable | None, table_path: str) -> Member:
    more = {**known, **(data if isinstance(data, dict) else {})}
    architecture = architecture_from_dict(more.get("architecture", data))
    cost = complexity(architecture)
    latency_ms = _said(more, table_path)
    if latency_ms is None and table is not None:
        try:
            latency_ms = LatencyEstimator(table).predict(architecture).latency_ms
        except MnasError:
            _LOGGER.info("the table does not price %s", name)
    return Member(name, architecture, cost.params, cost.madds, latency_ms, _number(more.get("accuracy")))


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
