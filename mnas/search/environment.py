"""What a study was made with: versions, processor, threads. Where they are the same, the same numbers come out."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from mnas import __version__
from mnas.machine import cpu_model, num_cpus

_PACKAGES = ("tensorflow", "keras", "numpy", "scikit-learn", "pillow")
# Variables that change how many threads compute, or in which order they add up.
_VARIABLES = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "TF_ENABLE_ONEDNN_OPTS")
_OF_THE_DAY = ("date",)


def environment() -> dict[str, Any]:
    """Versions, machine and thread settings, for the record."""
    return {
        "mnas": __version__,
        "python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
        "machine": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_model(),
        "num_cpus": num_cpus(),
        "variables": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
        "date": time.strftime("%Y-%m-%d"),
    }


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two environments, a sentence each; the date does not count."""
    names = [name for name in {**before, **now} if name not in _OF_THE_DAY]
    return [
        f"{name} was {before.get(name, 'not recorded')} when the study began and is {now.get(name, 'unknown')} now"
        for name in names
        if before.get(name) != now.get(name)
    ]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
