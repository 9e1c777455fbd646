"""The log beside an unfinished table: one line per measured network, so that profiling can resume."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct

from mnas.checks import check_choice, convert
from mnas.errors import InputError
from mnas.latency.identity import harmless_fields
from mnas.latency.table import FLOAT_REFERENCE, REFERENCES, same_cores
from mnas.profiling.measure import NetworkTime
from mnas.system.files import parse_json, shorten
from mnas.system.jsonlines import JsonLines

_LONGEST = 60  # characters of a value in a message
_LOGGER = logging.getLogger(__name__)


class _Line(Struct, frozen=True, forbid_unknown_fields=True):
    network: Annotated[int, Meta(ge=0, le=10**6)]
    seconds: Annotated[float, Meta(ge=0, le=1e7)]
    time: NetworkTime


class ProfileLog:
    """Append-only JSON lines: a header, then networks by their number in the plan.

    Attributes:
        reference: name of the reference network; that of an earlier log stays.

    Args:
        path: of the log.
        header: plain data that identifies the profile. In an earlier log, minutes, governor, cores and the build of the
            benchmark program may differ, with a warning.

    Raises:
        InputError: if the file is not a log, or belongs to another profile.
        MnasError: if it cannot be written.
    """

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self.path = path
        self.times: dict[int, NetworkTime] = {}
        self.seconds = 0.0
        self._lines = JsonLines(path, "measurements")
        self._lines.repair()
        header = json.loads(json.dumps(header))
        self.reference = str(header.get("reference", FLOAT_REFERENCE))
        if lines := self._lines.read():
            self._read([line for _, line in lines], header)
        else:
            self._lines.append({"profile": header})

    def _read(self, lines: list[bytes], header: dict[str, Any]) -> None:
        try:
            first, *rest = (parse_json(line) for line in lines)
            found = dict(first["profile"])
            self.reference = found.pop("reference", FLOAT_REFERENCE)
            check_choice("reference", self.reference, REFERENCES)
            for record in rest:
                self._keep(record)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(
                f"{self.path} is not a log of mnas profile ({shorten(str(error))}): move it away"
            ) from None
        header.pop("reference", None)
        changed = _changes(found, header)
        harmless = _harmless(header)
        if not same_cores(_affinity(found), _affinity(header)):
            harmless.discard("configuration.affinity")
        different = [text for name, text in changed.items() if name not in harmless]
        if different:
            raise InputError(
                f"{self.path} belongs to an unfinished profile that differs in {', '.join(different)}: finish that one "
                "with its own arguments, or delete the file to start again"
            )
        for text in changed.values():
            _LOGGER.warning("%s continues a profile that was begun with another %s", self.path, text)

    def _keep(self, record: Any) -> None:
        line = convert(record, _Line, "")
        if line.network in self.times:
            raise InputError(f"network {line.network} occurs twice")
        self.seconds += line.seconds
        self.times[line.network] = line.time

    def append(self, network: int, time: NetworkTime, seconds: float) -> None:
        """Add a network's measurement, and the seconds that it took.

        Raises:
            MnasError: if it cannot be written.
        """
        self.times[network] = time
        self.seconds += seconds
        self._lines.append({"network": network, "seconds": seconds, "time": asdict(time)})

    def remove(self) -> None:
        """Delete the log."""
        self.path.unlink(missing_ok=True)


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, str]:
    """Describe each field with two values: `governor (schedutil then, performance now)`, by its name."""
    old, new = _fields(before), _fields(now)
    return {
        name: f"{name.rpartition('.')[2]} ({_shown(old.get(name))} then, {_shown(new.get(name))} now)"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    }


def _fields(header: Mapping[str, Any]) -> dict[str, Any]:
    nested = {
        f"{part}.{name}": value
        for part, fields in header.items()
        if isinstance(fields, Mapping)
        for name, value in fields.items()
    }
    return nested | {name: value for name, value in header.items() if not isinstance(value, Mapping)}


def _harmless(header: Mapping[str, Any]) -> set[str]:
    """The fields that do not make another profile: bursts are relative to a reference that is measured between them."""
    device = str(dict(header.get("configuration", {})).get("device"))
    return {"options.minutes", *(f"configuration.{name}" for name in harmless_fields(device))}


def _affinity(header: Mapping[str, Any]) -> str:
    return str(dict(header.get("configuration", {})).get("affinity", ""))


def _shown(value: Any) -> str:
    return shorten(str(value), _LONGEST) if value not in ("", None) else "unknown"
