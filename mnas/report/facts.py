"""The data of a report on a study, read once."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta, Struct, structs

from mnas.arch.codec import architecture_from_dict
from mnas.arch.complexity import block_complexity
from mnas.arch.spec import Architecture
from mnas.arch.walk import PlacedBlock, named_blocks
from mnas.checks import AnyText, convert
from mnas.errors import MnasError
from mnas.latency.estimator import LatencyEstimate
from mnas.latency.extrapolation import ExtendedEstimator
from mnas.latency.table import LatencyTable
from mnas.scaling.family import FamilyMember, read_family
from mnas.study.diagnostics_log import Update, UpdateLog
from mnas.study.menu import FOLDER as MENU
from mnas.study.study import LOGS, Study
from mnas.study.summary import report
from mnas.study.winner import trained_folder
from mnas.system.files import read_json
from mnas.train.assessment import Assessment, read_assessment
from mnas.trial import Trial

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """One device of a study.

    Attributes:
        path: path of the latency table during the search.
        budget_ms: latency budget on this device.
        table: None if it is missing or has changed since the search.
        estimate: predicted latency of the winner; None without a winner or a table.
    """

    path: str
    budget_ms: float
    table: LatencyTable | None
    estimate: LatencyEstimate | None

    @property
    def name(self) -> str:
        """Short description of the device; the table's path if the table is missing."""
        if self.table is None:
            return self.path
        where = self.table.configuration
        return f"{where.cpu or where.soc or where.device}, {where.runtime} {where.dtype}, {where.threads} thread(s)"


@dataclass(frozen=True)
class BlockRow:
    """One block of the winner, with its costs and its latency on the first device."""

    name: str
    placed: PlacedBlock
    params: int
    madds: int
    latency_ms: float | None


_Milliseconds = Annotated[int, Meta(ge=1, le=10**9)] | Annotated[float, Meta(ge=1e-6, le=1e9)]


class Bench(Struct, frozen=True):
    """A measurement of the winner's file: the used fields of what `mnas bench --json` prints."""

    file: AnyText
    quiet_ms: _Milliseconds
    median_ms: _Milliseconds
    predicted_ms: _Milliseconds | None = None
    source: AnyText = ""  # name of the file with that output

    @property
    def ratio(self) -> float | None:
        """Measured over predicted latency; None without a prediction."""
        return None if self.predicted_ms is None else self.quiet_ms / self.predicted_ms


@dataclass(frozen=True)
class ReportData:
    """A study, finished or not.

    Attributes:
        study: its folder and configuration.
        summary: as `mnas report --json` prints it.
        trials, confirmed, finalists, baseline, baseline_finalists, repeats: its logs, by number.
        updates: the strategy's diagnostics, such as its entropy.
        targets: one per latency table.
        winner: None while the search is not finished.
        blocks: the winner's blocks.
        benches: measurements of the winner's files, from `bench*.json` in the folder.
        family: scaled networks, from `family` in the folder.
        test: the trained winner on its test images, or a published network that the winner did not beat; None if the
            study has neither, or it was trained by a version of mnas that did not keep this.
        tested: the published network whose test it is; None for the winner's.
    """

    study: Study
    summary: dict[str, Any]
    trials: tuple[Trial, ...]
    confirmed: tuple[Trial, ...]
    finalists: tuple[Trial, ...]
    baseline: tuple[Trial, ...]
    baseline_finalists: tuple[Trial, ...]
    repeats: tuple[Trial, ...]
    updates: tuple[Update, ...]
    targets: tuple[Target, ...]
    winner: Architecture | None
    blocks: tuple[BlockRow, ...]
    benches: tuple[Bench, ...]
    family: tuple[FamilyMember, ...]
    test: Assessment | None = None
    tested: str | None = None

    @property
    def num_latencies(self) -> int:
        """Number of latencies of a trial; studies made by the library may have latencies without a table."""
        every = (*self.trials, *self.confirmed, *self.finalists, *self.baseline, *self.baseline_finalists)
        return max(
            (len(trial.measurement.latencies_ms) for trial in every if trial.measurement), default=len(self.targets)
        )

    @property
    def max_entropy(self) -> float:
        """Entropy of a uniform policy in nats: the sum of the logarithms of the numbers of choices."""
        return math.fsum(math.log(len(decision.choices)) for decision in self.study.space.decisions)


def load_report_data(study: Study) -> ReportData:
    """Read a study's folder, and its latency tables if they still exist.

    Raises:
        InputError: if a log or the winner cannot be read.
    """
    summary = report(study)
    best = summary["best"]
    winner = None if best is None else architecture_from_dict(best["architecture"])
    targets = _targets(study, winner)
    tested, test = _test(study, summary)
    logs = {name: tuple(sorted(study.log(name).read(), key=lambda trial: trial.number)) for name in LOGS}
    return ReportData(
        study=study,
        summary=summary,
        **logs,
        updates=tuple(UpdateLog(study.folder / "updates.jsonl").read()),
        targets=targets,
        winner=winner,
        blocks=() if winner is None else _blocks(winner, targets),
        benches=tuple(_benches(study)),
        family=read_family(study.folder, *((targets[0].table, targets[0].path) if targets else (None,))),
        test=test,
        tested=tested,
    )


def _targets(study: Study, winner: Architecture | None) -> tuple[Target, ...]:
    paths = study.arguments.get("table") or []
    described = study.config.get("tables") or []
    found = []
    for index, wanted in enumerate(described):
        path = str(paths[index]) if index < len(paths) else f"table {index + 1}"
        table = _load(path, wanted.get("sha256"))
        estimate = None
        if table is not None and winner is not None:
            try:
                estimate = ExtendedEstimator(table).predict(winner)
            except MnasError as error:
                _LOGGER.warning("%s cannot predict the winner's latency: %s", path, error)
        found.append(Target(path, float(wanted["budget_ms"]), table, estimate))
    return tuple(found)


def _load(path: str, sha256: str | None) -> LatencyTable | None:
    try:
        table = LatencyTable.load(path)
    except MnasError as error:
        _LOGGER.warning("the report does not use the latency table: %s", error)
        return None
    if sha256 is not None and table.sha256 != sha256:
        _LOGGER.warning("%s is not the table that the search used: the report does not use it", path)
        return None
    return table


def _blocks(winner: Architecture, targets: Sequence[Target]) -> tuple[BlockRow, ...]:
    named = list(named_blocks(winner))
    estimate = targets[0].estimate if targets else None
    times: Sequence[float | None] = [None] * len(named) if estimate is None else estimate.blocks_ms
    costs = [block_complexity(placed) for _, placed in named]
    return tuple(
        BlockRow(name, placed, cost.params, cost.madds, latency_ms)
        for (name, placed), cost, latency_ms in zip(named, costs, times, strict=True)
    )


def _benches(study: Study) -> list[Bench]:
    benches = []
    for path in sorted(study.folder.glob("bench*.json")):
        try:
            bench = convert(read_json(path, "the output of mnas bench --json"), Bench, "")
            benches.append(structs.replace(bench, source=path.name))
        except MnasError as error:
            _LOGGER.warning("%s is not the output of mnas bench --json (%s): left out", path, error)
    return benches


def _test(study: Study, summary: dict[str, Any]) -> tuple[str | None, Assessment | None]:
    """The published network that the search did not beat, None if it did; and the test of it or of the winner."""
    try:
        published = _unbeaten(study, summary["menu"])
        if published is not None:
            return published
        folder = trained_folder(study.folder, summary["best"])
        return None, None if folder is None else read_assessment(folder)
    except MnasError as error:
        _LOGGER.warning("the report does not show the winner's test: %s", error)
        return None, None


def _unbeaten(study: Study, menu: dict[str, Any] | None) -> tuple[str, Assessment | None] | None:
    if menu is None or menu["beaten"] is not False:
        return None
    first = menu["tried"][0]
    if first["folder"] is None:
        return None
    return f"{first['name']} at {first['resolution']} px", read_assessment(study.folder / MENU / first["folder"])
