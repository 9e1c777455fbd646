"""Latency under sustained load: a network runs without pauses, and the device warms up and slows down, as in an app."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from mnas.devices.base import Device, LoadedModel

_WINDOW_S = 10.0  # at the beginning and at the end
_BURST_S, _BURST_OF_STARTS_S = 1.0, 5.0  # the second where every burst starts a program, which is a pause
_MOST_RUNS = 10**6


@dataclass(frozen=True, slots=True)
class SustainedTime:
    """The latency of a network that ran without pauses.

    Attributes:
        seconds: how long it ran.
        window_s: length of the first and of the last part, in seconds.
        first_ms, last_ms: medians over the runs of these parts.
        num_runs: of all parts.
        celsius_before, celsius_after: of the battery of a phone, of the warmest sensor of others; None if unknown.
    """

    seconds: float
    window_s: float
    first_ms: float
    last_ms: float
    num_runs: int
    celsius_before: float | None
    celsius_after: float | None

    @property
    def ratio(self) -> float:
        """The last part's latency over the first one's."""
        return self.last_ms / self.first_ms


def bench_sustained(
    data: bytes, device: Device, *, seconds: float, clock: Callable[[], float] = time.monotonic
) -> SustainedTime:
    """Run a network for some time without pauses.

    Args:
        data: its `.tflite` file.
        device: where.
        seconds: how long, approximately.
        clock: the time in seconds.

    Raises:
        MnasError: if the device cannot run it.
    """
    with device.measuring(), closing(device.load(data)) as model:
        burst_s = min(_BURST_OF_STARTS_S if device.pace.starts_apart else _BURST_S, seconds / 4)
        latency_ms = float(np.median(model.run_times_ms(3)))  # also copies the file to a phone, before the time starts
        before = device.celsius()
        started = clock()
        bursts: list[tuple[float, float, list[float]]] = []  # begin and end in seconds, times in ms
        while len(bursts) < 2 or bursts[-1][1] < seconds:
            begun = clock() - started
            times = _burst(model, burst_s, latency_ms)
            bursts.append((begun, clock() - started, times))
            latency_ms = float(np.median(times))
        after = device.celsius()
    end = bursts[-1][1]
    window_s = min(_WINDOW_S, end / 2)
    first = [ms for begun, _, times in bursts if begun < window_s for ms in times]
    last = [ms for _, ended, times in bursts if ended > end - window_s for ms in times]
    num_runs = sum(len(times) for _, _, times in bursts)
    return SustainedTime(end, window_s, float(np.median(first)), float(np.median(last)), num_runs, before, after)


def _burst(model: LoadedModel, burst_s: float, latency_ms: float) -> list[float]:
    runs = int(np.clip(burst_s * 1e3 / latency_ms, 1, _MOST_RUNS))
    return [float(ms) for ms in model.run_times_ms(runs)]
