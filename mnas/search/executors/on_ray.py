"""Candidates evaluated on a Ray cluster (the optional extra `mnas[ray]`). If a worker dies, its trial is repeated."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mnas.arch.spec import Architecture
from mnas.errors import MnasError
from mnas.search.executor import overtime_trial
from mnas.search.executors.worker import Job, Objectives, Worker, make_request
from mnas.search.objective import Objective
from mnas.system.child import MOST_TRIES
from mnas.system.ray_cluster import node_resources, num_places, start_ray
from mnas.trial import Trial

_LOGGER = logging.getLogger(__name__)


@dataclass
class _Asked:
    """A candidate that a worker evaluates.

    Attributes:
        actor: the worker.
        number: of the trial.
        architecture: of the candidate.
        attempt: from 1.
        minutes: time limit; None without one.
        deadline: of the evaluation, by the monotonic clock in seconds; infinite until the worker has started.
    """

    actor: Any
    number: int
    architecture: Architecture
    attempt: int
    minutes: float | None
    deadline: float = math.inf

    def begin(self) -> None:
        """Start the time limit: the worker is ready."""
        if self.minutes is not None:
            self.deadline = time.monotonic() + 60 * self.minutes


class RayExecutor:
    """An `Executor` of Ray actors, each with a `Worker`; use as a context manager.

    Args:
        job: the workers' job. Every node needs mnas, and the same tables and data at the same paths.
        objectives: by name, as the workers have them.
        num_workers: number of actors; fewer, with a warning, if the cluster has not enough CPUs.
        threads: CPUs of an actor; 0 for one.
        address: of a running cluster; None starts one on this machine, and ends it at exit.
        gpus: of an actor, which sees only these.
        most_minutes: time limits, as in `ProcessExecutor`; the worker is ended with its evaluation.
        patience_s: time without an answer after which workers that have not started are reported.

    Raises:
        InputError: if no node of the cluster has that many CPUs and GPUs for a worker.
        MnasError: if Ray is not installed, or there is no such cluster.
    """

    def __init__(
        self,
        job: Job,
        objectives: Objectives,
        *,
        num_workers: int,
        threads: int = 0,
        address: str | None = None,
        gpus: float = 0.0,
        most_minutes: Mapping[str, float] | None = None,
        patience_s: float = 30.0,
    ) -> None:
        self._ray, self._ends = start_ray(address, cpus=num_workers * max(1, threads))
        placed = num_places(node_resources(self._ray), cpus=max(1, threads), gpus=gpus, most=num_workers)
        if placed < num_workers:  # Ray would wait for the others' places without end
            _LOGGER.warning(
                "the cluster has places for %d of %d workers: the search uses %d", placed, num_workers, placed
            )
        self._job, self._objectives = job, objectives
        self._most_minutes, self._patience_s = most_minutes or {}, patience_s
        self._actor = self._ray.remote(num_cpus=max(1, threads), num_gpus=gpus, max_restarts=0)(Worker)
        self._idle: deque[Any] = deque([None] * placed)
        self._beginning: dict[Any, Any] = {}  # workers that have not started, by their pending answers
        self._waiting = 0

    def __enter__(self) -> RayExecutor:
        return self

    def __exit__(self, *exception: object) -> None:
        for actor in self._idle:
            if actor is not None:
                self._ray.kill(actor)
        if self._ends:
            self._ray.shutdown()

    def run(self, objective: Objective, candidates: Sequence[tuple[int, Architecture]]) -> Iterator[Trial]:
        """As `Executor.run`."""
        waiting = deque((number, architecture, 1) for number, architecture in candidates)
        running: dict[Any, _Asked] = {}  # by the pending answer
        try:
            while waiting or running:
                while waiting and self._idle:
                    running.update(self._ask(objective, *waiting.popleft()))
                left = min(asked.deadline for asked in running.values()) - time.monotonic()
                patience_s = max(0.0, min(left, self._patience_s))
                done, _ = self._ray.wait([*self._beginning, *running], num_returns=1, timeout=patience_s)
                if not done:
                    late = [answer for answer, asked in running.items() if asked.deadline <= time.monotonic()]
                    for answer in late:
                        yield self._ended(running.pop(answer))
                    if patience_s == self._patience_s:
                        self._say_who_waits()
                elif done[0] in self._beginning:
                    self._has_begun(self._beginning.pop(done[0]), running)
                else:
                    asked = running.pop(done[0])
                    trial, why = self._result(done[0])
                    self._idle.append(asked.actor if trial else None)
                    if trial is not None:
                        yield trial
                    elif asked.attempt < MOST_TRIES:
                        _LOGGER.warning("trial %d, try %d of %d: %s", asked.number, asked.attempt, MOST_TRIES, why)
                        waiting.append((asked.number, asked.architecture, asked.attempt + 1))
                    else:
                        error = f"given up after {MOST_TRIES} tries: {why}"
                        yield Trial(asked.number, asked.architecture, error=error)
        finally:
            self._idle.extend(asked.actor for asked in running.values())

    def _ask(self, objective: Objective, number: int, architecture: Architecture, attempt: int) -> dict[Any, _Asked]:
        request = make_request(self._objectives, objective, number, architecture)
        actor = self._idle.popleft()
        asked = _Asked(actor, number, architecture, attempt, self._most_minutes.get(request["objective"]))
        if actor is None:
            asked.actor = self._actor.remote(self._job.to_dict())
            self._beginning[asked.actor.__ray_ready__.remote()] = asked.actor
        elif actor not in self._beginning.values():
            asked.begin()
        return {asked.actor.evaluate.remote(request): asked}

    def _has_begun(self, actor: Any, running: Mapping[Any, _Asked]) -> None:
        for asked in running.values():
            if asked.actor is actor:
                asked.begin()

    def _ended(self, asked: _Asked) -> Trial:
        """Kill the worker of an evaluation that took too long; return the failed trial."""
        self._ray.kill(asked.actor)
        self._idle.append(None)
        trial = overtime_trial(asked.number, asked.architecture, asked.minutes or 0.0)
        _LOGGER.warning("trial %d failed: %s", trial.number, trial.error)
        return trial

    def _say_who_waits(self) -> None:
        """Warn about workers that have no place in a full cluster: Ray does not report it."""
        if len(self._beginning) not in (0, self._waiting):
            _LOGGER.warning(
                "workers that have not started: %d; they wait for a place in the cluster (see ray status) or load data",
                len(self._beginning),
            )
        self._waiting = len(self._beginning)

    def _result(self, asked: Any) -> tuple[Trial | None, str]:
        """The trial; or None and the reason, if the worker or its node died."""
        errors = self._ray.exceptions
        try:
            return Trial.from_dict(self._ray.get(asked)), ""
        except errors.RayTaskError as error:  # an exception in the worker, not its death
            raise MnasError(f"a worker on the cluster failed: {error.cause}") from error
        except errors.RayError as error:
            if isinstance(error, errors.ActorDiedError) and "creation task" in str(error):
                raise MnasError(f"a worker on the cluster could not start: {_last_line(str(error))}") from None
            return None, f"a worker on the cluster died ({type(error).__name__})"


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2].strip()
