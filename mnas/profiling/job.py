"""Profiling one device in a separate process, on this machine or on a node of a cluster.

`python -m mnas.profiling.job` reads a job from stdin, a line of JSON, and writes lines of JSON: progress, logged
warnings, and at the end the table or the reason why there is none. On a cluster an actor holds a `ProfileWorker`.
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
from mnas.profiling.collect import OnProgress
from mnas.profiling.profile import ProfileOptions, profile
from mnas.space.space import SearchSpace
from mnas.system.child import open_answers

_LOGGER = logging.getLogger(__name__)
LOCAL = "local"
OPEN_DEVICE = "mnas.devices.registry:open_device"


@dataclass(frozen=True)
class ProfileJob:
    """A device to profile, as plain data.

    Attributes:
        device: as `mnas.devices.registry.open_device` takes it.
        out: the table's file, on the machine that the device is attached to.
        space: whose blocks to price, as `SearchSpace.to_dict` returns it.
        options: the fields of `ProfileOptions`.
        opening: further arguments for opening the device, such as `threads`.
        open_with: `module:function` of this program, never of a file, that opens the device.
    """

    device: str
    out: str
    space: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    opening: dict[str, Any] = field(default_factory=dict)
    open_with: str = OPEN_DEVICE

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    def run(self, progress: OnProgress) -> LatencyTable:
        """Profile the device, and write the table.

        Raises:
            MnasError: if the device fails, or a file cannot be written.
        """
        binary = self.opening.get("benchmark_binary")
        opening = {**self.opening, "benchmark_binary": None if binary is None else Path(binary)}
        device = resolve_name(self.open_with)(self.device, **opening)
        space, options = SearchSpace.from_dict(self.space), ProfileOptions(**self.options)
        return profile(space, device, Path(self.out), options, progress=progress)


@dataclass(frozen=True)
class Outcome:
    """The result for one device.

    Attributes:
        job: the job.
        table: its table; None if it failed.
        error: why it failed.
        kept: whether the table existed before, so that nothing was measured.
    """

    job: ProfileJob
    table: LatencyTable | None = None
    error: str = ""
    kept: bool = False

    @staticmethod
    def from_answer(job: ProfileJob, answer: Mapping[str, Any]) -> Outcome:
        """Make the outcome of a worker's last message; a table written on another machine is written here too."""
        if "failed" in answer:
            return Outcome(job, error=str(answer["failed"]))
        table = LatencyTable.from_dict(answer["table"])
        if not Path(job.out).exists():
            table.save(job.out)
        return Outcome(job, table)


class Progress:
    """Combines the progress of all devices into one share and a text.

    Args:
        devices: all of them.
        report: called with both.
    """

    def __init__(self, devices: Sequence[str], report: OnProgress) -> None:
        self._shares = dict.fromkeys(devices, 0.0)
        self._report, self._lock = report, threading.Lock()

    def receive(self, device: str, message: Mapping[str, Any]) -> None:
        """Handle a message from a device's worker."""
        if "warning" in message:
            _LOGGER.warning("%s: %s", device, message["warning"])
        if "progress" in message:
            with self._lock:
                self._shares[device] = float(message["progress"][0])
                text = ", ".join(f"{name} {share:.0%}" for name, share in self._shares.items())
                self._report(sum(self._shares.values()) / len(self._shares), text)


def run_job(job: dict[str, Any], send: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Run a job; `send` gets its progress and warnings. Returns the table, or why there is none."""
    handler = _Forward(send)
    logging.getLogger("mnas").addHandler(handler)
    try:
        table = ProfileJob(**job).run(lambda share, what: send({"progress": [share, what]}))
    except MnasError as error:
        return {"failed": str(error)}
    finally:
        logging.getLogger("mnas").removeHandler(handler)
    return {"table": table.to_dict()}


class _Forward(logging.Handler):
    """Sends warnings to the parent."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(logging.WARNING)
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send({"warning": record.getMessage()})


class ProfileWorker:
    """Runs a job, and returns its messages to another thread in the meantime."""

    def __init__(self) -> None:
        self._messages: list[dict[str, Any]] = []

    def run(self, job: dict[str, Any]) -> dict[str, Any]:
        """See `run_job`."""
        return run_job(job, self._messages.append)

    def new_messages(self) -> list[dict[str, Any]]:
        """Return the messages since the last call."""
        messages, self._messages[:] = list(self._messages), []
        return messages


def main() -> None:
    """Serve one parent over stdin and stdout. If the parent is gone, the next message to it ends the work."""
    send = open_answers()
    try:
        send(run_job(json.loads(sys.stdin.readline()), send))
    except (KeyboardInterrupt, BrokenPipeError):
        os._exit(130)


if __name__ == "__main__":
    main()
