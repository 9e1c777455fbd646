"""From tables of other devices and a few networks measured on a new one to its latency table."""

from __future__ import annotations

import datetime
import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from mnas import __version__
from mnas.arch.spec import Architecture
from mnas.checks import check_choice, check_integer, check_number
from mnas.devices.base import Device
from mnas.errors import InputError
from mnas.latency.estimator import Z90, LatencyEstimate, LatencyEstimator
from mnas.latency.overwriting import check_overwriting
from mnas.latency.report_card import make_report_card
from mnas.latency.table import FLOAT_REFERENCE, Configuration, LatencyTable, ReportCard
from mnas.latency.transfer import LEAST_NETWORKS, Transfer, TransferModel
from mnas.profiling.again import MOST_SUSPICIOUS, check_suspicious, usual_deviation
from mnas.profiling.collect import OnProgress, collect
from mnas.profiling.log import SOURCES, ProfileLog, read_log
from mnas.profiling.measure import NetworkTime
from mnas.profiling.plan import PlannedNetwork
from mnas.profiling.yardstick import reference_for_space
from mnas.random_streams import Stream, generator
from mnas.space.space import SearchSpace
from mnas.system.lock import hold
from mnas.tflite.flatbuffer import DTYPES

_CANDIDATES = 300  # random networks, among which those to measure are chosen
MOST_NETWORKS = 200
Measured = tuple[Architecture, float]  # a network and its latency in ms


@dataclass(frozen=True, slots=True)
class TransferOptions:
    """Options of a profile that starts from other tables.

    Attributes:
        networks: how many to measure.
        minutes: the maximum time for the measurements; every network gets a few bursts in any case.
        dtype: float32 or int8.
        seed: of the networks to choose from.
    """

    networks: int = 10
    minutes: float = 3.0
    dtype: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        check_integer("--networks", self.networks, LEAST_NETWORKS, MOST_NETWORKS)
        check_number("--minutes", self.minutes, 0.05, 24 * 60)
        check_choice("--dtype", self.dtype, DTYPES)


def transfer_profile(
    space: SearchSpace,
    device: Device,
    out: Path,
    sources: Sequence[Path],
    options: TransferOptions = TransferOptions(),
    *,
    force: bool = False,
    progress: OnProgress = lambda share, what: None,
) -> tuple[LatencyTable, Transfer]:
    """Measure the most telling networks of a space on a device, and write the table that follows from other tables.

    Measurements are kept in `OUT.networks.log`. After an interruption the same call continues; with more networks, the
    earlier ones are not measured again.

    Args:
        space: whose networks to price.
        device: where.
        out: the table's file.
        sources: tables of other devices; the networks are chosen by the first.
        options: how much to measure.
        force: whether to replace a table that was not made from these measurements.
        progress: called with the share done (0 to 1) and what is being done.

    Returns:
        The table, whose report card compares every measured network with a prediction by the others; and the result.

    Raises:
        InputError: if a table cannot price the space's networks, or there is another table already; the message names
            the file.
        MnasError: if the device fails, or a file cannot be written.
    """
    measurements = out.with_name(f"{out.name}.networks.log")
    if not _is_fitted(out, measurements):
        check_overwriting(out, force)
    tables = [LatencyTable.load(path) for path in sources]
    for path, table in zip(sources, tables, strict=True):
        _check_prices(table, path, space)
    configuration = device.configuration(options.dtype)
    rng = generator(options.seed, Stream.TRANSFER_NETWORKS)
    model = TransferModel(tables, [space.sample(rng) for _ in range(_CANDIDATES)])
    header = {
        "space": space.fingerprint,
        "configuration": asdict(configuration),
        "options": {"dtype": options.dtype, "seed": options.seed},
        "from": hashlib.sha256("".join(table.sha256 for table in tables).encode()).hexdigest(),
        SOURCES: ", ".join(f"{path.name} {table.sha256[:6]}" for path, table in zip(sources, tables, strict=True)),
    }
    reference = reference_for_space(device, space, options.dtype)
    if reference != FLOAT_REFERENCE:  # as in the log of a profile
        header["reference"] = reference
    chosen = model.choose(options.networks)
    with hold(out.with_name(f".{out.name}.lock"), f"the profile {out}", remove=True):
        log = ProfileLog(measurements, header)
        with device.measuring():
            progress(0.0, "preparing the device")
            planned, reference_ms = collect(
                space,
                device,
                log,
                dtype=options.dtype,
                seed=options.seed,
                seconds=options.minutes * 60,
                progress=progress,
                plan=(PlannedNetwork(network, held_out=True) for network in chosen),
                count=len(chosen),
            )
        progress(0.97, "fitting")
        networks = [each.architecture for each in planned]

        def measured(reference_ms: float) -> list[Measured]:
            times = [log.times[number].at(reference_ms).quiet_ms for number in range(len(networks))]
            return list(zip(networks, times, strict=True))

        suspicious = _suspicious(model, configuration, measured(reference_ms)) if log.new_seconds else []
        again = {number: planned[number] for number in suspicious}
        if check_suspicious(device, log, again, dtype=options.dtype, progress=progress):
            reference_ms = min(reference_ms, *(log.times[number].reference_ms for number in suspicious))
        table, found = model.fit(measured(reference_ms), configuration)
        table = replace(
            table,
            date=datetime.date.today().isoformat(),
            mnas_version=__version__,
            reference_ms=reference_ms,
            reference=log.reference,
            report_card=_report_card(found, [log.times[number].at(reference_ms) for number in range(len(networks))]),
        )
        table.save(out)
        log.finish(table.sha256, table.date)
        progress(1.0, "done")
        return table, found


def _is_fitted(out: Path, measurements: Path) -> bool:
    """Whether a file is the table that was last fitted to the measurements, which a further fit may replace."""
    try:
        return LatencyTable.load(out).sha256 == read_log(measurements).table
    except InputError:  # one is not there, or is another file
        return False


def _suspicious(model: TransferModel, configuration: Configuration, times: Sequence[Measured]) -> list[int]:
    """Return the networks that took far longer than the others predict, at most three.

    Among few networks one that was disturbed spoils the predictions of all, so that none seems far from what is usual.
    The one that took longest is therefore compared with a fit without it.
    """
    found: list[int] = []
    left = list(range(len(times)))
    _, fit = model.fit(times, configuration)
    while len(found) < MOST_SUSPICIOUS and len(left) > LEAST_NETWORKS:
        slowest = left[int(np.argmax(_residuals(fit, times, left)))]
        left.remove(slowest)
        table, fit = model.fit([times[number] for number in left], configuration)
        network, measured_ms = times[slowest]
        residual = math.log(measured_ms / LatencyEstimator(table).predict(network).latency_ms)
        if residual <= usual_deviation(_residuals(fit, times, left)):
            break
        found.append(slowest)
    return found


def _residuals(found: Transfer, times: Sequence[Measured], numbers: Sequence[int]) -> list[float]:
    """Return the logarithm of each measured latency over its prediction by the other networks."""
    pairs = zip(numbers, found.left_out, strict=True)
    return [math.log(times[number][1] / predicted_ms) for number, (predicted_ms, _) in pairs]


def _check_prices(table: LatencyTable, path: Path, space: SearchSpace) -> None:
    """Check that a table has all blocks of a space.

    Raises:
        InputError: the message names the file, and how to make one that has them.
    """
    if lacking := [size for size in space.input_sizes if size not in table.input_sizes]:
        raise InputError(
            f"--from {path} is for networks of {table.input_text} ({table.space}), and {space.name} has "
            f"{lacking[0]} px: give a table of this space, made with mnas profile on any device"
        )
    estimator = LatencyEstimator(table)
    try:
        for placed in space.placed_blocks():
            estimator.entry(placed)
    except InputError as error:
        raise InputError(
            f"--from {path} cannot price the networks of {space.name}: give a table of this space, made with mnas "
            f"profile on any device\n  {str(error).splitlines()[0]}"
        ) from None


def _report_card(found: Transfer, times: Sequence[NetworkTime]) -> ReportCard:
    """Compare the measured networks with their predictions by the others."""
    estimates = [
        LatencyEstimate(ms, ms * math.exp(-Z90 * deviation), ms * math.exp(Z90 * deviation), (), 0)
        for ms, deviation in found.left_out
    ]
    return make_report_card(
        estimates,
        [own.quiet_ms for own in times],
        [own.median_ms for own in times],
        [own.halves_ms for own in times],
    )
