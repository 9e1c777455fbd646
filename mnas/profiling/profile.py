"""From a space and a device to a latency table: plan, measure, fit, check."""

from __future__ import annotations

import datetime
import logging
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mnas import __version__
from mnas.arch.spec import Architecture
from mnas.arch.walk import Layer, layers
from mnas.checks import check_choice, check_number
from mnas.devices.base import Device
from mnas.errors import MnasError
from mnas.latency.estimator import LatencyEstimator
from mnas.latency.operator_regression import OperatorModel, canonical, fit_operators
from mnas.latency.overwriting import check_overwriting
from mnas.latency.report_card import conformal_relative_error, make_report_card
from mnas.latency.table import FLOAT_REFERENCE, Configuration, Entry, LatencyTable, ReportCard
from mnas.profiling.again import MOST_SUSPICIOUS, check_suspicious, choose_suspicious
from mnas.profiling.collect import OnProgress, collect
from mnas.profiling.log import ProfileLog, log_path, set_finished_aside
from mnas.profiling.measure import NetworkTime
from mnas.profiling.plan import PlannedNetwork, table_blocks
from mnas.profiling.yardstick import reference_for_space
from mnas.space.space import SearchSpace
from mnas.system.lock import hold
from mnas.system.permissions import names_what_is_not_permitted
from mnas.tflite.flatbuffer import DTYPES

_FIT_SHARE, _FIT_SECONDS = 0.06, 5.0  # share of the time for the fit, and its minimum

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProfileOptions:
    """Options of a profile.

    Attributes:
        minutes: for everything, including the report card.
        dtype: float32 or int8.
        seed: of the choice of networks.
    """

    minutes: float = 3.0
    dtype: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        check_number("--minutes", self.minutes, 0.05, 24 * 60)
        check_choice("--dtype", self.dtype, DTYPES)


@names_what_is_not_permitted
def profile(
    space: SearchSpace,
    device: Device,
    out: Path,
    options: ProfileOptions = ProfileOptions(),
    *,
    force: bool = False,
    progress: OnProgress = lambda share, what: None,
) -> LatencyTable:
    """Measure a space on a device and write the table.

    Measurements are kept in `OUT.log`; after an interruption the same call resumes. The log stays beside the finished
    table, for `extend_table` and `merge_tables`. That of an earlier table is renamed, never overwritten.

    Args:
        space: whose blocks to price.
        device: where.
        out: the table's file.
        options: how much to measure.
        force: whether to replace a table that is there already.
        progress: called with the share done (0 to 1) and what is being done.

    Raises:
        InputError: if there is a table already, or an unfinished log of another profile.
        MnasError: if the device fails, or a file cannot be written.
    """
    started = time.monotonic()
    check_overwriting(out, force)
    configuration = device.configuration(options.dtype)
    with hold_table(out):
        reference = reference_for_space(device, space, options.dtype)
        log = _open_log(out, _header(space, configuration, options, reference), space)
        seconds = seconds_to_measure(options.minutes) - (time.monotonic() - started) - log.seconds
        return measure_table(
            space, device, configuration, log, out, seed=options.seed, seconds=seconds, progress=progress
        )


def _open_log(out: Path, header: dict[str, Any], space: SearchSpace) -> ProfileLog:
    """Open the log of a new or an interrupted profile. One whose table was written is not continued."""
    path = log_path(out)
    if kept := set_finished_aside(path):
        _LOGGER.warning("the measurements of an earlier %s are kept in %s", out.name, kept)
    return ProfileLog(path, header, space.to_dict())


def _header(
    space: SearchSpace, configuration: Configuration, options: ProfileOptions, reference: str
) -> dict[str, Any]:
    header = {"space": space.fingerprint, "configuration": asdict(configuration), "options": asdict(options)}
    # Logs were without it.
    return header if reference == FLOAT_REFERENCE else {**header, "reference": reference}


def hold_table(path: Path) -> AbstractContextManager[None]:
    """Hold the lock of the only process that measures for a table.

    Raises:
        MnasError: if another one holds it, or the folder cannot be written.
    """
    return hold(path.with_name(f".{path.name}.lock"), f"the profile {path}", remove=True)


def seconds_to_measure(minutes: float) -> float:
    """Return the time for measuring in seconds: all but that for the fit."""
    seconds = minutes * 60
    return seconds - max(_FIT_SHARE * seconds, min(_FIT_SECONDS, 0.3 * seconds))


def measure_table(
    space: SearchSpace,
    device: Device,
    configuration: Configuration,
    log: ProfileLog,
    out: Path,
    *,
    seed: int,
    seconds: float,
    progress: OnProgress,
) -> LatencyTable:
    """Measure networks that are not in the log, fit a table to all, and write it.

    Raises:
        MnasError: if the device fails, or a file cannot be written.
    """
    with device.measuring():
        progress(0.0, "preparing the device")
        networks, reference_ms = collect(
            space, device, log, dtype=configuration.dtype, seed=seed, seconds=seconds, progress=progress
        )
    progress(0.97, "fitting")

    def fit(reference_ms: float) -> tuple[LatencyTable, dict[int, float]]:
        times = {number: measured.at(reference_ms) for number, measured in log.times.items()}
        return fit_with_residuals(space, configuration, networks, times)

    table, residuals = fit(reference_ms)
    suspicious = {number: networks[number] for number in _suspicious(networks, residuals)}
    if check_suspicious(device, log, suspicious, dtype=configuration.dtype, progress=progress):
        reference_ms = min(reference_ms, *(log.times[number].reference_ms for number in suspicious))
        table, _ = fit(reference_ms)
    table = replace(table, reference_ms=reference_ms, reference=log.reference)
    table.save(out)
    log.finish(table.sha256, table.date)
    progress(1.0, "done")
    return table


def _suspicious(networks: Sequence[PlannedNetwork], residuals: Mapping[int, float]) -> list[int]:
    """Return the networks that took far longer than others predict, at most three.

    Those held out took no part in the fit, and deviate more from it than the others.
    """
    found = []
    for held_out in (False, True):
        own = {number: each for number, each in residuals.items() if networks[number].held_out is held_out}
        found += choose_suspicious(own)
    return found[:MOST_SUSPICIOUS]


def fit_table(
    space: SearchSpace,
    configuration: Configuration,
    networks: Sequence[PlannedNetwork],
    times: Mapping[int, NetworkTime],
) -> LatencyTable:
    """Fit a table to measured networks, and make its report card; see `fit_with_residuals`."""
    return fit_with_residuals(space, configuration, networks, times)[0]


def fit_with_residuals(
    space: SearchSpace,
    configuration: Configuration,
    networks: Sequence[PlannedNetwork],
    times: Mapping[int, NetworkTime],
) -> tuple[LatencyTable, dict[int, float]]:
    """Fit a table to measured networks, and make its report card.

    Args:
        space: whose blocks get entries.
        configuration: where the networks were measured.
        networks: the plan.
        times: a measurement for each, by number.

    Returns:
        The table; and the logarithm of each network's measured latency over its prediction by others, by number.

    Raises:
        MnasError: if networks of the plan were not measured.
    """
    missing = [number for number in range(len(networks)) if number not in times]
    if missing:
        raise MnasError(f"{len(missing)} networks of the plan were not measured: run the same command again")
    fitting, held_out = (
        [number for number, planned in enumerate(networks) if planned.held_out is kind] for kind in (False, True)
    )
    blocks = table_blocks(space)
    operators = list(dict.fromkeys(canonical(layer) for placed in blocks for layer in layers(placed)))
    model = fit_operators(
        [networks[number].architecture for number in fitting],
        [times[number].quiet_ms for number in fitting],
        operators,
        num_bursts=[times[number].num_quiet for number in fitting],
    )
    entries = {placed.key: _entry(model, Counter(canonical(layer) for layer in layers(placed))) for placed in blocks}
    table = LatencyTable(
        configuration=configuration,
        space=space.name,
        resolution=space.resolution,
        resolutions=space.resolutions,
        date=datetime.date.today().isoformat(),
        method=_method(len(fitting), len(held_out), len(model.outliers)),
        mnas_version=__version__,
        overhead_ms=model.overhead_ms,
        relative_error=0.0,
        entries=entries,
        params_curve=model.curve,
    )
    table = _add_report_card(
        table, [networks[number].architecture for number in held_out], [times[number] for number in held_out]
    )
    estimator = LatencyEstimator(table)
    residuals = dict(zip(fitting, map(float, model.left_out), strict=True))
    for number in held_out:
        measured_ms, predicted_ms = times[number].quiet_ms, estimator.predict(networks[number].architecture).latency_ms
        residuals[number] = math.log(measured_ms / max(predicted_ms, 1e-3 * measured_ms))
    return table, residuals


def _add_report_card(
    table: LatencyTable, held_out: Sequence[Architecture], times: Sequence[NetworkTime]
) -> LatencyTable:
    """Calibrate intervals, and make the report card, with networks that the table has not seen."""
    quiet = [measured.quiet_ms for measured in times]
    bare = LatencyEstimator(replace(table, relative_error=0.0))
    relative_error = conformal_relative_error([bare.predict(architecture) for architecture in held_out], quiet)
    table = replace(table, relative_error=relative_error)
    cards = {}
    for size in table.resolutions:
        own = [number for number, network in enumerate(held_out) if network.resolution == size]
        if own:
            cards[size] = report_card(table, [held_out[i] for i in own], [times[i] for i in own])
    return replace(table, report_card=report_card(table, held_out, times), report_cards=cards)


def report_card(table: LatencyTable, networks: Sequence[Architecture], times: Sequence[NetworkTime]) -> ReportCard:
    """Compare the table's predictions with measurements of networks that it has not seen."""
    estimator = LatencyEstimator(table)
    return make_report_card(
        [estimator.predict(architecture) for architecture in networks],
        [measured.quiet_ms for measured in times],
        [measured.median_ms for measured in times],
        [measured.halves_ms for measured in times],
    )


def _entry(model: OperatorModel, counts: Counter[Layer]) -> Entry:
    latency_ms, error_ms, seen = model.total(counts)
    return Entry(latency_ms, error_ms, seen, "measured" if seen else "fitted")


def _method(num_fitting: int, num_held_out: int, num_outliers: int) -> str:
    aside = f", {num_outliers} of them set aside as disturbed" if num_outliers else ""
    return (
        f"{num_fitting} whole networks{aside} in interleaved bursts, quiet-device latency (lower quartile over bursts "
        "during which two reference networks ran undisturbed, corrected for drift); operators' latencies by Gaussian "
        f"regression on the sums; judged by {num_held_out} other networks"
    )
