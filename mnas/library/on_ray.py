"""Training a library's alternatives on a Ray cluster (the optional extra `mnas[ray]`)."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mnas.errors import MnasError
from mnas.library.alternatives import Alternative
from mnas.library.stage_worker import StageWorker
from mnas.system.arrays import read_arrays
from mnas.system.child import MOST_TRIES
from mnas.system.ray_cluster import node_resources, num_places, start_ray


class _Actor(StageWorker):
    """A worker on a node, which gets weights and images instead of their files."""

    def train(self, stage: int, choices: list[int]) -> list[Alternative]:
        """Train alternatives of one stage."""
        return list(self.train_stage(stage, choices))


def train_on_ray(
    job: dict[str, Any], waiting: deque[tuple[int, list[int]]], *, workers: int, address: str | None
) -> Iterator[Alternative]:
    """Train alternatives on a cluster and yield them as their stages finish.

    Args:
        job: as `StageWorker` takes it.
        waiting: stages with the choices to train.
        workers: number of actors, with one CPU each.
        address: of a running cluster; None starts one on this machine, and ends it afterwards.

    Raises:
        MnasError: if Ray is not installed, there is no such cluster, or a training fails.
    """
    ray, ends = start_ray(address, cpus=workers)
    actors: list[Any] = []
    try:
        weights = list(read_arrays(Path(job["weights"])).values())
        sent = ray.put({**job, "weights": weights, "images": np.load(job["images"], allow_pickle=False)})
        make = ray.remote(num_cpus=1)(_Actor)
        count = num_places(node_resources(ray), cpus=1, gpus=0, most=min(workers, len(waiting)))
        actors = [make.remote(sent) for _ in range(count)]
        idle, tries = list(actors), Counter[int]()
        running: dict[Any, tuple[Any, int, list[int]]] = {}
        while waiting or running:
            while idle and waiting:
                actor, (stage, choices) = idle.pop(), waiting.popleft()
                running[actor.train.remote(stage, choices)] = (actor, stage, choices)
            (done,), _ = ray.wait(list(running), num_returns=1)
            actor, stage, choices = running.pop(done)
            try:
                yield from ray.get(done)
            except ray.exceptions.RayTaskError as error:
                raise MnasError(f"a worker on the cluster failed: {error.cause}") from error
            except ray.exceptions.RayError as error:
                tries[stage] += 1
                if tries[stage] >= MOST_TRIES:
                    raise MnasError(f"block {stage + 1} was given up after {MOST_TRIES} tries: {error}") from None
                actors.append(make.remote(sent))
                waiting.append((stage, choices))
                actor = actors[-1]
            idle.append(actor)
    finally:
        for actor in actors:
            ray.kill(actor)
        if ends:
            ray.shutdown()
