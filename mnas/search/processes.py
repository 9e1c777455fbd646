"""Candidates judged by several processes of this machine. One that dies is replaced, and its trial tried again."""

from __future__ import annotations

import json
import logging
import os
import queue
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from types import TracebackType
from typing import Any

import mnas
from mnas.arch.spec import Architecture
from mnas.errors import MnasError
from mnas.search.objective import Objective
from mnas.search.worker import Job, Objectives, make_request
from mnas.trial import Trial

_LOGGER = logging.getLogger(__name__)
MOST_TRIES = 3  # of one candidate: the third worker that it takes with it is the last


class DiedError(Exception):
    """A worker ended by itself."""


class ProcessExecutor:
    """An `Executor` of several processes; use as a context manager.

    Args:
        job: what the workers are made from.
        objectives: by name, as the workers have them.
        num_workers: processes. They are started when they are needed.
    """

    def __init__(self, job: Job, objectives: Objectives, *, num_workers: int) -> None:
        self._job, self._objectives, self._num_workers = job, objectives, num_workers
        self._idle: queue.SimpleQueue[_Process | None] = queue.SimpleQueue()
        self._running: set[_Process] = set()
        self._closed = False
        for _ in range(num_workers):
            self._idle.put(None)

    def __enter__(self) -> ProcessExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        for process in list(self._running):
            process.end()
        self._running.clear()

    def run(self, objective: Objective, candidates: Sequence[tuple[int, Architecture]]) -> Iterator[Trial]:
        """As `Executor.run`."""
        pool = ThreadPoolExecutor(self._num_workers)
        try:
            waiting = [pool.submit(self._judge, objective, *candidate) for candidate in candidates]
            for done in as_completed(waiting):
                yield done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _judge(self, objective: Objective, number: int, architecture: Architecture) -> Trial:
        request = make_request(self._objectives, objective, number, architecture)
        process = self._idle.get()
        try:
            for attempt in range(1, MOST_TRIES + 1):
                try:
                    if process is None:
                        process = self._started()
                    return Trial.from_dict(process.ask(request))
                except DiedError as error:
                    if self._closed:
                        raise
                    _LOGGER.warning("trial %d, try %d of %d: %s", number, attempt, MOST_TRIES, error)
                    why = str(error)
                    if process is not None:
                        self._running.discard(process)
                    process = None
            return Trial(number, architecture, error=f"given up after {MOST_TRIES} tries: {why}")
        finally:
            self._idle.put(process)

    def _started(self) -> _Process:
        process = _Process(self._job)
        self._running.add(process)
        process.begin()
        return process


class _Process:
    """One worker."""

    def __init__(self, job: Job) -> None:
        self._job = job
        package = str(Path(mnas.__file__).parent.parent)
        paths = [package, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mnas.search.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if os.environ.get("MNAS_DEBUG") else self._said,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            encoding="utf-8",
        )

    def begin(self) -> None:
        """Send the job and wait until the worker is ready.

        Raises:
            MnasError: if it cannot do the job at all.
        """
        reply = self._exchange(self._job.to_dict())
        if "ready" not in reply:
            raise MnasError(f"a worker could not begin: {reply.get('failed')}")

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Have one candidate judged.

        Raises:
            DiedError: if the process ends instead.
        """
        trial: dict[str, Any] = self._exchange(request)["trial"]
        return trial

    def _exchange(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._process.stdin is None or self._process.stdout is None:
            raise DiedError("the worker has no pipes")
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except (OSError, ValueError):  # ValueError: the pipe was closed from here
            line = ""
        if not line.endswith("\n"):
            self.end()
            raise DiedError(self._last_words())
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _last_words(self) -> str:
        code = self._process.returncode
        text = ""
        if not self._said.closed:
            self._said.seek(0)
            text = self._said.read()[-2000:].decode(errors="replace").strip().rpartition("\n")[2]
        how = f"was ended by signal {-code}" if code and code < 0 else f"ended by itself with code {code}"
        hint = " (out of memory?)" if code == -9 else ""
        return f"a worker {how}{hint}{': ' if text else ''}{text}"

    def end(self) -> None:
        """End the process, if it has not ended."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
