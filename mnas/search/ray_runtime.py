"""Ray, started on this machine or found on a cluster (the optional extra `mnas[ray]`)."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

from mnas.errors import MnasError
from mnas.machine import num_cpus
from mnas.search.child import python_path


def start_ray(address: str | None, *, cpus: int, resources: Mapping[str, float] | None = None) -> tuple[Any, bool]:
    """Ray, connected, and whether it is ours to end: a program may have it running already.

    Nothing is reported to anybody: Ray's usage statistics are off unless the user set them.

    Args:
        address: of a running cluster; None starts one on this machine.
        cpus: that a cluster on this machine must have; more than there are if need be.
        resources: that it must have beside.

    Raises:
        MnasError: if Ray is not installed, or there is no such cluster.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Else Ray hides CPUs or warns; the searches say what they use by themselves.
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
