"""Candidates judged by several processes of this machine. One that dies is replaced, and its trial tried again."""

from __future__ import annotations

import logging
import queue
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from types import TracebackType
from typing import Any

from mnas.arch.spec import Architecture
from mnas.errors import MnasError
from mnas.search.objective import Objective
from mnas.search.worker import Job, Objectives, make_request
from mnas.system.child import MOST_TRIES, Child, DiedError
from mnas.trial import Trial

_LOGGER = logging.getLogger(__name__)


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
        self._job, self._child = job, Child("mnas.search.worker")

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._child.pid

    def begin(self) -> None:
        """Send the job and wait until the worker is ready.

        Raises:
            MnasError: if it cannot do the job at all.
        """
        reply = self._child.ask(self._job.to_dict())
        if "ready" not in reply:
            raise MnasError(f"a worker could not begin: {reply.get('failed')}")

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Have one candidate judged.

        Raises:
            DiedError: if the process ends instead.
        """
        trial: dict[str, Any] = self._child.ask(request)["trial"]
        return trial

    def end(self) -> None:
        """End the process, if it has not ended."""
        self._child.end()
