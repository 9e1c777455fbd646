"""The latency table: what a device takes for every block of a space, where that was measured, and how far to trust it.

One JSON file a device configuration. Every time is in milliseconds and says so in its field's name. Numbers and text,
nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from mnas.checks import Share, check_fields, convert
from mnas.errors import InputError
from mnas.system.files import is_document, read_json, write_json

FORMAT = "mnas.latency_table"
VERSION = 1
Source = Literal["measured", "fitted", "imported"]
_MOST_MS = 10**7
# An int stays one, here and below: a table's hash is that of its text.
Milliseconds = Annotated[int, Meta(ge=0, le=_MOST_MS)] | Annotated[float, Meta(ge=0, le=_MOST_MS)]
Count = Annotated[int, Meta(ge=0, le=10**9)]
Error = Annotated[int, Meta(ge=0, le=10**6)] | Annotated[float, Meta(ge=0, le=1e6)]
Line = Annotated[str, Meta(max_length=1 << 20, title="text of printable characters, on one line")]
_Parameters = Annotated[int, Meta(ge=0, le=10**12)] | Annotated[float, Meta(ge=0, le=1e12)]
_Factor = Annotated[int, Meta(ge=1, le=10)] | Annotated[float, Meta(ge=0.1, le=10)]
CurvePoint = Annotated[tuple[_Parameters, _Factor], Meta(title="a pair of parameters and factor")]
Pair = Annotated[tuple[Milliseconds, Milliseconds], Meta(title="a pair, predicted and measured")]


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

    device: Line
    soc: Line
    cpu: Line
    os: Line
    runtime: Line
    runtime_version: Line
    delegate: Line
    dtype: Line
    threads: Annotated[int, Meta(ge=1, le=1024)]
    affinity: Line = ""
    governor: Line = ""
    binary_sha256: Line = ""
    model: Line = ""

    def __post_init__(self) -> None:
        check_fields(self)
        _check_printable(self)

    def differences(self, other: Configuration) -> dict[str, tuple[Any, Any]]:
        """Return both values of every field that differs."""
        mine, theirs = asdict(self), asdict(other)
        return {name: (value, theirs[name]) for name, value in mine.items() if value != theirs[name]}


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

    latency_ms: Milliseconds
    error_ms: Milliseconds
    num_networks: Count
    source: Source = "measured"

    def __post_init__(self) -> None:
        check_fields(self)


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

    num_networks: Annotated[int, Meta(ge=1, le=10**9)]
    mape: Error
    within_5_percent: Share
    within_10_percent: Share
    within_interval: Share
    kendall_tau: Annotated[int, Meta(ge=-1, le=1)] | Annotated[float, Meta(ge=-1, le=1)]
    repeatability: Error
    median_mape: Error
    pairs_ms: tuple[Pair, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self)
        object.__setattr__(self, "pairs_ms", tuple((float(first), float(second)) for first, second in self.pairs_ms))


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
    space: Line
    resolution: Annotated[int, Meta(ge=1, le=8192)]
    date: Line
    method: Line
    mnas_version: Line
    overhead_ms: Annotated[int, Meta(ge=-_MOST_MS, le=_MOST_MS)] | Annotated[float, Meta(ge=-_MOST_MS, le=_MOST_MS)]
    relative_error: Annotated[int, Meta(ge=0, le=10)] | Annotated[float, Meta(ge=0, le=10)]
    entries: Mapping[Line, Entry] = field(repr=False)
    report_card: ReportCard | None = None
    params_curve: tuple[CurvePoint, ...] = ()
    reference_ms: Milliseconds = 0.0

    def __post_init__(self) -> None:
        check_fields(self)
        _check_printable(self)
        object.__setattr__(self, "params_curve", tuple((params, factor) for params, factor in self.params_curve))
        if any(second[0] <= first[0] for first, second in pairwise(self.params_curve)):
            raise InputError("params_curve: expected rising parameters")
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
        from pkgutil import resolve_name

        return str(resolve_name("mnas.report.notebook:table_html")(self))

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
        fields = {name: value for name, value in data.items() if name not in ("format", "version")}
        table = convert(fields, LatencyTable, "the latency table")
        for (
            key,
            entry,
        ) in table.entries.items():  # nothing takes no time, but others say so of what they did not measure
            if entry.latency_ms == 0 and entry.source != "imported":
                raise InputError(
                    f"the entry {key!r}: latency_ms is 0, but it is {entry.source}: expected a time above 0"
                )
        return table


def configuration_from_dict(data: Any) -> Configuration:
    """The inverse of `dataclasses.asdict` for a `Configuration`.

    Raises:
        InputError: if fields are missing, unknown, or hold what cannot be.
    """
    return convert(data, Configuration, "configuration")


_NESTED = ("configuration", "entries", "report_card")


def _check_printable(record: Any) -> None:
    """Refuse text that would do something to the terminal that it is printed on."""
    texts = [(each.name, getattr(record, each.name)) for each in fields(record)]
    for name, value in (*texts, *(("an entry's key", key) for key in getattr(record, "entries", ()))):
        if isinstance(value, str) and not value.isprintable():
            raise InputError(f"{name} is {value[:200]!r}: expected text of printable characters, on one line")
