"""Candidates judged on a Ray cluster (the optional extra `mnas[ray]`). What dies is tried again elsewhere."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

from mnas.arch.spec import Architecture
from mnas.errors import MnasError
from mnas.search.objective import Objective
from mnas.search.ray_runtime import node_resources, num_places, start_ray
from mnas.search.worker import Job, Objectives, Worker, make_request
from mnas.system.child import MOST_TRIES
from mnas.trial import Trial

_LOGGER = logging.getLogger(__name__)
_PATIENCE_S = 30.0  # without an answer of any worker, before those that have not begun are counted


class RayExecutor:
    """An `Executor` of Ray actors, each with a `Worker`; use as a context manager.

    Args:
        job: what the workers are made from. Every node needs mnas, and the same tables and data at the same paths.
        objectives: by name, as the workers have them.
        num_workers: actors, placed where the cluster has CPUs for them; fewer, and it is said, where it has not.
        threads: CPUs that an actor asks for; 0 for one.
        address: of a running cluster; None starts one on this machine, and ends it afterwards.
        gpus: that an actor asks for; Ray shows it these and no others.

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
    ) -> None:
        self._ray, self._ends = start_ray(address, cpus=num_workers * max(1, threads))
        placed = num_places(node_resources(self._ray), cpus=max(1, threads), gpus=gpus, most=num_workers)
        if placed < num_workers:  # Ray would wait for the others' places for ever, and the search for their trials
            _LOGGER.warning(
                "the cluster has places for %d of %d workers: the search uses %d", placed, num_workers, placed
            )
        self._job, self._objectives = job, objectives
        self._actor = self._ray.remote(num_cpus=max(1, threads), num_gpus=gpus, max_restarts=0)(Worker)
        self._idle: deque[Any] = deque([None] * placed)
        self._beginning: list[Any] = []  # answers of workers that were asked whether they are there
        self._waiting = 0

    def __enter__(self) -> RayExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for actor in self._idle:
            if actor is not None:
                self._ray.kill(actor)
        if self._ends:
            self._ray.shutdown()

    def run(self, objective: Objective, candidates: Sequence[tuple[int, Architecture]]) -> Iterator[Trial]:
        """As `Executor.run`."""
        waiting = deque((number, architecture, 1) for number, architecture in candidates)
        running: dict[Any, tuple[Any, int, Architecture, int]] = {}
        try:
            while waiting or running:
                while waiting and self._idle:
                    number, architecture, attempt = waiting.popleft()
                    actor = self._idle.popleft() or self._started()
                    asked = actor.judge.remote(make_request(self._objectives, objective, number, architecture))
                    running[asked] = (actor, number, architecture, attempt)
                done, _ = self._ray.wait(list(running), num_returns=1, timeout=_PATIENCE_S)
                if not done:
                    self._say_who_waits()
                    continue
                actor, number, architecture, attempt = running.pop(done[0])
                trial, why = self._result(done[0])
                self._idle.append(actor if trial else None)
                if trial is not None:
                    yield trial
                elif attempt < MOST_TRIES:
                    _LOGGER.warning("trial %d, try %d of %d: %s", number, attempt, MOST_TRIES, why)
                    waiting.append((number, architecture, attempt + 1))
                else:
                    yield Trial(number, architecture, error=f"given up after {MOST_TRIES} tries: {why}")
        finally:
            self._idle.extend(actor for actor, *_ in running.values())

    def _started(self) -> Any:
        actor = self._actor.remote(self._job.to_dict())
        self._beginning.append(actor.__ray_ready__.remote())
        return actor

    def _say_who_waits(self) -> None:
        """A cluster that others fill leaves a worker without a place, and Ray does not tell."""
        if not self._beginning:
            return
        _, self._beginning = self._ray.wait(self._beginning, num_returns=len(self._beginning), timeout=0)
        if len(self._beginning) not in (0, self._waiting):
            _LOGGER.warning(
                "workers that have not begun: %d; they wait for a place in the cluster (ray status tells) or load data",
                len(self._beginning),
            )
        self._waiting = len(self._beginning)

    def _result(self, asked: Any) -> tuple[Trial | None, str]:
        """The trial; or None and why, where the worker or its node died."""
        errors = self._ray.exceptions
        try:
            return Trial.from_dict(self._ray.get(asked)), ""
        except errors.RayTaskError as error:  # an exception in the worker, not its death
            raise MnasError(f"a worker on the cluster failed: {error.cause}") from error
        except errors.RayError as error:
            if isinstance(error, errors.ActorDiedError) and "creation task" in str(error):
                raise MnasError(f"a worker on the cluster could not begin: {_last_line(str(error))}") from None
            return None, f"a worker on the cluster died ({type(error).__name__})"


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2].strip()
