"""Calibrating a table to a few networks measured on a device.

With one scale and one offset, with factors of groups of entries, or not at all: whichever predicts networks best that
were left out of the fit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
from mnas.latency.table import Configuration, LatencyTable
from mnas.latency.transfer import TransferModel, average_by_network
from mnas.system.files import is_document, read_json

FORMAT = "mnas.measurements"
VERSION = 1
_LEAST_NETWORKS = 3
_LEAST_FOR_OFFSET = 5
_LEAST_FOR_GROUPS = 5
_CONFIDENCE = 0.95  # that the error is lower, before a table is changed
_CONFIDENCE_IN_GROUPS = 0.99  # that it is lower still, before groups get their own factors
_LEAST_INSIDE = 0.7  # share of the networks inside their intervals, for an unchanged table to count as their device's
ONE_FACTOR, GROUPS = "scale and offset", "factors of groups"


@dataclass(frozen=True)
class Calibration:
    """The result of a calibration. Errors are mean absolute errors over measured latency, as fractions.

    Attributes:
        num_networks: number of different networks.
        applied: whether the table was changed.
        scale, offset_ms: factor on the table's sums, and what is added to them; 1 and 0 if it was not changed. With
            factors of groups, the factor is that of a mean measured network.
        error_before: of the table before the calibration.
        error_after: leave-one-out, every network predicted by a fit to the others; `error_before` if there are too few.
        method: of the fit that was compared or chosen: scale and offset, or factors of groups.
    """

    num_networks: int
    applied: bool
    scale: float
    offset_ms: float
    error_before: float
    error_after: float
    method: str = ONE_FACTOR


class _Measurement(Struct, frozen=True, forbid_unknown_fields=True):
    architecture: AnyText | dict[str, Any]
    latency_ms: Annotated[float, Meta(ge=1e-6, le=1e7)]


class _Measurements(Struct, frozen=True):
    measurements: Annotated[tuple[_Measurement, ...], Meta(min_length=1)]
    configuration: Configuration | None = None


def read_measurements(path: Path | str) -> list[tuple[Architecture, float]]:
    """Read networks and their latencies in ms from JSON.

    `{"format": "mnas.measurements", "version": 1, "measurements": [{"architecture": A, "latency_ms": 12.5}, ...]}`,
    where A is an architecture as mnas writes it, or a zoo name. The document may state where they were measured, see
    `read_configuration`.

    Raises:
        InputError: if it is anything else; the message names the measurement.
    """
    found = []
    for index, row in enumerate(_document(path).measurements):
        try:
            network = row.architecture
            architecture = zoo(network) if isinstance(network, str) else architecture_from_dict(network)
        except InputError as error:
            raise InputError(f"{path}: measurements[{index}].architecture: {error}") from None
        found.append((architecture, row.latency_ms))
    return found


def read_configuration(path: Path | str) -> Configuration | None:
    """Read where and how a document's networks were measured: its `configuration`, as in a table; None without one.

    Raises:
        InputError: as `read_measurements`.
    """
    return _document(path).configuration


def _document(path: Path | str) -> _Measurements:
    data = read_json(path, "measurements of whole networks")
    if not is_document(data, FORMAT, VERSION):
        raise InputError(f"{path} is not a document of measurements: expected format {FORMAT!r}, version {VERSION}")
    return convert(data, _Measurements, str(path))


def calibrate_table(
    table: LatencyTable,
    measurements: Sequence[tuple[Architecture, float]],
    configuration: Configuration | None = None,
) -> tuple[LatencyTable, Calibration]:
    """Fit a table to measured networks, if that improves predictions for networks that the fit has not seen.

    The fit is a scale and an offset. From five networks on, groups of entries get factors of their own (see
    `mnas.latency.transfer`), if that predicts left-out networks better still. The table does not change unless the
    leave-one-out error is significantly lower (95 %, one-sided t-test over networks; 99 % for groups), so a few noisy
    measurements do not make a good table worse.

    Args:
        table: to fit.
        measurements: networks and their latencies in ms.
        configuration: where and how they were measured. The table then becomes one of that device, if it was fitted to
            three networks or more, or most of them are inside their 90 % intervals without a fit.

    Returns:
        The calibrated table, and the result. A changed table has no report card, which was about the old sums. Its
        relative error is set so that nine of ten left-out networks are inside their 90 % interval.

    Raises:
        InputError: without measurements, or if a network has a block that is not in the table.
    """
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
    kept = replace(kept, error_after=float(after.mean()))
    helps = _is_lower(after, before, _CONFIDENCE)
    if grouped := _with_groups(table, times, after if helps else before, kept, configuration):
        return grouped
    if not helps:
        if configuration is None or not _holds(table, times):
            return table, kept
        return _changed(table, kept, conformal_relative_error(estimates, list(times.values())), configuration), kept
    scale, offset_ms = _fit(predicted, measured)
    found = replace(kept, applied=True, scale=scale, offset_ms=offset_ms)
    return _changed(table, found, conformal_relative_error(left_out, list(times.values())), configuration), found


def _is_lower(errors: np.ndarray, than: np.ndarray, confidence: float) -> bool:
    """Whether errors are significantly lower on average, by a one-sided t-test over networks."""
    from scipy.stats import t

    gains = than - errors
    return bool(gains.mean() > t.ppf(confidence, len(gains) - 1) * gains.std(ddof=1) / math.sqrt(len(gains)))


def _with_groups(
    table: LatencyTable,
    times: Mapping[Architecture, float],
    others: np.ndarray,
    kept: Calibration,
    configuration: Configuration | None,
) -> tuple[LatencyTable, Calibration] | None:
    """Fit factors of groups; None if their errors on left-out networks are not significantly below the others."""
    if len(times) < _LEAST_FOR_GROUPS or min(times.values()) <= 0:
        return None
    fitted, transfer = TransferModel([table], list(times)).fit(list(times.items()), configuration)
    measured = np.array(list(times.values()))
    errors = np.abs(np.array([ms for ms, _ in transfer.left_out]) / measured - 1)
    if not transfer.grouped or not _is_lower(errors, others, _CONFIDENCE_IN_GROUPS):
        return None
    found = replace(kept, applied=True, scale=transfer.factor, error_after=float(errors.mean()), method=GROUPS)
    bare = [LatencyEstimate(ms, ms, ms, (), 0) for ms, _ in transfer.left_out]
    how = (
        f"Calibrated to {found.num_networks} whole networks: factors of groups of blocks, {found.scale:.4f} for a mean "
        f"network; mean error {found.error_before:.1%} before, {found.error_after:.1%} after (leave-one-out)."
    )
    relative_error = conformal_relative_error(bare, measured.tolist())
    return replace(fitted, method=f"{table.method} {how}", relative_error=relative_error), found


def _holds(table: LatencyTable, times: Mapping[Architecture, float]) -> bool:
    """Whether most networks are inside their intervals."""
    estimates = map(LatencyEstimator(table).predict, times)
    inside = [estimate.low_ms <= ms <= estimate.high_ms for estimate, ms in zip(estimates, times.values(), strict=True)]
    return sum(inside) >= _LEAST_INSIDE * len(inside)


def _by_network(measurements: Sequence[tuple[Architecture, float]]) -> Mapping[Architecture, float]:
    """Average the measurements of each network, so that leaving one out leaves out all of it."""
    if not measurements:
        raise InputError("there are no measured networks: calibrating needs at least one")
    return average_by_network(measurements)


def _fit(predicted: np.ndarray, measured: np.ndarray) -> tuple[float, float]:
    """Fit scale and offset in ms by least squares of relative errors, each shrunk by its own uncertainty.

    This is the regression of measured / predicted on mean(predicted) / predicted, centred: its level and its slope are
    then independent, and each is multiplied by 1 - variance / estimate^2, at least 0 (James and Stein 1961,
    positive part).
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
    # A slope so steep that larger networks would be faster cannot be a property of a device.
    return (scale, slope * middle) if scale > 0 else (1 + level, 0.0)


def _shrink(value: float, variance: float) -> float:
    return max(0.0, 1 - variance / value**2) if value else 0.0


def _apply(estimate: LatencyEstimate, scale: float, offset_ms: float) -> LatencyEstimate:
    """Apply a fit to an estimate; the result is at least a hundredth of the estimate, whatever the offset."""
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
        report_cards={},
    )
