"""Measuring the networks of a plan in waves, until the time is over."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice

import numpy as np

from mnas.devices.base import Array, Device, LoadedModel, MeasurementSettings, naming
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
_FURTHER_STARTS = 2  # of each network, to learn how long it takes
_MEAN_BURSTS = 0.75 * FITTING_BURSTS + 0.25 * HELD_OUT_BURSTS
_LOOK_S = 0.004  # of a sample of the reference, on a device whose bursts start at once

OnProgress = Callable[[float, str], None]

_log = logging.getLogger(__name__)


def collect(
    space: SearchSpace,
    device: Device,
    log: ProfileLog,
    *,
    dtype: str,
    seed: int,
    seconds: float,
    progress: OnProgress = lambda share, what: None,
    plan: Iterator[PlannedNetwork] | None = None,
    count: int | None = None,
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
        plan: the networks, at least `count`; by default random ones of the space.
        count: of networks to measure, whatever the time; by default a minimum number, and more in the time.

    Returns:
        The planned networks that are in the log, in order, and the reference network's quiet latency in ms.

    Raises:
        MnasError: if the device fails.
    """
    start = device.clock()
    finish = start + seconds
    plan = _checked(plan_networks(space, seed=seed) if plan is None else plan, log)
    fewest, most = (LEAST, MOST) if count is None else (count, count)
    networks: list[PlannedNetwork] = []
    reference = open_reference(device, name=log.reference)
    says = _tell_starts(device.pace, seconds, fewest - len(log.times))
    least = 0.0  # the minimum time of a wave, in seconds
    fewest = max(fewest, 1 + max(log.times, default=-1))  # what was measured counts, however little time is left
    while len(networks) < most and (len(networks) < fewest or device.clock() + least < finish):
        share = max(len(networks) / most, (device.clock() - start) / max(seconds, 1e-3))
        share = min(share, len(networks) / fewest, 1.0)
        progress(share * 0.96, f"measured {len(networks)} networks{says}{describe_disturbance(log)}")
        began = device.clock()
        wave, models = _load_wave(plan, networks, device, log, dtype)
        if not wave:
            continue  # the log has them all
        latency_s = np.array([float(model.run_times_ms(3).min()) / 1e3 for model in models])
        few = [FEWEST_BURSTS] * len(models)
        least = device.clock() - began + _quiet_seconds(latency_s, few, device.pace)
        wanted = [HELD_OUT_BURSTS if networks[number].held_out else FITTING_BURSTS for number in wave]
        if device.pace.starts_apart and len(networks) - len(wave) < fewest:
            to_come = max(fewest - len(networks), 0) + len(wave)
            left_s = max(finish - device.clock(), 0.0) * len(wave) / to_come
            left_s -= _FURTHER_STARTS * len(wave) * device.pace.start_ms / 1e3
            wanted = _affordable(wanted, left_s / _quiet_seconds(latency_s, wanted, device.pace))
        patience = max(_PATIENCE * _quiet_seconds(latency_s, wanted, device.pace), LEAST_PATIENCE_S)
        limit = min(patience, max(finish - device.clock(), 0.0))
        times = measure_networks(
            models,
            reference,
            seconds=limit,
            quiet_bursts=wanted,
            seed=len(networks),
            finished=_Keeper(log, {number: networks[number] for number in wave}, began, device.clock),
            names=[_name(number) for number in wave],
        )
        for model in models:
            model.close()
        device.cool_down(float(np.median([measured.slowdown for measured in times])))
    reference.close()
    # Each wave, also of an earlier session, has its own quiet latency of the reference: the lowest is the right one.
    return networks, min([reference.quiet_ms, *(measured.reference_ms for measured in log.times.values())])


def _checked(plan: Iterator[PlannedNetwork], log: ProfileLog) -> Iterator[PlannedNetwork]:
    """Set aside what the log has of other networks than the plan; return the plan, from its beginning."""
    logged = list(islice(plan, 1 + max(log.times, default=-1)))
    log.set_others_aside([planned.architecture for planned in logged])
    return chain(logged, plan)


class _Keeper:
    """Logs each network of a wave as soon as it is measured, with the seconds since the previous one."""

    def __init__(
        self, log: ProfileLog, wave: Mapping[int, PlannedNetwork], began: float, clock: Callable[[], float]
    ) -> None:
        self._log, self._wave, self._counted, self._clock = log, list(wave.items()), began, clock

    def __call__(self, place: int, measured: NetworkTime) -> None:
        now = self._clock()
        number, planned = self._wave[place]
        self._log.append(number, planned.architecture, measured, now - self._counted)
        self._counted = now


def _affordable(wanted: Sequence[int], share: float) -> list[int]:
    """Fewer bursts, where starts are slow: each network of the minimum has to get some within the time."""
    return [max(FEWEST_BURSTS, int(count * min(max(share, 0.0), 1.0))) for count in wanted]


def starts_seconds(pace: MeasurementSettings, count: int, *, bursts: float) -> float:
    """Estimate how long networks take on a device where every burst, and the look beside it, starts a program."""
    return count * (2 * bursts + _FURTHER_STARTS) * (pace.start_ms + pace.burst_ms) / 1e3


def _tell_starts(pace: MeasurementSettings, seconds: float, least: int) -> str:
    """Say what a start costs where each burst is one; warn if the networks that a table needs do not fit the time."""
    if not pace.starts_apart:
        return ""
    needed = starts_seconds(pace, max(least, 0), bursts=FEWEST_BURSTS)
    if least > 0 and needed > seconds:
        _log.warning(
            "a start of the program takes %.1f s on this device: the %d networks that a table needs take about %.0f "
            "minutes, not the %.3g that are left; more --minutes give each network more measurements",
            pace.start_ms / 1e3,
            least,
            needed / 60,
            max(seconds, 0.0) / 60,
        )
        return f" of {LEAST}"
    fit = int(seconds / starts_seconds(pace, 1, bursts=_MEAN_BURSTS))
    return f" of about {min(max(fit, LEAST), MOST)} (a start takes {pace.start_ms / 1e3:.1f} s)"


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
    for planned in islice(plan, device.pace.wave_networks):
        number = len(networks)
        networks.append(planned)
        if number in log.times:
            continue
        data = write_random_model(networks[number].architecture, dtype=dtype, seed=number)
        with naming(_name(number)):
            models.append(device.load(data))
        wave.append(number)
        size += len(data)
        if size > WAVE_BYTES:
            break
    return wave, models


def _name(number: int) -> str:
    return f"network {number} of the profile"


def _quiet_seconds(latency_s: Array, wanted: Sequence[int], pace: MeasurementSettings) -> float:
    """Estimate how long a wave takes on a quiet device: bursts, their warm-up, samples of the reference."""
    runs_s = np.maximum(pace.burst_ms / 1e3, FEWEST_RUNS * latency_s) + WARM_UP_RUNS * latency_s
    return float((runs_s + _LOOK_S + 2 * pace.start_ms / 1e3) @ np.asarray(wanted))
