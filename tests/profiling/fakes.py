"""A device whose networks take what their operators take, by arithmetic, with noise and disturbances."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from mnas.devices.android import AndroidDevice
from mnas.devices.base import Array, Device, LoadedModel, LostDeviceError
from mnas.latency.estimator import LatencyEstimator
from mnas.latency.table import Configuration, LatencyTable
from mnas.space.space import SearchSpace
from mnas.tflite.random_model import write_random_model
from tests.latency.tables import CONFIGURATION

OVERHEAD_MS = 0.01


class FakeDevice(Device):
    """Reads the flatbuffer, so that the whole way from architecture to file to time is in the test."""

    def __init__(
        self,
        *,
        noise: float = 0.002,
        disturbed: float = 0.0,
        fail_after: int = 10**9,
        dies: Path | None = None,
        hangs_after: int = 10**9,
    ) -> None:
        self.rng = np.random.default_rng(0)
        self.noise, self.disturbed, self.fail_after = noise, disturbed, fail_after
        self.loaded, self.dies, self.hangs_after = 0, dies, hangs_after
        self.slow = False

    def configuration(self, dtype: str) -> Configuration:
        return CONFIGURATION

    def load(self, data: bytes) -> LoadedModel:
        self.loaded += 1
        if self.loaded > self.fail_after:
            raise KeyboardInterrupt
        if self.loaded > self.hangs_after:
            time.sleep(600)
        if self.dies is not None and self.loaded > 10 and not self.dies.exists():
            self.dies.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return _FakeModel(self, true_latency_ms(data))


class FakePhone(FakeDevice):
    """Every burst and every look is the start of a program. A share of the starts is disturbed, each by itself.

    Args:
        disturbed_starts: the share.
        noise: of the runs of a start.
        seed: of noise and disturbances.

    Attributes:
        now: the seconds that everything took; a profile within `own_clock` goes by it.
        sustained: how many times slower everything is, as when a phone throttles.
    """

    pace = AndroidDevice.pace
    start_noise = 0.005  # of all runs of a start

    def __init__(self, disturbed_starts: float = 0.0, *, noise: float = 0.01, seed: int = 0) -> None:
        super().__init__(noise=noise)
        self.rng = np.random.default_rng(seed)
        self.disturbed_starts, self.now, self.sustained = disturbed_starts, 0.0, 1.0

    def load(self, data: bytes) -> LoadedModel:
        return _PhoneModel(self, _known_latency_ms(data))

    @contextmanager
    def own_clock(self) -> Iterator[None]:
        """Let time pass as it does on the phone."""
        with patch("time.monotonic", lambda: self.now):
            yield


def with_all_bursts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let waves take any time: with all bursts of every network, tables are equal to the last bit."""
    monkeypatch.setattr("mnas.profiling.collect.LEAST_PATIENCE_S", 600.0)


def open_fake(spec: str, **opening: object) -> FakeDevice:
    """`fake:NAME` is exact and quickly profiled; `fake:bad` fails, `fake:hangs` stops answering when half
    is measured, and `fake:FLAG` ends its process, once, at work.

    Meant for a process of its own: how much a profile measures is changed in it.
    """
    from mnas.errors import MnasError
    from mnas.profiling import collect

    collect.LEAST = collect.MOST = 24
    collect.LEAST_PATIENCE_S = 600.0
    FakeDevice.pace = replace(FakeDevice.pace, wave_networks=6)
    name = spec.partition(":")[2]
    if name == "bad":
        raise MnasError("it is unplugged")
    if name == "hangs":
        return FakeDevice(noise=0.0, hangs_after=12)
    return FakeDevice(noise=0.0, dies=Path(name) if "/" in name else None)


class _FakeModel(LoadedModel):
    def __init__(self, device: FakeDevice, latency_ms: float) -> None:
        self.device, self.latency_ms = device, latency_ms

    def run_times_ms(self, num_runs: int) -> Array:
        rng = self.device.rng
        if self.device.disturbed and rng.random() < 0.02:
            self.device.slow = rng.random() < self.device.disturbed
        factor = 1.6 if self.device.slow else 1.0
        return self.latency_ms * factor * (1 + self.device.noise * np.abs(rng.standard_normal(num_runs)))

    def close(self) -> None:
        self.latency_ms = float("nan")


class _PhoneModel(_FakeModel):
    """A file that a program reads at each start."""

    device: FakePhone

    def run_times_ms(self, num_runs: int) -> Array:
        return self.warm_run_times_ms(num_runs, warm_up=1)

    def warm_run_times_ms(self, num_runs: int, *, warm_up: int) -> Array:
        phone = self.device
        factor = phone.sustained * (1 + phone.start_noise * abs(phone.rng.standard_normal()))
        if phone.rng.random() < phone.disturbed_starts:
            factor *= phone.rng.uniform(1.3, 3.0)
        times = self.latency_ms * factor * (1 + phone.noise * np.abs(phone.rng.standard_normal(num_runs)))
        phone.now += (phone.pace.start_ms + times.sum() + warm_up * self.latency_ms * factor) / 1e3
        return times


@lru_cache(maxsize=4096)
def _known_latency_ms(data: bytes) -> float:
    return true_latency_ms(data)


def table_error(table: LatencyTable, space: SearchSpace) -> float:
    """The mean error of a table's predictions of 30 fresh networks against their true times, as a fraction."""
    rng = np.random.default_rng(99)
    networks = [space.sample(rng) for _ in range(30)]
    truth = np.array([true_latency_ms(write_random_model(network)) for network in networks])
    predicted = [LatencyEstimator(table).predict(network).latency_ms for network in networks]
    return float(np.abs(predicted / truth - 1).mean())


def true_latency_ms(data: bytes) -> float:
    """A sum over operators that is not the fit's own line: weights in tiles of 16, elements, a start each."""
    model = schema.Model.GetRootAs(data, 0)
    graph = model.Subgraphs(0)
    total = OVERHEAD_MS
    for number in range(graph.OperatorsLength()):
        operator = graph.Operators(number)
        output = int(np.prod(graph.Tensors(operator.Outputs(0)).ShapeAsNumpy()))
        channels = int(graph.Tensors(operator.Outputs(0)).ShapeAsNumpy()[-1])
        weights = 0
        if operator.InputsLength() > 1:
            weights = int(np.prod(graph.Tensors(operator.Inputs(1)).ShapeAsNumpy()))
        tiles = -(-channels // 16) * 16 / channels
        pixels = output / channels
        total += 0.002 + 1e-7 * weights * pixels * tiles + 2e-7 * output
    return total


POISONED = 5  # a network's number in the plan


class PoisonedPhone(FakePhone):
    """The first time that a network is loaded, all of its starts take twice as long."""

    poisoned = POISONED
    lost = False  # whether the phone is gone when it is loaded for the second time

    def load(self, data: bytes) -> LoadedModel:
        self.loaded += 1
        model = super().load(data)
        network = self.loaded - 1  # the reference is the first; then networks in the order of the plan
        if network == 1 + self.poisoned:
            model.latency_ms *= 2  # type: ignore[attr-defined]
        if self.lost and network > 30:
            raise LostDeviceError("the phone is gone")
        return model
