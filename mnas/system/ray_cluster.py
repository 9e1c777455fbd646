"""Ray, started on this machine or found on a cluster (the optional extra `mnas[ray]`)."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from mnas.errors import InputError, MnasError
from mnas.system.child import python_path
from mnas.system.environment import num_cpus

EXECUTORS = ("local", "ray")


def start_ray(address: str | None, *, cpus: int, resources: Mapping[str, float] | None = None) -> tuple[Any, bool]:
    """Connect to Ray; return it and whether the caller must shut it down: a program may have it running already.

    Ray's usage statistics are off unless the user turned them on.

    Args:
        address: of a running cluster; None starts one on this machine.
        cpus: minimum number of CPUs of a cluster on this machine, even above the real number.
        resources: its other resources.

    Raises:
        MnasError: if Ray is not installed, or there is no such cluster.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Otherwise Ray hides accelerators or warns; workers state their resources themselves.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError:
        raise MnasError("--executor ray needs Ray: pip install 'mnas[ray]'") from None
    if ray.is_initialized():
        return ray, False
    local = {
        "num_cpus": max(cpus, num_cpus()),
        "resources": dict(resources or {}),
        "include_dashboard": False,
        "runtime_env": {"env_vars": {"PYTHONPATH": python_path()}},
    }
    try:
        ray.init(
            address=address or "local",
            log_to_driver=bool(os.environ.get("MNAS_DEBUG")),
            logging_level=logging.ERROR,
            **({} if address else local),
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise MnasError(f"no Ray cluster at {address or 'this machine'}: {error}") from None
    return ray, True


def node_resources(ray: Any) -> list[Mapping[str, float]]:
    """Return the total resources of every live node, by Ray's names, such as `CPU` and `GPU`."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def num_places(nodes: Sequence[Mapping[str, float]], *, cpus: int, gpus: float, most: int) -> int:
    """Return how many workers fit on a cluster when nothing else runs on it.

    Args:
        nodes: see `node_resources`.
        cpus: per worker.
        gpus: per worker; below 1, several share one, and none has parts of two.
        most: maximum number of workers.

    Raises:
        InputError: if none fits.
    """
    places = sum(min(int(node.get("CPU", 0) // cpus), _shares(node.get("GPU", 0), gpus, most)) for node in nodes)
    if places == 0:
        has = ", ".join(sorted({f"{node.get('CPU', 0):g} and {node.get('GPU', 0):g}" for node in nodes}))
        raise InputError(
            f"no node of the cluster has {cpus} CPUs (--threads) and {gpus:g} GPUs (--gpus) for a worker: "
            f"nodes have {has}; ask for less"
        )
    return min(places, most)


def _shares(has: float, gpus: float, most: int) -> int:
    if not gpus:
        return most
    return int(has // gpus) if gpus >= 1 else int(has) * int(1 / gpus + 1e-9)  # 1 / 0.1 may be below 10
