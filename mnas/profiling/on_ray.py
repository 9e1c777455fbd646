"""Several devices profiled on a Ray cluster (the extra `mnas[ray]`), each on the node that it is attached to."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mnas.errors import InputError
from mnas.profiling.job import LOCAL, Outcome, ProfileJob, ProfileWorker, Progress, outcome
from mnas.system.child import MOST_TRIES
from mnas.system.ray_cluster import node_resources, start_ray

_LOGGER = logging.getLogger(__name__)
_HEAR_S = 1.0  # how often workers are asked how far they are


def run_on_cluster(jobs: Sequence[ProfileJob], address: str | None, shown: Progress) -> Iterator[Outcome]:
    """An actor a device, on the node that has it. Yields outcomes as they come.

    Raises:
        InputError: if a device is this machine, or no node has it.
        MnasError: if there is no such cluster, or Ray is not installed.
    """
    if any(job.device == LOCAL for job in jobs):
        raise InputError(
            "--device local is this machine: profile it without --executor ray, on each machine that counts"
        )
    ray, ends = start_ray(address, cpus=len(jobs), resources=dict.fromkeys((job.device for job in jobs), 1.0))
    running: dict[Any, tuple[ProfileJob, Any, int]] = {}
    try:
        check_attached(jobs, node_resources(ray))
        for job in jobs:
            running.update(_started(ray, job, 1))
        while running:
            done, _ = ray.wait(list(running), num_returns=1, timeout=_HEAR_S)
            for asked in done:
                job, worker, attempt = running.pop(asked)
                _hear(ray, job, worker, shown)
                said, why = _answer(ray, asked)
                if said is not None:
                    yield outcome(job, said)
                elif attempt < MOST_TRIES:
                    _LOGGER.warning("%s, try %d of %d: %s", job.device, attempt, MOST_TRIES, why)
                    running.update(_started(ray, job, attempt + 1))
                else:
                    yield Outcome(job, error=f"given up after {MOST_TRIES} tries: {why}")
            for job, worker, _ in running.values():
                _hear(ray, job, worker, shown)
    finally:
        for _, worker, _ in running.values():
            ray.kill(worker)
        if ends:
            ray.shutdown()


def check_attached(jobs: Sequence[ProfileJob], nodes: Sequence[Mapping[str, float]]) -> None:
    """Refuse what Ray would wait for: a node with a device and without CPUs gets no worker, ever."""
    working = [node for node in nodes if node.get("CPU", 0) >= 1]
    lacking = [job.device for job in jobs if not any(node.get(job.device, 0) >= 1 for node in working)]
    if lacking:
        raise InputError(
            f"no node of the cluster says that it has {', '.join(lacking)}, and a CPU for the work: on the machine "
            f"that it is attached to, ray start --address=HEAD:6379 --resources='{{\"{lacking[0]}\": 1}}'"
        )


def _started(ray: Any, job: ProfileJob, attempt: int) -> dict[Any, tuple[ProfileJob, Any, int]]:
    actor = ray.remote(num_cpus=1, max_concurrency=2, max_restarts=0, resources={job.device: 1})(ProfileWorker)
    worker = actor.remote()
    return {worker.run.remote(job.to_dict()): (job, worker, attempt)}


def _hear(ray: Any, job: ProfileJob, worker: Any, shown: Progress) -> None:
    try:
        for said in ray.get(worker.heard.remote(), timeout=_HEAR_S):
            shown.heard(job.device, said)
    except ray.exceptions.RayError:
        return  # it is starting, or gone: the job's own answer tells


def _answer(ray: Any, asked: Any) -> tuple[dict[str, Any] | None, str]:
    """What the worker answered; or None and why, where it or its node died."""
    try:
        return ray.get(asked), ""
    except ray.exceptions.RayTaskError as error:  # a defect there; the other devices go on
        return {"failed": f"its worker failed: {error.cause}"}, ""
    except ray.exceptions.RayError as error:
        return None, f"a worker on the cluster died ({type(error).__name__})"
