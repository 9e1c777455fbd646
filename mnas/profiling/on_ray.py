"""Profiling several devices on a Ray cluster (the extra `mnas[ray]`), each on the node that it is attached to."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mnas.errors import InputError
from mnas.profiling.job import LOCAL, Outcome, ProfileJob, ProfileWorker, Progress
from mnas.system.child import MOST_TRIES
from mnas.system.ray_cluster import node_resources, start_ray

_LOGGER = logging.getLogger(__name__)
_POLL_S = 1.0  # between requests for the workers' messages


def run_on_cluster(jobs: Sequence[ProfileJob], address: str | None, shown: Progress) -> Iterator[Outcome]:
    """Profile every device by an actor on the node that has it, and yield outcomes as they finish.

    Raises:
        InputError: if a device is this machine, or no node has it.
        MnasError: if there is no such cluster, or Ray is not installed.
    """
    if any(job.device == LOCAL for job in jobs):
        raise InputError("--device local is this machine: profile it on the machine itself, without --executor ray")
    ray, ends = start_ray(address, cpus=len(jobs), resources=dict.fromkeys((job.device for job in jobs), 1.0))
    running: dict[Any, tuple[ProfileJob, Any, int]] = {}
    try:
        check_attached(jobs, node_resources(ray))
        for job in jobs:
            running.update(_started(ray, job, 1))
        while running:
            done, _ = ray.wait(list(running), num_returns=1, timeout=_POLL_S)
            for asked in done:
                job, worker, attempt = running.pop(asked)
                _receive(ray, job, worker, shown)
                answer, why = _answer(ray, asked)
                if answer is not None:
                    yield Outcome.from_answer(job, answer)
                elif attempt < MOST_TRIES:
                    _LOGGER.warning("%s, try %d of %d: %s", job.device, attempt, MOST_TRIES, why)
                    running.update(_started(ray, job, attempt + 1))
                else:
                    yield Outcome(job, error=f"given up after {MOST_TRIES} tries: {why}")
            for job, worker, _ in running.values():
                _receive(ray, job, worker, shown)
    finally:
        for _, worker, _ in running.values():
            ray.kill(worker)
        if ends:
            ray.shutdown()


def check_attached(jobs: Sequence[ProfileJob], nodes: Sequence[Mapping[str, float]]) -> None:
    """Check that every device has a node with a CPU, for which Ray would otherwise wait forever.

    Raises:
        InputError: the message names the devices that have none.
    """
    working = [node for node in nodes if node.get("CPU", 0) >= 1]
    lacking = [job.device for job in jobs if not any(node.get(job.device, 0) >= 1 for node in working)]
    if lacking:
        raise InputError(
            f"no node of the cluster has {', '.join(lacking)} and a CPU: on the machine "
            f"that it is attached to, run ray start --address=HEAD:6379 --resources='{{\"{lacking[0]}\": 1}}'"
        )


def _started(ray: Any, job: ProfileJob, attempt: int) -> dict[Any, tuple[ProfileJob, Any, int]]:
    actor = ray.remote(num_cpus=1, max_concurrency=2, max_restarts=0, resources={job.device: 1})(ProfileWorker)
    worker = actor.remote()
    return {worker.run.remote(job.to_dict()): (job, worker, attempt)}


def _receive(ray: Any, job: ProfileJob, worker: Any, shown: Progress) -> None:
    try:
        for message in ray.get(worker.new_messages.remote(), timeout=_POLL_S):
            shown.receive(job.device, message)
    except ray.exceptions.RayError:
        return  # it is starting, or dead: then the job's answer says why


def _answer(ray: Any, asked: Any) -> tuple[dict[str, Any] | None, str]:
    """Return the worker's answer; or None and the reason if it or its node died."""
    try:
        return ray.get(asked), ""
    except ray.exceptions.RayTaskError as error:  # a defect there; the other devices continue
        return {"failed": f"its worker failed: {error.cause}"}, ""
    except ray.exceptions.RayError as error:
        return None, f"a worker on the cluster died ({type(error).__name__})"
