"""Candidates judged by processes of this machine. One that dies is replaced, and its trial tried again."""

from __future__ import annotations

import logging
import queue
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from types import TracebackType

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

    A thread cannot be stopped, and an alarm is not heard inside a native call; a process can always be ended. So even
    one process is of use: it holds evaluations to a time limit.

    Args:
        job: what the workers are made from.
        objectives: by name, as the workers have them.
        num_workers: processes. They are started when they are needed.
        most_minutes: that one evaluation may take, by the objective's name; any time where it says nothing. One that
            takes longer is ended and becomes a failed trial. Starting a worker does not count.
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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        for child in list(self._running):
            child.end()
        self._running.clear()

    def run(self, objective: Objective, candidates: Sequence[tuple[int, Architecture]]) -> Iterator[Trial]:
        """As `Executor.run`; in the order given if there is one worker."""
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
        """A worker that is ready.

        Raises:
            MnasError: if it cannot do the job at all.
        """
        child = Child("mnas.search.executors.worker")
        self._running.add(child)
        if self._closed:  # meanwhile, so that nobody else ends this one
            child.end()
        reply = child.ask(self._job.to_dict())
        if "ready" not in reply:
            raise MnasError(f"a worker could not begin: {reply.get('failed')}")
        return child
