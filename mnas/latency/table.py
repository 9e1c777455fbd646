"""The latency table: a device's latency for every block of a space, where it was measured, and its errors.

A table is one JSON file of numbers and text. All times are in milliseconds.
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

from mnas.checks import Share, check_choice, check_fields, convert
from mnas.errors import InputError
from mnas.latency.registry import find_table
from mnas.system.files import is_document, read_json, write_json

FORMAT = "mnas.latency_table"
VERSION = 1
Source = Literal["measured", "fitted", "imported"]
_MOST_MS = 10**7
# An int stays an int, here and below: a table's hash is that of its text.
Milliseconds = Annotated[int, Meta(ge=0, le=_MOST_MS)] | Annotated[float, Meta(ge=0, le=_MOST_MS)]
Count = Annotated[int, Meta(ge=0, le=10**9)]
Error = Annotated[int, Meta(ge=0, le=10**6)] | Annotated[float, Meta(ge=0, le=1e6)]
Line = Annotated[str, Meta(max_length=1 << 20, title="text of printable characters, on one line")]
_Parameters = Annotated[int, Meta(ge=0, le=10**12)] | Annotated[float, Meta(ge=0, le=1e12)]
_Factor = Annotated[int, Meta(ge=1, le=10)] | Annotated[float, Meta(ge=0.1, le=10)]
CurvePoint = Annotated[tuple[_Parameters, _Factor], Meta(title="a pair of parameters and factor")]
Resolution = Annotated[int, Meta(ge=1, le=8192)]
Pair = Annotated[tuple[Milliseconds, Milliseconds], Meta(title="a pair, predicted and measured")]

TRANSFERRED = "transferred from the table of"  # the method of a table from mnas.latency.transfer begins with it
FLOAT_REFERENCE = "float32"
REFERENCES = (FLOAT_REFERENCE, "float32-plain", "int8", "int8-plain")


@dataclass(frozen=True, slots=True)
class Configuration:
    """Where and how networks ran. Tables can be compared only if their configurations are equal.

    Attributes:
        device: the kind of device that `mnas profile --device` was given, without serial or host: local, adb, ssh.
        soc, cpu, os: as the device reports them.
        runtime, runtime_version: litert, tflite-runtime, or the benchmark program: benchmark_model (TFLite's),
            litert_benchmark_model.
        delegate: xnnpack, none, gpu, nnapi, hexagon or external; with options as `mnas.devices.delegate` writes them.
        dtype: float32 or int8.
        threads: of the runtime.
        affinity: the CPUs it was pinned to, such as `1`; empty if it was not. What `--cores` asked for stands before
            them: `big: 4,5,6,7`.
        governor: the CPU frequency governor; empty if the device does not report it.
        binary_sha256: of the benchmark program, if one was used.
        model: of the phone or board, as it reports it; empty if it does not.
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

    @property
    def cores(self) -> str:
        """What `--cores` asked for; empty if the CPUs were chosen by default."""
        return asked_cores(self.affinity)

    def differences(self, other: Configuration) -> dict[str, tuple[Any, Any]]:
        """Return both values of every field that differs."""
        mine, theirs = asdict(self), asdict(other)
        return {name: (value, theirs[name]) for name, value in mine.items() if value != theirs[name]}


def asked_cores(affinity: str) -> str:
    """What `--cores` asked for, from `Configuration.affinity`; empty if the CPUs were chosen by default."""
    asked, colon, _ = affinity.partition(": ")
    return asked if colon else ""


def same_cores(first: str, second: str) -> bool:
    """Whether two values of `Configuration.affinity` asked for the same, or are of the same CPUs."""
    return asked_cores(first) == asked_cores(second) or first.rpartition(": ")[2] == second.rpartition(": ")[2]


@dataclass(frozen=True, slots=True)
class Entry:
    """One block's latency.

    Attributes:
        latency_ms: on the quiet device, within a network.
        error_ms: standard deviation of the latency.
        num_networks: number of measured networks with the block's operators; the minimum over its operators.
        source: `measured` if every operator was in a measured network, `imported` if the block is from a published
            table (num_networks is then the number of measurements stated there), else `fitted`.
    """

    latency_ms: Milliseconds
    error_ms: Milliseconds
    num_networks: Count
    source: Source = "measured"

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, slots=True)
class ReportCard:
    """Errors of the predictions on networks that were not used to make the table.

    All shares and errors are fractions: 0.02 is 2 %.

    Attributes:
        num_networks: number of held-out networks.
        mape: mean absolute error over measured latency, of the quiet-device latency.
        within_5_percent, within_10_percent: share of the networks.
        within_interval: share inside their own 90 % interval.
        kendall_tau: rank correlation.
        repeatability: mean relative difference between two halves of a network's own measurements: the noise floor.
        median_mape: mean absolute error over the median latency, which includes disturbances.
        pairs_ms: predicted and measured latency in ms of every held-out network, for plots; empty in old tables.
        margin: of the 90 % intervals over the prediction, on average: 0.05 is plus and minus 5 %; None in old tables.
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
    margin: Error | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        object.__setattr__(self, "pairs_ms", tuple((float(first), float(second)) for first, second in self.pairs_ms))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, without pairs or margin if there are none: an old table keeps its hash."""
        absent = {name for name in ("pairs_ms", "margin") if not getattr(self, name) and getattr(self, name) != 0}
        return {name: value for name, value in asdict(self).items() if name not in absent}


@dataclass(frozen=True)
class LatencyTable:
    """A device's latencies by block key, with their provenance.

    Attributes:
        configuration: where and how.
        space: the name of the space it was made for.
        resolution: of that space's networks, in pixels; the largest one if there are several.
        date: ISO date of the measurement.
        method: how it was measured, as text.
        mnas_version: of the program that made it.
        overhead_ms: added once for every network; may be below zero if large networks take more than the sum of their
            blocks.
        relative_error: standard deviation of a network's prediction, as a fraction, beyond its entries' own errors.
        entries: by `PlacedBlock.key`.
        report_card: None if no network was held out.
        params_curve: points (parameters of a network, factor on its sum), in the order of parameters: a block's latency
            depends on how many of the network's weights stay in the caches. Factors are interpolated, and constant
            outside; without points the factor is 1.
        reference_ms: the reference network's latency on the quiet device, with which later measurements distinguish a
            wrong table from a busy device; 0 if it is not known.
        reference: which reference network that is: its dtype, `-plain` without squeeze-and-excitation.
        resolutions: two or more that it prices, in pixels, the largest first; empty if `resolution` is the only one.
        report_cards: by resolution, each over the held-out networks of that size; empty for a single resolution.
    """

    configuration: Configuration
    space: Line
    resolution: Resolution
    date: Line
    method: Line
    mnas_version: Line
    overhead_ms: Annotated[int, Meta(ge=-_MOST_MS, le=_MOST_MS)] | Annotated[float, Meta(ge=-_MOST_MS, le=_MOST_MS)]
    relative_error: Annotated[int, Meta(ge=0, le=10)] | Annotated[float, Meta(ge=0, le=10)]
    entries: Mapping[Line, Entry] = field(repr=False)
    report_card: ReportCard | None = None
    params_curve: tuple[CurvePoint, ...] = ()
    reference_ms: Milliseconds = 0.0
    resolutions: tuple[Resolution, ...] = ()
    report_cards: Mapping[Resolution, ReportCard] = field(default_factory=dict)
    reference: Line = FLOAT_REFERENCE

    def __post_init__(self) -> None:
        check_fields(self)
        _check_printable(self)
        check_choice("reference", self.reference, REFERENCES)
        object.__setattr__(self, "params_curve", tuple((params, factor) for params, factor in self.params_curve))
        if any(second[0] <= first[0] for first, second in pairwise(self.params_curve)):
            raise InputError("params_curve: expected strictly rising numbers of parameters")
        if not self.entries:
            raise InputError("entries is empty: expected at least one")
        object.__setattr__(self, "resolutions", tuple(self.resolutions))
        if self.resolutions and (len(self.resolutions) < 2 or self.resolutions[0] != self.resolution):
            raise InputError("resolutions: expected two or more sizes in pixels, the first of them `resolution`")
        if any(second >= first for first, second in pairwise(self.resolutions)):
            raise InputError("resolutions: expected different sizes in pixels, the largest first")
        if other := [size for size in self.report_cards if size not in self.resolutions]:
            raise InputError(f"report_cards has {other[0]} px, which is not one of the resolutions")

    @property
    def input_sizes(self) -> tuple[int, ...]:
        """Every resolution that it was made for in pixels, the largest first."""
        return self.resolutions or (self.resolution,)

    @property
    def input_text(self) -> str:
        """The resolutions for messages: `160, 128 and 96 px`."""
        *most, last = map(str, self.input_sizes)
        return f"{', '.join(most)} and {last} px" if most else f"{last} px"

    @cached_property
    def sha256(self) -> str:
        """A hash of the whole content."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    def header(self) -> dict[str, Any]:
        """Return everything but the entries, as plain data."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _NESTED}
        plain["params_curve"] = [list(point) for point in self.params_curve]
        plain["configuration"] = asdict(self.configuration)
        plain["report_card"] = None if self.report_card is None else self.report_card.to_dict()
        # What an old table does not have stays away from it, so that it keeps its hash.
        if self.reference == FLOAT_REFERENCE:
            del plain["reference"]
        if self.resolutions:
            plain["resolutions"] = list(self.resolutions)
        if self.report_cards:
            plain["report_cards"] = {str(size): card.to_dict() for size, card in self.report_cards.items()}
        return plain

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        entries = {key: asdict(entry) for key, entry in sorted(self.entries.items())}
        return {"format": FORMAT, "version": VERSION, **self.header(), "entries": entries}

    def _repr_html_(self) -> str:
        """Show in notebooks where it was measured, and its errors."""
        from pkgutil import resolve_name

        return str(resolve_name("mnas.report.notebook:table_html")(self))

    def save(self, path: Path | str) -> None:
        """Write the table atomically.

        Raises:
            MnasError: if it cannot be written.
        """
        write_json(path, self.to_dict())

    @staticmethod
    def load(path: Path | str) -> LatencyTable:
        """Read a table and check every field.

        Args:
            path: of the file, or the name of a ready-made table (`mnas table list`).

        Raises:
            InputError: if the file is unreadable, truncated, not a table, of another version, or has an invalid value;
                or for an unknown name.
        """
        path = find_table(path)
        try:
            return LatencyTable.from_dict(read_json(path, "a latency table"))
        except InputError as error:
            raise error if str(path) in str(error) else InputError(f"{path}: {error}") from None

    @staticmethod
    def from_dict(data: Any) -> LatencyTable:
        """Make a table of what `to_dict` returns.

        Raises:
            InputError: as `load`.
        """
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise InputError("this is not a latency table of mnas: make one with mnas profile")
        if not is_document(data, FORMAT, VERSION):
            raise InputError(f"latency table of version {data.get('version')!r}: this mnas reads version {VERSION}")
        fields = {name: value for name, value in data.items() if name not in ("format", "version")}
        if isinstance(cards := fields.get("report_cards"), dict):
            fields["report_cards"] = {_number(size): card for size, card in cards.items()}
        table = convert(fields, LatencyTable, "the latency table")
        # Published tables have zeros for blocks that were not measured.
        for key, entry in table.entries.items():
            if entry.latency_ms == 0 and entry.source != "imported":
                raise InputError(
                    f"the entry {key!r}: latency_ms is 0, but it is {entry.source}: expected a time above 0"
                )
        return table


_NESTED = ("configuration", "entries", "report_card", "resolutions", "report_cards")


def _number(text: str) -> int | str:
    """A key of JSON as a number of at most four digits; any other text as it is, to be refused."""
    return int(text) if len(text) <= 4 and text.isascii() and text.isdecimal() else text


def _check_printable(record: Any) -> None:
    """Refuse text that could send control characters to a terminal."""
    texts = [(each.name, getattr(record, each.name)) for each in fields(record)]
    for name, value in (*texts, *(("an entry's key", key) for key in getattr(record, "entries", ()))):
        if isinstance(value, str) and not value.isprintable():
            raise InputError(f"{name} is {value[:200]!r}: expected text of printable characters, on one line")
