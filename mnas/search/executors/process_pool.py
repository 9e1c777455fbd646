"""Candidates evaluated by processes of this machine. One that dies is replaced, and its trial is repeated."""

from __future__ import annotations

import logging
import queue
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from mnas.arch.spec import Architecture
from mnas.errors import MnasError
from mnas.search.executor import overtime_trial
from mnas.search.executors.worker import Job, Objectives, make_request
from mnas.search.objective import Objective
from mnas.system.child import MOST_TRIES, Child, DiedError, OvertimeError
from mnas.trial import Trial

_LOGGER = logging.getLogger(__name__)


class ProcessExecutor:
    """An `Executor` of several processes; use as a context manager.

    A process can be ended at any time, even inside a native call, while a thread cannot. So one process is useful too:
    for a time limit.

    Args:
        job: the workers' job.
        objectives: by name, as the workers have them.
        num_workers: maximum number of processes; they are started when needed.
        most_minutes: time limits of one evaluation by the objective's name. An evaluation that takes longer is ended
            and becomes a failed trial. The start of a worker does not count.
    """

    def __init__(
        self, job: Job, objectives: Objectives, *, num_workers: int, most_minutes: Mapping[str, float] | None = None
    ) -> None:
        self.objectives = objectives
        self._job, self._num_workers, self._most_minutes = job, num_workers, most_minutes or {}
        self._idle: queue.SimpleQueue[Child | None] = queue.SimpleQueue()
        self._running: set[Child] = set()
        self._closed = False
        for _ in range(num_workers):
            self._idle.put(None)

    def __enter__(self) -> ProcessExecutor:
        return self

    def __exit__(self, *exception: object) -> None:
        self._closed = True
        for child in list(self._running):
            child.end()
        self._running.clear()

    def run(self, objective: Objective, candidates: Sequence[tuple[int, Architecture]]) -> Iterator[Trial]:
        """As `Executor.run`; in the given order with one worker."""
        pool = ThreadPoolExecutor(self._num_workers)
        try:
            waiting = [pool.submit(self._evaluate, objective, *candidate) for candidate in candidates]
            for done in waiting if self._num_workers == 1 else as_completed(waiting):
                trial = done.result()
                if trial.failed:
                    _LOGGER.warning("trial %d failed: %s", trial.number, trial.error)
                yield trial
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _evaluate(self, objective: Objective, number: int, architecture: Architecture) -> Trial:
        request = make_request(self.objectives, objective, number, architecture)
        minutes = self._most_minutes.get(request["objective"])
        child = self._idle.get()
        try:
            for attempt in range(1, MOST_TRIES + 1):
                try:
                    if child is None:
                        child = self._started()
                    reply = child.ask(request, seconds=None if minutes is None else 60 * minutes)
                    return Trial.from_dict(reply["trial"])
                except (DiedError, OvertimeError) as error:
                    if self._closed:
                        raise
                    if child is not None:
                        self._running.discard(child)
                    child = None
                    if isinstance(error, OvertimeError) and minutes is not None:
                        return overtime_trial(number, architecture, minutes)
                    _LOGGER.warning("trial %d, try %d of %d: %s", number, attempt, MOST_TRIES, error)
                    why = str(error)
            return Trial(number, architecture, error=f"given up after {MOST_TRIES} tries: {why}")
        finally:
            self._idle.put(child)

    def _started(self) -> Child:
        """Start a worker and wait until it is ready."""
        child = Child("mnas.search.executors.worker")
        self._running.add(child)
        if self._closed:  # in the meantime: `__exit__` has not seen this one
            child.end()
        reply = child.ask(self._job.to_dict())
        if "ready" not in reply:
            raise MnasError(f"a worker could not start: {reply.get('failed')}")
        return child
