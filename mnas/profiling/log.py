"""The log beside an unfinished table: one line a measured network, so that profiling goes on where it stopped."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mnas.checks import check_integer, check_number
from mnas.errors import InputError
from mnas.files import parse_json, shorten
from mnas.profiling.measure import NetworkTime
from mnas.system.jsonlines import JsonLines


class ProfileLog:
    """Append-only JSON lines: first what is being measured, then networks by their number in the plan.

    Args:
        path: of the log.
        header: plain data that says what is measured; a log with another header belongs to other work.

    Raises:
        InputError: if the file belongs to another profile.
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
                "with its own arguments, or delete the file to start anew"
            )

    def _keep(self, record: Any) -> None:
        """Take one line's measurement, checked: KeyError, TypeError and ValueError say that it is none."""
        check_integer("network", record["network"], 0, 10**6)
        check_number("seconds", record["seconds"], 0, 1e7)
        if set(record) != {"network", "seconds", "time"} or record["network"] in self.times:
            raise ValueError(f"network {record['network']} is there twice, or says more than was measured")
        time = NetworkTime(**{**record["time"], "halves_ms": tuple(record["time"]["halves_ms"])})
        for name, value in asdict(time).items():
            if name.startswith("num_"):
                check_integer(name, value, 0, 10**9)
            elif name == "halves_ms":
                first_ms, second_ms = value
                check_number(name, first_ms, 1e-9, 1e7)
                check_number(name, second_ms, 1e-9, 1e7)
            else:
                check_number(name, value, 1e-9, 1e7)
        self.seconds += record["seconds"]
        self.times[record["network"]] = time

    def append(self, network: int, time: NetworkTime, seconds: float) -> None:
        """Keep one network's measurement, and how many seconds it took.

        Raises:
            MnasError: if it cannot be written.
        """
        self.times[network] = time
        self.seconds += seconds
        self._lines.append({"network": network, "seconds": seconds, "time": asdict(time)})

    def remove(self) -> None:
        """The work is done and kept elsewhere."""
        self.path.unlink(missing_ok=True)
