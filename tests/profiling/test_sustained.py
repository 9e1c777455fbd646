"""Latency without pauses, on a device that slows down as it warms up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from mnas.devices.base import Array, Device, LoadedModel, MeasurementSettings
from mnas.latency.table import Configuration
from mnas.profiling.sustained import bench_sustained
from tests.latency.tables import CONFIGURATION


class Warming(Device):
    """2 ms a run, 3 ms after 40 seconds of running."""

    def __init__(self, pace: MeasurementSettings) -> None:
        self.pace, self.now = pace, 0.0
        self.waited = 0

    def configuration(self, dtype: str) -> Configuration:
        return CONFIGURATION

    def celsius(self) -> float | None:
        return 30 + self.now / 10

    @contextmanager
    def measuring(self) -> Iterator[None]:
        self.cool_down()
        yield

    def cool_down(self, slowdown: float = 1.0) -> None:
        self.waited += 1

    def load(self, data: bytes) -> LoadedModel:
        return _Model(self)


class _Model(LoadedModel):
    def __init__(self, device: Warming) -> None:
        self.device = device

    def run_times_ms(self, num_runs: int) -> Array:
        latency_ms = 2.0 if self.device.now < 40 else 3.0
        self.device.now += num_runs * latency_ms / 1e3
        return np.full(num_runs, latency_ms)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("pace", [MeasurementSettings(), MeasurementSettings(start_ms=120.0)])
def test_the_last_seconds_are_compared_with_the_first(pace: MeasurementSettings) -> None:
    device = Warming(pace)
    found = bench_sustained(b"", device, seconds=60, clock=lambda: device.now)
    assert (found.first_ms, found.last_ms, found.ratio, found.window_s) == (2, 3, 1.5, 10)
    assert found.seconds == pytest.approx(60, abs=5.1)
    assert found.num_runs == pytest.approx(20_000 + 20_000 / 3, abs=2_600)
    assert found.celsius_before == pytest.approx(30, abs=0.01)
    assert found.celsius_after == pytest.approx(36, abs=0.6)
    assert device.waited == 1  # to begin with; then nothing pauses


def test_a_short_time_is_halved() -> None:
    device = Warming(MeasurementSettings())
    found = bench_sustained(b"", device, seconds=4, clock=lambda: device.now)
    assert (found.window_s, found.ratio) == (pytest.approx(2, abs=0.5), 1)
    assert bench_sustained(b"", device, seconds=1e-6, clock=lambda: device.now).num_runs == 2
