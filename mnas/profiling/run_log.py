"""A finished run of `mnas profile`: the log beside a table, with the networks that were measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from mnas.checks import convert
from mnas.errors import InputError
from mnas.latency.registry import find_table
from mnas.latency.table import TRANSFERRED, Configuration, LatencyTable
from mnas.profiling.log import Measurements, log_path, read_log
from mnas.profiling.measure import NetworkTime
from mnas.profiling.plan import PlannedNetwork, plan_networks
from mnas.space.space import SearchSpace

_LOG = ".log"


@dataclass(frozen=True)
class Run:
    """The measurements behind a table.

    Attributes:
        path: of the table, or of the log where a log was given.
        log: of the log.
        known: what the log has.
        space: of the networks.
        configuration: where and how they ran.
        seed: of the plan.
    """

    path: Path
    log: Path
    known: Measurements
    space: SearchSpace
    configuration: Configuration
    seed: int

    @property
    def reference_ms(self) -> float:
        """The reference network's quiet latency: the lowest is the right one."""
        return min(measured.reference_ms for measured in self.known.times.values())

    def networks(self) -> list[tuple[int, PlannedNetwork, NetworkTime]]:
        """Return number, network and measurement of all that were measured, in the order of the plan.

        Raises:
            InputError: if none of them is the one that the plan has under its number.
        """
        times = self.known.times
        plan = list(islice(plan_networks(self.space, seed=self.seed), 1 + max(times)))
        self.known.set_others_aside([planned.architecture for planned in plan], self.log, "and not used")
        if not times:
            raise InputError(f"{self.log} has no network of the plan that mnas has now: run mnas profile again")
        return [(number, planned, times[number]) for number, planned in enumerate(plan) if number in times]


def open_run(path: Path | str) -> Run:
    """Read the run behind a table.

    Args:
        path: of a table with its log beside it; or of a log alone, such as one that was set aside.

    Raises:
        InputError: if there is no log, it is damaged or of an unfinished profile, or the table is not the one that was
            fitted to it.
    """
    if Path(path).suffix == _LOG:
        path = log = Path(path)
        known = read_log(log)
        _check_whole(path, transferred="from" in known.header)
        if not known.table:
            raise InputError(f"{log} is of an unfinished profile: finish it with the mnas profile that began it")
    else:
        path = find_table(path)
        log, table = log_path(path), LatencyTable.load(path)
        _check_whole(path, transferred=table.method.startswith(TRANSFERRED))
        known = read_log(log)
        _check_fitted(path, table, known)
    if not known.times:
        raise InputError(f"{log} has no measured network: run mnas profile again")
    options, where = known.header.get("options"), known.header.get("configuration")
    if not isinstance(options, Mapping) or type(options.get("seed")) is not int:
        raise InputError(f"{log} is not a log of mnas profile (its header has no seed): run mnas profile again")
    configuration = convert(where, Configuration, f"{log}: configuration")
    return Run(path, log, known, _space(log, known), configuration, options["seed"])


def _space(log: Path, known: Measurements) -> SearchSpace:
    if known.space is None:
        raise InputError(f"{log} is of a mnas that did not keep the space: run mnas profile again")
    space = SearchSpace.from_dict(known.space)
    if known.header.get("space") != space.fingerprint:
        raise InputError(f"{log}: the space is not the one that the profile was begun with: the file was changed")
    return space


def _check_whole(path: Path, *, transferred: bool) -> None:
    if transferred:
        raise InputError(
            f"{path} is of mnas profile --from, which measures a few networks chosen for the tables that it starts "
            "from: run that command again with more --networks, or make a whole profile"
        )


def _check_fitted(path: Path, table: LatencyTable, known: Measurements) -> None:
    if not known.table:
        raise InputError(
            f"{log_path(path)} is of an unfinished profile: finish it with the mnas profile that began it, and --force"
        )
    if known.table != table.sha256:
        raise InputError(
            f"{path} is not the table that was fitted to {log_path(path).name}: it was calibrated or replaced since. "
            "Give the table that mnas profile wrote, or profile again"
        )
