"""Measuring networks once more that took much longer than the others let one expect.

All program starts of a network can be disturbed, or a wave of networks by something that the reference did not show.
One such network among few turns the fit, or spoils the report card. A disturbance only makes networks slower, so the
faster of two measurements is the better one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np

from mnas.devices.base import Device, LostDeviceError, naming
from mnas.profiling.bench import open_reference
from mnas.profiling.collect import OnProgress
from mnas.profiling.log import ProfileLog
from mnas.profiling.measure import NetworkTime, measure_networks
from mnas.profiling.plan import PlannedNetwork
from mnas.tflite.random_model import write_random_model

_FAR = 3.0  # typical deviations of a network's time from what the others predict
_LEAST = 0.03  # relative deviation below which no network is suspicious: one measurement differs from another by less
MOST_SUSPICIOUS = 3  # networks that are measured once more
_BURSTS = 5
_SECONDS = 20.0  # for each, at most
_DISTURBED = 0.1  # relative difference between both measurements that is worth a word

_log = logging.getLogger(__name__)


def choose_suspicious(residuals: Mapping[int, float]) -> list[int]:
    """Return the networks that took much longer than predicted by others, at most three, the furthest first.

    Args:
        residuals: the logarithm of measured over predicted, by number.
    """
    if not residuals:
        return []
    limit = usual_deviation(list(residuals.values()))
    far = [number for number, residual in residuals.items() if residual > limit]
    return sorted(far, key=lambda number: -residuals[number])[:MOST_SUSPICIOUS]


def usual_deviation(residuals: Sequence[float]) -> float:
    """Return the residual above which a network is suspicious: three typical ones, or what noise may be."""
    typical = 1.4826 * float(np.median(np.abs(residuals)))  # a standard deviation, if they were normal
    return max(_FAR * typical, _LEAST)


def check_suspicious(
    device: Device, log: ProfileLog, networks: Mapping[int, PlannedNetwork], *, dtype: str, progress: OnProgress
) -> bool:
    """Measure suspicious networks of the log once more, each at most once, unless that was done since the last fit.

    Returns:
        Whether any was, so that a fit to the log's measurements has to be made anew.

    Raises:
        MnasError: as `measure_again`.
    """
    left = {number: planned for number, planned in networks.items() if number not in log.again}
    if not left or log.checked or not log.new_seconds:
        return False
    progress(0.98, f"measuring {len(left)} once more that took longer than the others let one expect")
    measure_again(device, log, left, dtype=dtype)
    return True


def measure_again(device: Device, log: ProfileLog, networks: Mapping[int, PlannedNetwork], *, dtype: str) -> None:
    """Measure networks of the log once more; the faster result counts. If the device is gone, nothing changes.

    Args:
        device: where the others were measured.
        log: their measurements.
        networks: by number.
        dtype: of the networks.

    Raises:
        MnasError: if the device fails otherwise, or the log cannot be written.
    """
    before = {number: log.times[number] for number in networks}
    try:
        with device.measuring():
            found = _measure(device, log, networks, dtype)
    except LostDeviceError as error:
        _log.warning("networks with suspicious times are not measured once more, as the device is gone: %s", error)
        return
    for (number, planned), (measured, seconds) in zip(networks.items(), found, strict=True):
        log.append(number, planned.architecture, measured, seconds, again=True)
        ratio = _relative(before[number]) / _relative(measured)
        if ratio > 1 + _DISTURBED:
            _log.warning(
                "network %d of the profile took %.2f times as long the first time as the second: something disturbed "
                "it, and the second counts",
                number,
                ratio,
            )


def _measure(
    device: Device, log: ProfileLog, networks: Mapping[int, PlannedNetwork], dtype: str
) -> list[tuple[NetworkTime, float]]:
    """Return each network's measurement with its share of the seconds."""
    began = device.clock()
    reference = open_reference(device, name=log.reference)
    models = []
    for number, planned in networks.items():
        with naming(f"network {number} of the profile"):
            models.append(device.load(write_random_model(planned.architecture, dtype=dtype, seed=number)))
    times = measure_networks(
        models, reference, seconds=_SECONDS * len(models), quiet_bursts=[_BURSTS] * len(models), seed=min(networks)
    )
    for model in models:
        model.close()
    reference.close()
    return [(measured, (device.clock() - began) / len(times)) for measured in times]


def _relative(measured: NetworkTime) -> float:
    return measured.quiet_ms / measured.reference_ms
