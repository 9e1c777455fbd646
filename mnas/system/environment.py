"""The environment of a study: versions, processor, threads. Equal environments give equal results."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from mnas import __version__

_PACKAGES = ("tensorflow", "keras", "numpy", "scikit-learn", "pillow")
# A study may have been made without these, or by a version of mnas that did not record them: not a difference.
_OPTIONAL = ("optuna", "cmaes", "ai-edge-litert")
_NOT_INSTALLED = "not installed"
# Variables that change the number of threads, or the order of sums.
_VARIABLES = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "TF_ENABLE_ONEDNN_OPTS")


def environment() -> dict[str, Any]:
    """Return versions, machine and thread settings as plain data."""
    return {
        "mnas": __version__,
        "python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
        **{name: version for name in _OPTIONAL if (version := _version(name)) != _NOT_INSTALLED},
        "machine": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_model(),
        "num_cpus": num_cpus(),
        "variables": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
        "date": time.strftime("%Y-%m-%d"),
    }


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Describe each difference between two environments in a sentence.

    The date is ignored, and so is an optional package that was not recorded before.
    """
    ignored = {"date", *(name for name in _OPTIONAL if name not in before)}
    names = [name for name in {**before, **now} if name not in ignored]
    return [
        f"{name} was {before.get(name, 'not recorded')} when the study began and is {_said(now, name)} now"
        for name in names
        if before.get(name) != now.get(name)
    ]


def _said(now: Mapping[str, Any], name: str) -> Any:
    return now.get(name, _NOT_INSTALLED if name in _OPTIONAL else "unknown")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return _NOT_INSTALLED


def versions() -> dict[str, str]:
    """Return the versions of all that makes an exported file."""
    packages = ("tensorflow", "keras", "ai-edge-litert", "numpy")
    return {
        "mnas": __version__,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in packages},
    }


def cpu_model() -> str:
    """Return the processor's name, such as `Intel(R) Xeon(R) Processor @ 2.50GHz`; empty if unknown."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.lower().startswith(("model name", "hardware"))]
    return names[0] if names else platform.processor()


def num_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
