"""One device's profile as a job for a process of its own, on this machine or on a cluster's node.

`python -m mnas.profiling.job` reads a job from stdin, a line of JSON, and answers with lines of JSON: progress, what is
logged, and in the end the table or why there is none. On a cluster an actor holds a `ProfileWorker`.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from mnas.errors import MnasError
from mnas.latency.table import LatencyTable
from mnas.profiling.profile import OnProgress, ProfileOptions, profile
from mnas.space.space import SearchSpace
from mnas.system.child import open_answers

Say = Callable[[dict[str, Any]], None]

_LOGGER = logging.getLogger(__name__)
LOCAL = "local"
OPEN_DEVICE = "mnas.devices.registry:open_device"


@dataclass(frozen=True)
class ProfileJob:
    """What to measure where, as plain data.

    Attributes:
        device: as `mnas.devices.registry.open_device` takes it.
        out: the table's file, on the machine that the device is attached to.
        space: whose blocks to price, as `SearchSpace.to_dict` gives it.
        options: the fields of `ProfileOptions`.
        opening: what else opening the device takes, such as `threads`.
        open_with: `module:function` of this program, never of a file, that opens the device.
    """

    device: str
    out: str
    space: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    opening: dict[str, Any] = field(default_factory=dict)
    open_with: str = OPEN_DEVICE

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def run(self, progress: OnProgress) -> LatencyTable:
        """Profile, and write the table.

        Raises:
            MnasError: if the device fails, or a file cannot be written.
        """
        binary = self.opening.get("benchmark_binary")
        opening = {**self.opening, "benchmark_binary": None if binary is None else Path(binary)}
        device = resolve_name(self.open_with)(self.device, **opening)
        space, options = SearchSpace.from_dict(self.space), ProfileOptions(**self.options)
        return profile(space, device, Path(self.out), options, progress=progress)


def run_job(job: dict[str, Any], say: Say) -> dict[str, Any]:
    """Run a job; `say` hears of progress and of what is logged. Gives the table, or why there is none."""
    handler = _Forward(say)
    logging.getLogger("mnas").addHandler(handler)
    try:
        table = ProfileJob(**job).run(lambda share, what: say({"progress": [share, what]}))
    except MnasError as error:
        return {"failed": str(error)}
    finally:
        logging.getLogger("mnas").removeHandler(handler)
    return {"table": table.to_dict()}


class _Forward(logging.Handler):
    """Warnings go where the progress goes."""

    def __init__(self, say: Say) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        self._say({"warning": record.getMessage()})


class ProfileWorker:
    """Runs a job, and says from another thread meanwhile how far it is."""

    def __init__(self) -> None:
        self._heard: list[dict[str, Any]] = []

    def run(self, job: dict[str, Any]) -> dict[str, Any]:
        """As `run_job`."""
        return run_job(job, self._heard.append)

    def heard(self) -> list[dict[str, Any]]:
        """What was said since the last time."""
        heard, self._heard[:] = list(self._heard), []
        return heard


def main() -> None:
    """Serve one parent over stdin and stdout. Where it is gone, the next word to it ends the work, tidily."""
    say = open_answers()
    try:
        say(run_job(json.loads(sys.stdin.readline()), say))
    except (KeyboardInterrupt, BrokenPipeError):
        os._exit(130)


if __name__ == "__main__":
    main()


@dataclass(frozen=True)
class Outcome:
    """What became of one device.

    Attributes:
        job: what was asked for.
        table: its table; None where it failed.
        error: why.
        kept: whether the table was there before, and nothing was measured.
    """

    job: ProfileJob
    table: LatencyTable | None = None
    error: str = ""
    kept: bool = False


class Progress:
    """How far all devices are, as one share and a few words."""

    def __init__(self, devices: Sequence[str], tell: OnProgress) -> None:
        self._shares = dict.fromkeys(devices, 0.0)
        self._tell, self._lock = tell, threading.Lock()

    def heard(self, device: str, said: Mapping[str, Any]) -> None:
        """A worker said something."""
        if "warning" in said:
            _LOGGER.warning("%s: %s", device, said["warning"])
        if "progress" in said:
            with self._lock:
                self._shares[device] = float(said["progress"][0])
                words = ", ".join(f"{name} {share:.0%}" for name, share in self._shares.items())
                self._tell(sum(self._shares.values()) / len(self._shares), words)


def outcome(job: ProfileJob, said: Mapping[str, Any]) -> Outcome:
    """What a worker's last word means. A table that was written on another machine is written here too."""
    if "failed" in said:
        return Outcome(job, error=str(said["failed"]))
    table = LatencyTable.from_dict(said["table"])
    if not Path(job.out).exists():
        table.save(job.out)
    return Outcome(job, table)
