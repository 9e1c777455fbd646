"""The log beside a table: one line per measured network, to resume a profile, and to extend or merge tables later."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct

from mnas.arch.codec import short_fingerprint
from mnas.arch.spec import Architecture
from mnas.checks import check_choice, convert
from mnas.errors import InputError, MnasError
from mnas.latency.identity import harmless_fields
from mnas.latency.table import FLOAT_REFERENCE, REFERENCES, same_cores
from mnas.profiling.measure import NetworkTime
from mnas.system.files import parse_json, shorten
from mnas.system.jsonlines import JsonLines

SOURCES = "tables"  # of --from, in a header: their names
_LONGEST = 60  # characters of a value in a message
_LOGGER = logging.getLogger(__name__)


class _Line(Struct, frozen=True, forbid_unknown_fields=True):
    network: Annotated[int, Meta(ge=0, le=10**6)]
    seconds: Annotated[float, Meta(ge=0, le=1e7)]
    time: NetworkTime
    architecture: Annotated[str, Meta(max_length=64)] = ""  # logs were without it
    again: bool = False


@dataclass
class Measurements:
    """What a log contains.

    Attributes:
        header: plain data that identifies the profile.
        space: of the networks, as `SearchSpace.to_dict` returns it; None in logs of mnas 0.1.
        times: by the networks' numbers in the plan.
        again: numbers of networks that were measured once more; the faster result is in `times`.
        architectures: short fingerprints of these networks, by number; logs of earlier mnas have none.
        seconds: that all measurements took.
        table: the hash of the table that was last fitted to them; empty before the first.
        date: of that table, ISO.
        new_seconds: that the measurements since then took.
        checked: whether networks were measured once more since then.
    """

    header: dict[str, Any]
    space: dict[str, Any] | None = None
    times: dict[int, NetworkTime] = field(default_factory=dict)
    again: set[int] = field(default_factory=set)
    architectures: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0
    table: str = ""
    date: str = ""
    new_seconds: float = 0.0
    checked: bool = False

    @property
    def reference(self) -> str:
        """Name of the reference network, to which all latencies are relative."""
        return str(self.header.get("reference", FLOAT_REFERENCE))

    def add(self, network: int, architecture: str, time: NetworkTime, seconds: float, *, again: bool = False) -> None:
        """Add a network's measurement; `architecture` is its short fingerprint, empty if it is not known.

        Raises:
            InputError: if there is one already that may be of the same network, and it was not measured `again`.
        """
        known = self.architectures.get(network, "")
        other = bool(known and architecture and known != architecture)
        if again:
            if network not in self.times or network in self.again or other:
                raise InputError(f"network {network} was measured once more, and not before")
            self.again.add(network)
            self.checked = True
            time = min(self.times[network], time, key=lambda each: each.quiet_ms / each.reference_ms)
        elif network in self.times:
            if not other:
                raise InputError(f"network {network} occurs twice")
            self.again.discard(network)
        self.times[network] = time
        self.architectures[network] = architecture
        self.seconds += seconds
        self.new_seconds += seconds

    def set_others_aside(self, plan: Sequence[Architecture], path: Path, then: str) -> None:
        """Forget measurements of other networks than the plan has under their numbers, with a warning.

        Args:
            plan: the networks, by number.
            path: of the log, for the warning.
            then: what follows from it, for the warning.
        """
        others = [
            number
            for number, architecture in enumerate(plan)
            if self.architectures.get(number) and self.architectures[number] != short_fingerprint(architecture)
        ]
        if not others:
            return
        _LOGGER.warning(
            "%s: %d of its %d measured networks, such as number %d, are not those that have these numbers in the plan "
            "now, which another version of mnas made: their measurements are set aside, %s",
            *(path, len(others), len(self.times), others[0], then),
        )
        for number in others:
            del self.times[number], self.architectures[number]
            self.again.discard(number)

    def set_table(self, sha256: str, date: str) -> None:
        """Note that a table was fitted to all of them."""
        self.table, self.date, self.new_seconds, self.checked = sha256, date, 0.0, False


def log_path(table: Path) -> Path:
    """Return the path of the log beside a table."""
    return table.with_name(f"{table.name}.log")


def read_log(path: Path) -> Measurements:
    """Read a log. A torn last line is skipped with a warning.

    Raises:
        InputError: if there is none, or the file is not a log.
    """
    if not path.exists():
        raise InputError(
            f"there is no {path}, which would have the measurements behind the table: mnas profile keeps it beside the "
            "table. For a table made before it did, or without its log, run mnas profile again"
        )
    lines = [line for _, line in JsonLines(path, "measurements").read()]
    return _parse(path, lines) if lines else Measurements({})


def set_finished_aside(path: Path) -> Path | None:
    """Rename a log whose table was written to the first free name, such as `laptop.json.1.log`, and return that.

    Returns:
        None if there is no log, or it is that of an unfinished profile.

    Raises:
        InputError: if the file is not a log.
        MnasError: if it cannot be renamed.
    """
    if not path.exists():
        return None
    JsonLines(path, "measurements").repair()
    if not read_log(path).table:
        return None
    names = (path.with_name(f"{path.stem}.{number}{path.suffix}") for number in count(1))
    aside = next(name for name in names if not name.exists())
    try:
        path.rename(aside)
    except OSError as error:
        raise MnasError(f"cannot rename {path} to {aside.name}: {error.strerror or error}") from None
    return aside


class ProfileLog:
    """Append-only JSON lines: a header with the space, networks by their number in the plan, and each fitted table.

    Args:
        path: of the log.
        header: plain data that identifies the profile. In an earlier log, minutes, governor, cores and the build of the
            benchmark program may differ, with a warning.
        space: of the networks, as `SearchSpace.to_dict` returns it; an earlier log that lacks it gets it.

    Raises:
        InputError: if the file is not a log, or belongs to another profile.
        MnasError: if it cannot be written.
    """

    def __init__(self, path: Path, header: dict[str, Any], space: dict[str, Any] | None = None) -> None:
        self.path = path
        self._lines = JsonLines(path, "measurements")
        self._lines.repair()
        header = json.loads(json.dumps(header))
        if lines := self._lines.read():
            self._found = _parse(path, [line for _, line in lines])
            self._check(header)
            if space is not None and self._found.space is None:
                self._lines.append({"space": space})
        else:
            self._found = Measurements(header, space)
            self._lines.append({"profile": header} if space is None else {"profile": header, "space": space})

    @property
    def times(self) -> dict[int, NetworkTime]:
        """The measurements by the networks' numbers in the plan."""
        return self._found.times

    @property
    def again(self) -> set[int]:
        """Numbers of the networks that were measured once more."""
        return self._found.again

    @property
    def checked(self) -> bool:
        """Whether networks were measured once more since the last fit."""
        return self._found.checked

    @property
    def reference(self) -> str:
        """Name of the reference network; that of an earlier log stays."""
        return self._found.reference

    @property
    def seconds(self) -> float:
        """What all measurements took."""
        return self._found.seconds

    @property
    def new_seconds(self) -> float:
        """What the measurements since the last fit took."""
        return self._found.new_seconds

    def _check(self, header: dict[str, Any]) -> None:
        different, harmless = changes(self._found.header, header)
        if different:
            listed = ", ".join(change.text("then", "now") for change in different)
            if self._found.table:
                raise InputError(
                    f"{self.path} belongs to a finished profile that differs in {listed}: choose another --out"
                )
            raise InputError(
                f"{self.path} belongs to an unfinished profile that differs in {listed}: finish that one "
                "with its own arguments, or delete the file to start again"
            )
        for change in harmless:
            _LOGGER.warning(
                "%s continues a profile that was begun with another %s", self.path, change.text("then", "now")
            )

    def set_others_aside(self, plan: Sequence[Architecture]) -> None:
        """Forget measurements of other networks than the plan has under their numbers, with a warning."""
        self._found.set_others_aside(plan, self.path, "and these networks are measured again")

    def append(
        self, network: int, architecture: Architecture, time: NetworkTime, seconds: float, *, again: bool = False
    ) -> None:
        """Add a network's measurement, and the seconds that it took.

        With `again` there is one already, and the faster one counts.

        Raises:
            MnasError: if it cannot be written.
        """
        fingerprint = short_fingerprint(architecture)
        self._found.add(network, fingerprint, time, seconds, again=again)
        line = {"network": network, "architecture": fingerprint, "seconds": seconds, "time": asdict(time)}
        self._lines.append({**line, "again": True} if again else line)

    def finish(self, sha256: str, date: str) -> None:
        """Note hash and date of the table that was fitted to all measurements so far.

        Raises:
            MnasError: if it cannot be written.
        """
        self._found.set_table(sha256, date)
        self._lines.append({"table": sha256, "date": date})


def _parse(path: Path, lines: list[bytes]) -> Measurements:
    try:
        first, *rest = (parse_json(line) for line in lines)
        space = first.get("space")
        found = Measurements(dict(first["profile"]), None if space is None else dict(space))
        check_choice("reference", found.reference, REFERENCES)
        for record in rest:
            _add(found, record)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} is not a log of mnas profile ({shorten(str(error))}): move it away") from None
    return found


def _add(found: Measurements, record: Any) -> None:
    if record.keys() == {"space"}:
        found.space = dict(record["space"])
        return
    if record.keys() == {"table", "date"}:
        found.set_table(str(record["table"]), str(record["date"]))
        return
    line = convert(record, _Line, "")
    found.add(line.network, line.architecture, line.time, line.seconds, again=line.again)


@dataclass(frozen=True, slots=True)
class Change:
    """A field of two headers that differs, with both values."""

    name: str
    before: Any
    now: Any

    def text(self, first: str, second: str) -> str:
        """Describe it: `governor (schedutil then, performance now)`."""
        short = self.name.rpartition(".")[2]
        return f"{short} ({_shown(self.before)} {first}, {_shown(self.now)} {second})"


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[list[Change], list[Change]]:
    """Return what differs between two headers: what makes another profile, and what is harmless.

    The reference network is not compared: a profile goes on with that of its log. Tables that `--from` names are
    compared by content, and told by name.
    """
    old, new = _fields(before), _fields(now)
    found = [
        Change(name, old.get(name), new.get(name))
        for name in sorted({*old, *new} - {"reference", SOURCES})
        if old.get(name) != new.get(name)
    ]
    found = [
        Change("--from", old.get(SOURCES, change.before), new.get(SOURCES, change.now))
        if change.name == "from"
        else change
        for change in found
    ]
    names = _harmless(new)
    if not same_cores(_text(old, "affinity"), _text(new, "affinity")):
        names.discard("configuration.affinity")
    return [each for each in found if each.name not in names], [each for each in found if each.name in names]


def _fields(header: Mapping[str, Any]) -> dict[str, Any]:
    nested = {
        f"{part}.{name}": value
        for part, fields in header.items()
        if isinstance(fields, Mapping)
        for name, value in fields.items()
    }
    return nested | {name: value for name, value in header.items() if not isinstance(value, Mapping)}


def _harmless(fields: Mapping[str, Any]) -> set[str]:
    """The fields that do not make another profile: bursts are relative to a reference that is measured between them."""
    return {"options.minutes", *(f"configuration.{name}" for name in harmless_fields(_text(fields, "device")))}


def _text(fields: Mapping[str, Any], name: str) -> str:
    return str(fields.get(f"configuration.{name}", ""))


def _shown(value: Any) -> str:
    return shorten(str(value), _LONGEST) if value not in ("", None) else "unknown"
