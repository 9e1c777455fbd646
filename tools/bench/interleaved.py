"""Latencies of networks on this machine, measured in one run, so that a disturbance affects all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from mnas.arch.spec import Architecture
from mnas.devices.registry import open_device
from mnas.profiling.bench import measure_files
from mnas.tflite.random_model import write_random_model

_QUIET_BURSTS = 30
_SECONDS = 15.0  # for each network


def interleaved_ms(networks: Mapping[str, Architecture]) -> dict[str, float]:
    """Return the quiet device's milliseconds by name: LiteRT, one thread, XNNPACK, float32, random weights."""
    distinct = list(dict.fromkeys(networks.values()))
    times = measure_files(
        open_device("local"),
        [write_random_model(network) for network in distinct],
        seconds=_SECONDS * len(distinct),
        quiet_bursts=[_QUIET_BURSTS] * len(distinct),
    )
    found = {network: time.quiet_ms for network, time in zip(distinct, times, strict=True)}
    return {name: found[network] for name, network in networks.items()}


def latency_step(names: Iterable[str]) -> str:
    """Return the name of the step that measures these networks: others are measured again, all in one run."""
    return f"latency {hashlib.sha256(repr(sorted(names)).encode()).hexdigest()[:8]}"
