"""Adding minutes of measurement to a latency table, from the log beside it."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path

from mnas.checks import check_number
from mnas.devices.base import Device
from mnas.errors import InputError
from mnas.latency.registry import find_table
from mnas.latency.table import Configuration, LatencyTable, ReportCard
from mnas.profiling.collect import MOST, OnProgress
from mnas.profiling.log import ProfileLog, changes
from mnas.profiling.profile import hold_table, measure_table, report_card, seconds_to_measure
from mnas.profiling.run_log import Run, open_run


@dataclass(frozen=True)
class Extension:
    """What more measurements brought.

    Attributes:
        table: fitted to all measurements, and written.
        num_before, num_after: numbers of measured networks.
        before, after: errors of the former and of the new table on the same networks: all that are held out now.
    """

    table: LatencyTable
    num_before: int
    num_after: int
    before: ReportCard
    after: ReportCard


def extend_table(
    path: Path | str, device: Device, minutes: float, *, progress: OnProgress = lambda share, what: None
) -> Extension:
    """Measure more networks of a table's plan on its device, fit it again to all, and write it.

    After an interruption, the same call measures for the rest of the minutes.

    Args:
        path: of the table; its log is beside it.
        device: where it was measured.
        minutes: for everything.
        progress: called with the share done and what is being done.

    Raises:
        InputError: if there is no log, the table is not the one that was fitted to it, or the device, or how it runs
            networks, is another.
        MnasError: if the device fails, or a file cannot be written.
    """
    started = time.monotonic()
    check_number("--minutes", minutes, 0.05, 24 * 60)
    path = find_table(path)
    former = LatencyTable.load(path)
    with hold_table(path):
        run = open_run(path)
        num_before = len(run.known.times)
        if num_before >= MOST:
            raise InputError(f"{path} is fitted to {num_before} networks already, which is the most that help")
        configuration = device.configuration(run.configuration.dtype)
        log = _continued(run, configuration)
        seconds = seconds_to_measure(minutes) - (time.monotonic() - started) - log.new_seconds
        table = measure_table(
            run.space, device, configuration, log, path, seed=run.seed, seconds=seconds, progress=progress
        )
        cards = _cards(open_run(path), former, table)
    return Extension(table, num_before, len(log.times), *cards)


def _continued(run: Run, configuration: Configuration) -> ProfileLog:
    """Open the log of a run to continue it.

    Raises:
        InputError: if the device, or how it runs networks, is another; with both values.
    """
    header = {**run.known.header, "configuration": asdict(configuration)}
    different, _ = changes(run.known.header, header)
    if different:
        listed = ", ".join(change.text("in the table", "here") for change in different)
        raise InputError(
            f"{run.path} was measured elsewhere or in another way: {listed}. Extend it on its own device, or make "
            "another table with mnas profile"
        )
    return ProfileLog(run.log, header)


def _cards(run: Run, former: LatencyTable, table: LatencyTable) -> tuple[ReportCard, ReportCard]:
    """Judge two tables by the same networks, which neither was fitted to."""
    held_out = [(planned.architecture, measured) for _, planned, measured in run.networks() if planned.held_out]
    networks = [network for network, _ in held_out]
    times = [measured.at(table.reference_ms) for _, measured in held_out]
    return report_card(former, networks, times), report_card(table, networks, times)
