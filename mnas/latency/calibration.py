"""Fitting a whole table to a few whole networks measured on a device: one scale and one offset, or nothing at all."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct

from mnas.arch.codec import architecture_from_dict
from mnas.arch.spec import Architecture
from mnas.arch.zoo import zoo
from mnas.checks import AnyText, convert
from mnas.errors import InputError
from mnas.latency.estimator import LatencyEstimate, LatencyEstimator
from mnas.latency.report_card import conformal_relative_error
from mnas.latency.table import Configuration, LatencyTable, configuration_from_dict
from mnas.system.files import is_document, read_json

FORMAT = "mnas.measurements"
VERSION = 1
_LEAST_NETWORKS = 3
_LEAST_FOR_OFFSET = 5
_SURE = 0.95  # of a lower error, before a table is changed
_LEAST_INSIDE = 0.7  # of the networks, for a table that was not fitted to be one of their device


@dataclass(frozen=True)
class Calibration:
    """What a fit found. Errors are mean absolute errors over measured latency, as fractions.

    Attributes:
        num_networks: how many different networks were measured.
        applied: whether the table was changed.
        scale, offset_ms: what the table's sums are multiplied by, and what is added; 1 and 0 if it was not changed.
        error_before: of the table as it was.
        error_after: leave-one-out, every network predicted by a fit to the others; as before if there were too few.
    """

    num_networks: int
    applied: bool
    scale: float
    offset_ms: float
    error_before: float
    error_after: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


class _Measurement(Struct, frozen=True, forbid_unknown_fields=True):
    architecture: AnyText | dict[str, Any]
    latency_ms: Annotated[float, Meta(ge=1e-6, le=1e7)]


class _Measurements(Struct, frozen=True):
    measurements: Annotated[tuple[_Measurement, ...], Meta(min_length=1)]


def read_measurements(path: Path | str) -> list[tuple[Architecture, float]]:
    """Networks and their latencies in ms, from JSON.

    `{"format": "mnas.measurements", "version": 1, "measurements": [{"architecture": A, "latency_ms": 12.5}, ...]}`,
    where A is an architecture as mnas writes it, or a zoo name. Where they were measured may stand beside them, see
    `read_configuration`.

    Raises:
        InputError: if it is anything else; the message names the measurement.
    """
    found = []
    for index, row in enumerate(convert(_document(path), _Measurements, str(path)).measurements):
        try:
            network = row.architecture
            architecture = zoo(network) if isinstance(network, str) else architecture_from_dict(network)
        except InputError as error:
            raise InputError(f"{path}: measurements[{index}].architecture: {error}") from None
        found.append((architecture, row.latency_ms))
    return found


def read_configuration(path: Path | str) -> Configuration | None:
    """Where and how a document's networks were measured: its `configuration`, as in a table; None if it does not say.

    Raises:
        InputError: if it is anything else.
    """
    data = _document(path).get("configuration")
    try:
        return None if data is None else configuration_from_dict(data)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _document(path: Path | str) -> dict[str, Any]:
    data = read_json(path, "measurements of whole networks")
    if not is_document(data, FORMAT, VERSION):
        raise InputError(f"{path} holds no measurements: expected format {FORMAT!r}, version {VERSION}")
    return dict(data)


def calibrate_table(
    table: LatencyTable,
    measurements: Sequence[tuple[Architecture, float]],
    configuration: Configuration | None = None,
) -> tuple[LatencyTable, Calibration]:
    """Fit a table to measured networks, if that helps networks that the fit has not seen.

    The table stays as it is unless the leave-one-out error is surely lower (95 %, one-sided t-test over networks): a
    few noisy measurements do not make a good table worse.

    Args:
        table: to fit.
        measurements: networks and their latencies in ms.
        configuration: where and how they were measured. The table is then one of that device, if it was fitted to
            three networks or more, or most of them are inside their 90 % intervals as it is.

    Returns:
        The table to use from now on, and what was found. A changed table's report card is gone: it was about the old
        sums. Its relative error is set so that nine of ten left-out networks are inside their 90 % interval.

    Raises:
        InputError: without measurements, or if a network has a block that is not in the table.
    """
    from scipy.stats import t

    times = _by_network(measurements)
    estimator = LatencyEstimator(replace(table, relative_error=0.0))
    estimates = [estimator.predict(network) for network in times]
    predicted = np.array([estimate.latency_ms for estimate in estimates])
    measured = np.array(list(times.values()))
    if (predicted <= 0).any():
        raise InputError("the table predicts no time at all for one of the measured networks: it cannot be scaled")
    before = np.abs(predicted / measured - 1)
    kept = Calibration(len(times), False, 1.0, 0.0, float(before.mean()), float(before.mean()))
    if len(times) < _LEAST_NETWORKS:
        return table, kept
    fits = [_fit(np.delete(predicted, i), np.delete(measured, i)) for i in range(len(times))]
    left_out = [_apply(estimate, *fit) for estimate, fit in zip(estimates, fits, strict=True)]
    after = np.abs([e.latency_ms / ms - 1 for e, ms in zip(left_out, measured, strict=True)])
    gains = before - after
    kept = replace(kept, error_after=float(after.mean()))
    if gains.mean() <= t.ppf(_SURE, len(gains) - 1) * gains.std(ddof=1) / math.sqrt(len(gains)):
        if configuration is None or not _holds(table, times):
            return table, kept
        return _changed(table, kept, conformal_relative_error(estimates, list(times.values())), configuration), kept
    scale, offset_ms = _fit(predicted, measured)
    found = replace(kept, applied=True, scale=scale, offset_ms=offset_ms)
    return _changed(table, found, conformal_relative_error(left_out, list(times.values())), configuration), found


def _holds(table: LatencyTable, times: Mapping[Architecture, float]) -> bool:
    """Whether most networks are inside their intervals."""
    estimates = {network: LatencyEstimator(table).predict(network) for network in times}
    inside = [estimates[network].low_ms <= ms <= estimates[network].high_ms for network, ms in times.items()]
    return sum(inside) >= _LEAST_INSIDE * len(inside)


def _by_network(measurements: Sequence[tuple[Architecture, float]]) -> Mapping[Architecture, float]:
    """One latency a network: left out, it must be left out altogether."""
    if not measurements:
        raise InputError("calibrating needs measured networks: expected at least one")
    times: dict[Architecture, list[float]] = defaultdict(list)
    for network, latency_ms in measurements:
        times[network].append(latency_ms)
    return {network: math.fsum(all_ms) / len(all_ms) for network, all_ms in times.items()}


def _fit(predicted: np.ndarray, measured: np.ndarray) -> tuple[float, float]:
    """Scale and offset in ms, by least squares of relative errors, each shrunk towards none by its own uncertainty.

    The regression of measured / predicted on mean(predicted) / predicted, centred: its level and its slope are then
    independent, and each is multiplied by 1 - variance / estimate^2, at least 0 (James and Stein 1961, positive part).
    """
    count, middle = len(predicted), float(predicted.mean())
    deviation = measured / predicted - 1
    inverse = middle / predicted
    centred = inverse - inverse.mean()
    level, slope, spread = float(deviation.mean()), 0.0, float((centred**2).sum())
    with_slope = count >= _LEAST_FOR_OFFSET and spread > 1e-9
    if with_slope:
        slope = float((centred * deviation).sum()) / spread
    residual = deviation - level - slope * centred
    variance = float((residual**2).sum()) / (count - 1 - with_slope)
    level *= _shrink(level, variance / count)
    slope *= _shrink(slope, variance / spread) if with_slope else 0.0
    scale = 1 + level - slope * float(inverse.mean())
    # A slope so steep that larger networks would be faster is no property of a device.
    return (scale, slope * middle) if scale > 0 else (1 + level, 0.0)


def _shrink(value: float, variance: float) -> float:
    return max(0.0, 1 - variance / value**2) if value else 0.0


def _apply(estimate: LatencyEstimate, scale: float, offset_ms: float) -> LatencyEstimate:
    """An estimate after a fit; at least a hundredth of what it was, whatever the offset."""
    latency_ms = max(estimate.latency_ms * scale + offset_ms, estimate.latency_ms / 100)
    margin = (estimate.high_ms - estimate.latency_ms) * scale
    return replace(estimate, latency_ms=latency_ms, low_ms=latency_ms - margin, high_ms=latency_ms + margin)


def _changed(
    table: LatencyTable, found: Calibration, relative_error: float, configuration: Configuration | None
) -> LatencyTable:
    entries = {
        key: replace(entry, latency_ms=entry.latency_ms * found.scale, error_ms=entry.error_ms * found.scale)
        for key, entry in table.entries.items()
    }
    fitted = (
        f"times {found.scale:.4f}, plus {found.offset_ms:.4f} ms; mean error {found.error_before:.1%} before, "
        f"{found.error_after:.1%} after (leave-one-out)."
    )
    kept = f"left as it is, with a mean error of {found.error_before:.1%}."
    return replace(
        table,
        configuration=configuration or table.configuration,
        entries=entries,
        overhead_ms=table.overhead_ms * found.scale + found.offset_ms,
        method=f"{table.method} Calibrated to {found.num_networks} whole networks: {fitted if found.applied else kept}",
        relative_error=relative_error,
        reference_ms=0.0 if configuration else table.reference_ms,
        report_card=None,
    )
