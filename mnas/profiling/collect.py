"""Measuring the networks of a plan in waves, until the time is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from mnas.devices.base import Device, LoadedModel, MeasurementSettings
from mnas.profiling.bench import open_reference
from mnas.profiling.log import ProfileLog
from mnas.profiling.measure import FEWEST_BURSTS, FEWEST_RUNS, WARM_UP_RUNS, NetworkTime, measure_networks
from mnas.profiling.plan import PlannedNetwork, plan_networks
from mnas.space.space import SearchSpace
from mnas.tflite.random_model import write_random_model

LEAST, MOST = 40, 1500  # networks, whatever the time
WAVE_BYTES = 400e6  # of the networks that are loaded at a time
FITTING_BURSTS, HELD_OUT_BURSTS = 5, 24  # a low quantile over few bursts is too high, by 1 % for four
_PATIENCE = 3.0  # how many times longer than on a quiet device a wave may take
LEAST_PATIENCE_S = 1.0  # for a wave of few networks, which may be over before a disturbance is
_LOOK_S = 0.004  # of a sample of the reference, on a device whose bursts start at once


def collect(
    space: SearchSpace,
    device: Device,
    log: ProfileLog,
    *,
    dtype: str,
    seed: int,
    seconds: float,
    progress: Callable[[float, str], None] = lambda share, what: None,
) -> tuple[list[PlannedNetwork], float]:
    """Measure networks of the plan that are not in the log, until the time is over or their maximum is reached.

    Args:
        space: where the networks are from.
        device: where they run.
        log: the measurements; new ones are added.
        dtype: of the networks.
        seed: of the plan.
        seconds: the maximum time; a minimum number of networks is measured in any case.
        progress: called with the share done and what is being done.

    Returns:
        The planned networks that are in the log, in order, and the reference network's quiet latency in ms.

    Raises:
        MnasError: if the device fails.
    """
    start = time.monotonic()
    finish = start + seconds
    plan = plan_networks(space, seed=seed)
    networks: list[PlannedNetwork] = []
    reference = open_reference(device)
    least = 0.0  # the minimum time of a wave, in seconds
    while len(networks) < MOST and (len(networks) < LEAST or time.monotonic() + least < finish):
        share = max(len(networks) / MOST, (time.monotonic() - start) / max(seconds, 1e-3))
        progress(min(share, 1.0) * 0.96, f"measured {len(networks)} networks{describe_disturbance(log)}")
        began = time.monotonic()
        wave, models = _load_wave(plan, networks, device, log, dtype)
        if not wave:
            continue  # the log has them all
        few = [FEWEST_BURSTS] * len(models)
        least = time.monotonic() - began + _quiet_seconds(models, few, device.pace)
        wanted = [HELD_OUT_BURSTS if networks[number].held_out else FITTING_BURSTS for number in wave]
        patience = max(_PATIENCE * _quiet_seconds(models, wanted, device.pace), LEAST_PATIENCE_S)
        limit = min(patience, max(finish - time.monotonic(), 0.0))
        times = measure_networks(
            models,
            reference,
            seconds=limit,
            quiet_bursts=wanted,
            seed=len(networks),
            finished=_Keeper(log, wave, began),
        )
        for model in models:
            model.close()
        device.cool_down(float(np.median([measured.slowdown for measured in times])))
    reference.close()
    # Each wave, also of an earlier session, has its own quiet latency of the reference: the lowest is the right one.
    return networks, min([reference.quiet_ms, *(measured.reference_ms for measured in log.times.values())])


class _Keeper:
    """Logs each network of a wave as soon as it is measured, with the seconds since the previous one."""

    def __init__(self, log: ProfileLog, wave: Sequence[int], began: float) -> None:
        self._log, self._wave, self._counted = log, wave, began

    def __call__(self, place: int, measured: NetworkTime) -> None:
        now = time.monotonic()
        self._log.append(self._wave[place], measured, now - self._counted)
        self._counted = now


def describe_disturbance(log: ProfileLog) -> str:
    """Return a text with the share of bursts that were measured again; empty if it is at most 10 %."""
    share = 1 - sum(t.num_quiet for t in log.times.values()) / max(1, sum(t.num_bursts for t in log.times.values()))
    return f", {share:.0%} of the bursts again: the device was busy or warm" if log.times and share > 0.1 else ""


def _load_wave(
    plan: Iterator[PlannedNetwork], networks: list[PlannedNetwork], device: Device, log: ProfileLog, dtype: str
) -> tuple[list[int], list[LoadedModel]]:
    """Add the next networks of the plan to `networks`; return and load those that are not in the log, by number."""
    wave: list[int] = []
    models: list[LoadedModel] = []
    size = 0
    for _ in range(device.pace.wave_networks):
        number = len(networks)
        networks.append(next(plan))
        if number in log.times:
            continue
        data = write_random_model(networks[number].architecture, dtype=dtype, seed=number)
        models.append(device.load(data))
        wave.append(number)
        size += len(data)
        if size > WAVE_BYTES:
            break
    return wave, models


def _quiet_seconds(models: Sequence[LoadedModel], wanted: Sequence[int], pace: MeasurementSettings) -> float:
    """Estimate how long a wave takes on a quiet device: bursts, their warm-up, samples of the reference."""
    latency_s = np.array([float(model.run_times_ms(3).min()) / 1e3 for model in models])
    runs_s = np.maximum(pace.burst_ms / 1e3, FEWEST_RUNS * latency_s) + WARM_UP_RUNS * latency_s
    return float((runs_s + _LOOK_S + 2 * pace.start_ms / 1e3) @ np.asarray(wanted))
