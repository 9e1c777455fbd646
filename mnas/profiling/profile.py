"""From a space and a device to a latency table: plan, measure, fit, judge."""

from __future__ import annotations

import datetime
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from mnas import __version__
from mnas.arch.spec import Architecture, check_choice, check_number
from mnas.arch.walk import Layer, layers
from mnas.devices.base import Device, LoadedModel
from mnas.errors import MnasError
from mnas.latency.card import calibrate, make_report_card
from mnas.latency.estimator import LatencyEstimator
from mnas.latency.table import Configuration, Entry, LatencyTable, ReportCard
from mnas.profiling.bench import open_reference
from mnas.profiling.fit import OperatorModel, canonical, fit_operators
from mnas.profiling.flatbuffer import DTYPES
from mnas.profiling.log import ProfileLog
from mnas.profiling.measure import NetworkTime, measure_networks
from mnas.profiling.plan import Plan, make_plan, table_blocks
from mnas.profiling.skeleton import write_skeleton
from mnas.space.space import SearchSpace

_WAVE_BYTES = 200e6  # of networks that stand ready at a time
_WAVE_SHARE, _WAVE_SECONDS = 0.1, 20.0  # of the time; so much is lost at most when profiling is interrupted
_FITTING_BURSTS, _HELD_OUT_BURSTS = 4, 12  # many networks teach more than much time on each
_FIT_SHARE = 0.06  # of the time, kept for choosing networks and for the fit
_HELD_OUT_SHARE = 0.12
_LEAST, _MOST = (24, 16), (1400, 60)  # networks: for fitting, held out

Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class ProfileOptions:
    """How much to measure, and of what.

    Attributes:
        minutes: for everything, report card included.
        dtype: float32 or int8.
        seed: of the choice of networks.
    """

    minutes: float = 3.0
    dtype: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        check_number("--minutes", self.minutes, 0.05, 24 * 60)
        check_choice("--dtype", self.dtype, DTYPES)


def profile(
    space: SearchSpace,
    device: Device,
    out: Path,
    options: ProfileOptions = ProfileOptions(),
    *,
    progress: Progress = lambda share, what: None,
) -> LatencyTable:
    """Measure a space on a device and write the table.

    What is measured is kept in `OUT.log` until the table is written; the same call goes on from there.

    Args:
        space: whose blocks to price.
        device: where.
        out: the table's file.
        options: how much.
        progress: told the share done (0 to 1) and what is being done.

    Raises:
        MnasError: if the device fails, or a file cannot be written.
    """
    started = time.monotonic()
    configuration = device.configuration(options.dtype)
    log_path = out.with_name(out.name + ".log")
    header = {"space": space.fingerprint, "configuration": asdict(configuration), "options": asdict(options)}
    log = ProfileLog(log_path, header)
    with device.measuring():
        progress(0.0, "looking at the device")
        plan = _plan(space, device, options, log)
        seconds = options.minutes * 60 * (1 - _FIT_SHARE) - (time.monotonic() - started)
        reference_ms = _measure(plan, device, options, log, seconds - log.seconds, progress)
    progress(0.97, "fitting")
    table = replace(fit_table(space, configuration, plan, log.times), reference_ms=reference_ms)
    table.save(out)
    log.remove()
    progress(1.0, "done")
    return table


def _plan(space: SearchSpace, device: Device, options: ProfileOptions, log: ProfileLog) -> Plan:
    """As many networks as the time is enough for; an unfinished log has settled that already."""
    if log.num_networks is None:
        rng = np.random.default_rng(options.seed)
        costs = [_seconds_for(device, space.sample(rng), options.dtype) for _ in range(4)]
        number = int(options.minutes * 60 * (1 - 2 * _FIT_SHARE) / float(np.mean(costs)))
        held_out = int(np.clip(_HELD_OUT_SHARE * number, _LEAST[1], _MOST[1]))
        fitting = int(np.clip(number - held_out, _LEAST[0], _MOST[0]))
        log.set_num_networks(fitting, held_out)
    assert log.num_networks is not None
    fitting, held_out = log.num_networks
    return make_plan(space, num_fitting=fitting, num_held_out=held_out, seed=options.seed)


def _seconds_for(device: Device, architecture: Architecture, dtype: str) -> float:
    """About what one network takes: writing, loading, its quiet bursts, and some that are disturbed."""
    start = time.monotonic()
    model = device.load(write_skeleton(architecture, dtype=dtype))
    ready = time.monotonic()
    latency = float(model.run_times_ms(4).min()) / 1e3
    model.close()
    burst = 0.002 + latency * (2 + np.clip(0.006 / latency, 3, 16))
    return ready - start + 1.3 * _FITTING_BURSTS * float(burst)


def _measure(
    plan: Plan,
    device: Device,
    options: ProfileOptions,
    log: ProfileLog,
    seconds: float,
    progress: Progress,
) -> float:
    """Measure what the log lacks, wave by wave; held-out networks are spread among the others.

    Returns:
        The reference network's quiet latency in ms.
    """
    networks = [*plan.fitting, *plan.held_out]
    order = [int(number) for number in np.random.default_rng(options.seed).permutation(len(networks))]
    left = [number for number in order if number not in log.times]
    finish = time.monotonic() + max(seconds, 0.0)
    reference = open_reference(device)
    while left:
        start = time.monotonic()
        share = 1 - len(left) / len(networks)
        progress(0.03 + 0.94 * share, f"measuring {len(networks)} networks")
        wave, models = _load_wave(left, networks, device, options, (finish - start) / len(left))
        allotted = (finish - start) * len(wave) / len(left) - (time.monotonic() - start)
        wanted = [_FITTING_BURSTS if number < len(plan.fitting) else _HELD_OUT_BURSTS for number in wave]
        times = measure_networks(models, reference, seconds=max(allotted, 0.0), quiet_bursts=wanted, seed=len(left))
        for model in models:
            model.close()
        for number, measured in zip(wave, times, strict=True):
            log.append(number, measured, (time.monotonic() - start) / len(wave))
        left = left[len(wave) :]
    reference.close()
    return reference.quiet_ms


def _load_wave(
    left: Sequence[int],
    networks: Sequence[Architecture],
    device: Device,
    options: ProfileOptions,
    seconds_each: float,
) -> tuple[list[int], list[LoadedModel]]:
    """The next networks, ready to run: as many as memory and the length of a wave allow."""
    wave: list[int] = []
    models: list[LoadedModel] = []
    size = 0
    for number in left:
        if wave and (
            size > _WAVE_BYTES or len(wave) * seconds_each > min(_WAVE_SECONDS, _WAVE_SHARE * 60 * options.minutes)
        ):
            break
        data = write_skeleton(networks[number], dtype=options.dtype, seed=number)
        models.append(device.load(data))
        wave.append(number)
        size += len(data)
    return wave, models


def fit_table(
    space: SearchSpace, configuration: Configuration, plan: Plan, times: dict[int, NetworkTime]
) -> LatencyTable:
    """The table that measured networks give, with its report card.

    Args:
        space: whose blocks get entries.
        configuration: where the networks were measured.
        plan: the networks.
        times: by number: those for fitting first, then those held out.

    Raises:
        MnasError: if networks of the plan were not measured.
    """
    missing = [number for number in range(len(plan.fitting) + len(plan.held_out)) if number not in times]
    if missing:
        raise MnasError(f"{len(missing)} networks of the plan were not measured: run the same command again")
    blocks = table_blocks(space)
    operators = list(dict.fromkeys(canonical(layer) for placed in blocks for layer in layers(placed)))
    fitting = [times[number].quiet_ms for number in range(len(plan.fitting))]
    model = fit_operators(plan.fitting, fitting, operators)
    entries = {placed.key: _entry(model, Counter(canonical(layer) for layer in layers(placed))) for placed in blocks}
    table = LatencyTable(
        configuration=configuration,
        space=space.name,
        resolution=space.resolution,
        date=datetime.date.today().isoformat(),
        method=_method(plan),
        mnas_version=__version__,
        overhead_ms=model.overhead_ms,
        relative_error=0.0,
        entries=entries,
        params_curve=model.curve,
    )
    return judge(table, plan.held_out, [times[len(plan.fitting) + i] for i in range(len(plan.held_out))])


def judge(table: LatencyTable, held_out: Sequence[Architecture], times: Sequence[NetworkTime]) -> LatencyTable:
    """The table with intervals calibrated on, and a report card made from, networks that it has not seen."""
    quiet = [measured.quiet_ms for measured in times]
    bare = LatencyEstimator(replace(table, relative_error=0.0))
    relative_error = calibrate([bare.predict(architecture) for architecture in held_out], quiet)
    table = replace(table, relative_error=relative_error)
    return replace(table, report_card=report_card(table, held_out, times))


def report_card(table: LatencyTable, networks: Sequence[Architecture], times: Sequence[NetworkTime]) -> ReportCard:
    """The table's predictions against fresh measurements."""
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


def _method(plan: Plan) -> str:
    return (
        f"{len(plan.fitting)} whole networks in interleaved bursts, quiet-device latency (lower quartile over bursts "
        "during which a reference network ran undisturbed, corrected for its drift); operators' latencies by Gaussian "
        f"regression on the sums; judged by {len(plan.held_out)} other networks"
    )
