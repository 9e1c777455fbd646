"""The log beside an unfinished table: one line per measured network, so that profiling can resume."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct

from mnas.checks import convert
from mnas.errors import InputError
from mnas.profiling.measure import NetworkTime
from mnas.system.files import parse_json, shorten
from mnas.system.jsonlines import JsonLines


class _Line(Struct, frozen=True, forbid_unknown_fields=True):
    network: Annotated[int, Meta(ge=0, le=10**6)]
    seconds: Annotated[float, Meta(ge=0, le=1e7)]
    time: NetworkTime


class ProfileLog:
    """Append-only JSON lines: a header, then networks by their number in the plan.

    Args:
        path: of the log.
        header: plain data that identifies the profile.

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
        if lines := self._lines.read():
            self._read([line for _, line in lines], header)
        else:
            self._lines.append({"profile": header})

    def _read(self, lines: list[bytes], header: dict[str, Any]) -> None:
        try:
            first, *rest = (parse_json(line) for line in lines)
            found = dict(first["profile"])
            for record in rest:
                self._keep(record)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(
                f"{self.path} is not a log of mnas profile ({shorten(str(error))}): move it away"
            ) from None
        different = sorted(key for key in {*found, *header} if found.get(key) != header.get(key))
        if different:
            raise InputError(
                f"{self.path} belongs to an unfinished profile that differs in {', '.join(different)}: finish that one "
                "with its own arguments, or delete the file to start again"
            )

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
