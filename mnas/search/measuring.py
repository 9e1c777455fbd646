"""Finalists within the budget as measured: a search finds what a table flatters, so the best candidates are measured.

Latency does not depend on the weights, so networks are measured with random ones, before they are fine-tuned.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from mnas.arch.codec import architecture_fingerprint
from mnas.arch.spec import Architecture
from mnas.checks import convert
from mnas.devices.base import Device
from mnas.devices.registry import open_device
from mnas.errors import InputError
from mnas.latency.table import LatencyTable
from mnas.profiling.bench import measure_files
from mnas.profiling.prediction import check_same
from mnas.search.constraints import priced
from mnas.search.objective import Objective
from mnas.search.options import AUTO, SearchOptions
from mnas.space.space import SearchSpace
from mnas.strategies.additive import AdditiveScore
from mnas.strategies.exact import Exact
from mnas.system.files import read_json, write_json
from mnas.tflite.random_model import write_random_model
from mnas.trial import Trial

MEASURED = "measured.json"  # in a study
_LOGGER = logging.getLogger(__name__)
TOLERANCE = 0.02  # the share above the budget that counts as within: devices repeat themselves to 1 or 2 %
_AT_ONCE = 4  # networks measured in one go
_MOST_ROUNDS = 4
_SECONDS = 8.0  # of one network
_QUIET_BURSTS = 12
Confirm = Callable[[Sequence[Trial]], list[Trial]]


@dataclass
class MeasuredChoice:
    """Chooses finalists by their measured latencies.

    Attributes:
        device: where to measure.
        dtype: of the files, as the table's.
        budget_ms: the budget.
        predict: returns the table's latency in ms.
        tighter: returns candidates for a smaller budget in ms, best first, numbered from the given number on.
        path: of the file that keeps what was measured; None keeps nothing.
        reference_ms: of the reference network on this device, from the table.
    """

    device: Device
    dtype: str
    budget_ms: float
    predict: Callable[[Architecture], float]
    tighter: Callable[[float, int], list[Trial]]
    path: Path | None = None
    reference_ms: float = 0.0
    _record: dict[str, float] = field(default_factory=dict)  # everything that was measured
    _known: dict[str, float] = field(
        default_factory=dict
    )  # what this choice has looked at, in the same order each time

    def __post_init__(self) -> None:
        if self.path is not None:
            self.use_record(self.path)

    def use_record(self, path: Path) -> None:
        """Take the measured latencies of a file, if it is there.

        Raises:
            InputError: if it is damaged.
        """
        if path.is_file():
            self._record |= convert(read_json(path, "measured latencies"), dict[str, float], str(path))

    def known_ms(self, architecture: Architecture) -> float | None:
        """Return the measured latency of an architecture, if `choose` or `measure` has looked at it."""
        return self._known.get(_key(architecture))

    def choose(
        self, candidates: Sequence[Trial], confirm: Confirm, count: int, *, first_number: int = 0
    ) -> list[Trial]:
        """Return the best candidates whose measured latency is at most the budget, plus 2 %.

        If too few are, the budget is lowered by the measured factor and further candidates are taken.

        Args:
            candidates: within the budget by the table, best first.
            confirm: evaluates candidates and returns them, best first; one or more.
            count: number of finalists.
            first_number: of further candidates, at least.

        Raises:
            InputError: if none is within the budget.
            MnasError: if the device cannot run them.
        """
        self._known.clear()
        pool, factor, rounds, budget_ms = list(candidates), 1.0, 0, self.budget_ms
        ranking, newest = confirm(pool), {_key(trial.architecture) for trial in pool}
        while True:
            chosen = [trial for trial in ranking if self._is_within(trial.architecture)]
            if len(chosen) >= count:
                return chosen[:count]
            likely = [trial for trial in ranking if self._may_be_within(trial.architecture, factor, newest)]
            if likely:
                self.measure([trial.architecture for trial in likely[:_AT_ONCE]])
                factor = self._factor(ranking)
                newest = set() if rounds == 0 else newest
                continue
            rounds += 1
            budget_ms = min(self.budget_ms / factor, (1 - TOLERANCE) * budget_ms)
            number = max(first_number, 1 + max(trial.number for trial in pool))
            further = [] if rounds > _MOST_ROUNDS else self.tighter(budget_ms, number)
            if not further:
                break
            _LOGGER.warning(
                "measured latencies are %.2f times those of the table: %d more networks, of %.3g ms by the table",
                factor,
                len(further),
                budget_ms,
            )
            known = {_key(trial.architecture) for trial in pool}
            pool += [trial for trial in further if _key(trial.architecture) not in known]
            ranking, newest = confirm(pool), {_key(trial.architecture) for trial in further}
        if chosen:
            return chosen
        fastest = min(ms for trial in ranking if (ms := self.known_ms(trial.architecture)) is not None)
        raise InputError(
            f"no candidate is within {self.budget_ms:g} ms as measured; the fastest takes {fastest:.4g} ms. Measure a "
            "new latency table with mnas profile, raise --budget-ms, or trust the table with --measure-finalists none"
        )

    def measure(self, architectures: Sequence[Architecture]) -> None:
        """Measure architectures, all in one go; those in the record are not measured again."""
        new = [each for each in architectures if _key(each) not in self._record]
        if new:
            files = [write_random_model(each, dtype=self.dtype) for each in new]
            times = measure_files(
                self.device,
                files,
                seconds=_SECONDS * len(new),
                quiet_bursts=[_QUIET_BURSTS] * len(new),
                reference_ms=self.reference_ms,
            )
            self._record |= {_key(each): time.quiet_ms for each, time in zip(new, times, strict=True)}
            if self.path is not None:
                write_json(self.path, dict(self._record))
        self._known |= {key: self._record[key] for key in map(_key, architectures)}

    def _is_within(self, architecture: Architecture) -> bool:
        measured_ms = self.known_ms(architecture)
        return measured_ms is not None and measured_ms <= self.budget_ms * (1 + TOLERANCE)

    def _may_be_within(self, architecture: Architecture, factor: float, newest: Set[str]) -> bool:
        """Whether to measure a network: one of the newest, or within if it is off by the factor of the others."""
        if self.known_ms(architecture) is not None:
            return False
        expected_ms = self.predict(architecture) * factor
        return _key(architecture) in newest or expected_ms <= self.budget_ms * (1 + TOLERANCE)

    def _factor(self, trials: Sequence[Trial]) -> float:
        """The median of measured over predicted latencies."""
        known = [(self.known_ms(trial.architecture), self.predict(trial.architecture)) for trial in trials]
        return median(measured_ms / predicted_ms for measured_ms, predicted_ms in known if measured_ms is not None)


def _key(architecture: Architecture) -> str:
    """A short name of a network, for the file."""
    return architecture_fingerprint(architecture)[:16]


def open_measuring_device(options: SearchOptions) -> tuple[Device, LatencyTable, bool] | None:
    """Open the device that finalists are measured on, which is that of the first table.

    Returns:
        The device, the table, and whether it is the same machine; None without a table, or if nothing is measured.

    Raises:
        InputError: if the device is not the table's.
        MnasError: if it is not available.
    """
    if not options.table or options.measure_finalists == "none":
        return None
    table = LatencyTable.load(options.table[0])
    configuration = table.configuration
    automatic = options.measure_finalists == AUTO
    if automatic and configuration.device != "local":
        return None
    device = open_device(
        "local" if automatic else options.measure_finalists,
        runtime=configuration.runtime,
        threads=configuration.threads,
        delegate=configuration.delegate,
    )
    now = device.configuration(configuration.dtype)
    if automatic and (now.cpu, now.soc) != (configuration.cpu, configuration.soc):
        return None
    return device, table, check_same(configuration, now)


def measured_choice(
    options: SearchOptions, objective: Objective, space: SearchSpace, folder: Path | None
) -> MeasuredChoice | None:
    """Make the choice of a search; None if it has no table, no device, or is not to measure.

    Finalists are measured on the device of the first table.

    Raises:
        InputError: if the device is not the table's.
        MnasError: if it is not available.
    """
    opened = open_measuring_device(options)
    if opened is None:
        return None
    device, table, same = opened
    configuration = table.configuration
    budget = objective.budgets[0]

    def tighter(budget_ms: float, first_number: int) -> list[Trial]:
        costs = priced(objective.budgets)
        score = AdditiveScore(objective.evaluator.additive_scores, [(costs[0][0], budget_ms), *costs[1:]])
        found: list[Trial] = []
        try:
            networks = Exact(space, feasible=objective.is_feasible, score=score).ask(options.confirmed)
        except InputError:  # no network is that fast
            networks = []
        for number, network in enumerate(dict.fromkeys(networks), first_number):
            found.append(objective.evaluate(number, network))
        return found

    return MeasuredChoice(
        device,
        configuration.dtype,
        budget.limit,
        budget.measure,
        tighter,
        None if folder is None else folder / MEASURED,
        table.reference_ms if same else 0.0,
    )
