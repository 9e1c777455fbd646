"""The latency table: what a device takes for every block of a space, where that was measured, and how far to trust it.

One JSON file a device configuration. Every time is in milliseconds and says so in its field's name. Numbers and text,
nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from mnas.checks import check_choice, check_integer, check_number
from mnas.errors import InputError
from mnas.files import is_document, read_json, write_json

FORMAT = "mnas.latency_table"
VERSION = 1
SOURCES = ("measured", "fitted", "imported")
_MOST_MS = 1e7
Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class Configuration:
    """Where and how networks ran. Two tables are about the same thing only if these agree.

    Attributes:
        device: the kind of device that `mnas profile --device` was given, without serial or host: local, adb, ssh.
        soc, cpu, os: what the device says about itself.
        runtime, runtime_version: litert, tflite-runtime, or the benchmark program: benchmark_model (TFLite's),
            litert_benchmark_model.
        delegate: xnnpack, none, gpu or nnapi.
        dtype: float32 or int8.
        threads: of the runtime.
        affinity: the CPUs it was pinned to, such as `1`; empty if it was not.
        governor: the CPU frequency governor; empty if the device does not tell.
        binary_sha256: of the benchmark program, where one was used.
        model: the phone's or board's name for itself; empty if it has none.
    """

    device: str
    soc: str
    cpu: str
    os: str
    runtime: str
    runtime_version: str
    delegate: str
    dtype: str
    threads: int
    affinity: str = ""
    governor: str = ""
    binary_sha256: str = ""
    model: str = ""

    def __post_init__(self) -> None:
        _check_texts(self)
        check_integer("threads", self.threads, 1, 1024)


@dataclass(frozen=True, slots=True)
class Entry:
    """One block's latency.

    Attributes:
        latency_ms: on the quiet device, within a network.
        error_ms: standard deviation of that figure.
        num_networks: how many measured networks held all of the block's operators; the least over its operators.
        source: `measured` if every operator was in a measured network, `imported` if somebody else measured the block
            (num_networks is then how often, as they say), else `fitted`.
    """

    latency_ms: float
    error_ms: float
    num_networks: int
    source: str = "measured"

    def __post_init__(self) -> None:
        check_number("latency_ms", self.latency_ms, 0, _MOST_MS)
        check_number("error_ms", self.error_ms, 0, _MOST_MS)
        check_integer("num_networks", self.num_networks, 0, 10**9)
        check_choice("source", self.source, SOURCES)


@dataclass(frozen=True, slots=True)
class ReportCard:
    """How predictions compare with whole networks that took no part in making the table.

    All shares and errors are fractions: 0.02 is 2 %.

    Attributes:
        num_networks: how many were held out.
        mape: mean absolute error over measured latency, of the quiet-device latency.
        within_5_percent, within_10_percent: share of the networks.
        within_interval: share inside their own 90 % interval.
        kendall_tau: rank correlation.
        repeatability: mean relative difference between two halves of a network's own measurements: the noise floor.
        median_mape: the same predictions against medians, disturbances and all.
        pairs_ms: predicted and measured latency in ms of every network held out, for drawing; empty in tables that
            were made before they were kept.
    """

    num_networks: int
    mape: float
    within_5_percent: float
    within_10_percent: float
    within_interval: float
    kendall_tau: float
    repeatability: float
    median_mape: float
    pairs_ms: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        check_integer("num_networks", self.num_networks, 1, 10**9)
        for name in ("within_5_percent", "within_10_percent", "within_interval"):
            check_number(name, getattr(self, name), 0, 1)
        for name in ("mape", "repeatability", "median_mape"):
            check_number(name, getattr(self, name), 0, 1e6)
        check_number("kendall_tau", self.kendall_tau, -1, 1)
        object.__setattr__(self, "pairs_ms", _check_pairs(self.pairs_ms))


@dataclass(frozen=True)
class LatencyTable:
    """A device's latencies by block key, with their provenance.

    Attributes:
        configuration: where and how.
        space: the name of the space it was made for.
        resolution: of that space's networks, in pixels.
        date: ISO date of the measurement.
        method: how it was measured, in words.
        mnas_version: of the program that made it.
        overhead_ms: added once for every network; may be somewhat below zero, where large networks take more than the
            sum of their blocks.
        relative_error: standard deviation of a network's prediction, as a fraction, beyond its entries' own errors.
        entries: by `PlacedBlock.key`.
        report_card: None if no network was held out.
        params_curve: points (parameters of a whole network, factor on its sum), parameters rising. What a block takes
            depends on how much of the whole network's weights stays in the caches. Factors are interpolated, and
            constant outside; no points mean a factor of 1.
        reference_ms: what the reference network took on the quiet device, so that later measurements on it can tell a
            wrong table from a busy device; 0 if it is not known.
    """

    configuration: Configuration
    space: str
    resolution: int
    date: str
    method: str
    mnas_version: str
    overhead_ms: float
    relative_error: float
    entries: Mapping[str, Entry] = field(repr=False)
    report_card: ReportCard | None = None
    params_curve: tuple[tuple[float, float], ...] = ()
    reference_ms: float = 0.0

    def __post_init__(self) -> None:
        _check_texts(self)
        check_integer("resolution", self.resolution, 1, 8192)
        check_number("overhead_ms", self.overhead_ms, -_MOST_MS, _MOST_MS)
        check_number("relative_error", self.relative_error, 0, 10)
        check_number("reference_ms", self.reference_ms, 0, _MOST_MS)
        object.__setattr__(self, "params_curve", _check_curve(self.params_curve))
        if not self.entries:
            raise InputError("a latency table without entries says nothing: expected at least one")

    @cached_property
    def sha256(self) -> str:
        """A hash of everything in it: equal tables, equal hashes."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    def header(self) -> dict[str, Any]:
        """Everything but the entries, as plain data."""
        card = None if self.report_card is None else asdict(self.report_card)
        if card is not None and not card["pairs_ms"]:
            del card["pairs_ms"]  # a table of before they were kept has the hash that it always had
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _NESTED}
        plain["params_curve"] = [list(point) for point in self.params_curve]
        return {**plain, "configuration": asdict(self.configuration), "report_card": card}

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        entries = {key: asdict(entry) for key, entry in sorted(self.entries.items())}
        return {"format": FORMAT, "version": VERSION, **self.header(), "entries": entries}

    def _repr_html_(self) -> str:
        """What notebooks show: where it was measured and how far to trust it."""
        from mnas.latency.notebook import table_html

        return table_html(self)

    def save(self, path: Path | str) -> None:
        """Write the table, whole or not at all.

        Raises:
            MnasError: if it cannot be written.
        """
        write_json(path, self.to_dict())

    @staticmethod
    def load(path: Path | str) -> LatencyTable:
        """Read a table and check every field.

        Raises:
            InputError: if it is unreadable, truncated, not a table, of another version, in another unit, or holds a
                value that cannot be.
        """
        try:
            return LatencyTable.from_dict(read_json(path, "a latency table"))
        except InputError as error:
            raise error if str(path) in str(error) else InputError(f"{path}: {error}") from None

    @staticmethod
    def from_dict(data: Any) -> LatencyTable:
        """The inverse of `to_dict`.

        Raises:
            InputError: as `load`.
        """
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise InputError("this is not a latency table of mnas: make one with mnas profile")
        if not is_document(data, FORMAT, VERSION):
            raise InputError(f"latency table of version {data.get('version')!r}: this mnas reads version {VERSION}")
        data = {name: value for name, value in data.items() if name not in ("format", "version")}
        _check_names("the latency table", data, LatencyTable)
        entries = data["entries"]
        if not isinstance(entries, dict):
            raise InputError("entries: expected an object of block keys")
        card = data.get("report_card")
        return LatencyTable(
            **{
                **data,
                "configuration": configuration_from_dict(data["configuration"]),
                "entries": {key: _read_entry(key, value) for key, value in entries.items()},
                "report_card": None if card is None else _read("report_card", card, ReportCard),
            }
        )


def configuration_from_dict(data: Any) -> Configuration:
    """The inverse of `dataclasses.asdict` for a `Configuration`.

    Raises:
        InputError: if fields are missing, unknown, or hold what cannot be.
    """
    return _read("configuration", data, Configuration)


_NESTED = ("configuration", "entries", "report_card")


def _read(what: str, data: Any, kind: type[Record]) -> Record:
    _check_names(what, data, kind)
    try:
        return kind(**data)
    except InputError as error:
        raise InputError(f"{what}: {error}") from None


def _read_entry(key: str, data: Any) -> Entry:
    """An entry as it is read. Nothing takes no time, but others' tables say so of what they did not measure."""
    entry = _read(f"the entry {key!r}", data, Entry)
    if entry.latency_ms == 0 and entry.source != "imported":
        raise InputError(f"the entry {key!r}: latency_ms is 0, but it is {entry.source}: expected a time above 0")
    return entry


def _check_names(what: str, data: Any, kind: Any) -> None:
    """Refuse missing and unknown fields; a time in another unit is an unknown field, and is said to be one."""
    if not isinstance(data, dict):
        raise InputError(f"{what} is {str(data)[:40]!r}: expected an object")
    known = [f.name for f in fields(kind)]
    unknown = sorted(set(data) - set(known))
    if any(name.startswith(("latency", "error", "overhead")) for name in unknown):
        raise InputError(f"{what} has {', '.join(unknown)}: times are in milliseconds, in fields that end in _ms")
    if unknown:
        raise InputError(f"{what} has unknown fields {', '.join(unknown)[:200]}")
    required = [f.name for f in fields(kind) if f.default is MISSING]
    missing = [name for name in required if name not in data]
    if missing:
        raise InputError(f"{what} lacks {', '.join(missing)}")


def _check_curve(points: Any) -> tuple[tuple[float, float], ...]:
    if not isinstance(points, list | tuple):
        raise InputError(f"params_curve is {str(points)[:60]!r}: expected a list of points")
    for point in points:
        if not isinstance(point, list | tuple) or len(point) != 2:
            raise InputError(f"params_curve holds {str(point)[:60]!r}: expected a pair of parameters and factor")
        check_number("parameters in params_curve", point[0], 0, 1e12)
        check_number("factor in params_curve", point[1], 0.1, 10)
    if any(second[0] <= first[0] for first, second in pairwise(points)):
        raise InputError("params_curve: expected rising parameters")
    return tuple((point[0], point[1]) for point in points)


def _check_pairs(pairs: Any) -> tuple[tuple[float, float], ...]:
    if not isinstance(pairs, list | tuple) or any(not isinstance(p, list | tuple) or len(p) != 2 for p in pairs):
        raise InputError(f"pairs_ms is {str(pairs)[:60]!r}: expected a list of pairs, predicted and measured")
    for value in (value for pair in pairs for value in pair):
        check_number("a latency in pairs_ms", value, 0, _MOST_MS)
    return tuple((float(predicted), float(measured)) for predicted, measured in pairs)


def _check_texts(record: Any) -> None:
    """Refuse what is no text, and text that would do something to the terminal that it is printed on."""
    texts = {each.name: getattr(record, each.name) for each in fields(record) if each.type == "str"}
    for name, value in (*texts.items(), *(("an entry's key", key) for key in getattr(record, "entries", ()))):
        if not isinstance(value, str):
            raise InputError(f"{name} is {value!r}: expected text")
        if not value.isprintable():
            raise InputError(f"{name} is {value[:200]!r}: expected text of printable characters, on one line")
