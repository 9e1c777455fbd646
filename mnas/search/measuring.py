"""Finalists within the budget as measured: a search finds what a table flatters, so the best candidates are measured.

Latency does not depend on the weights, so networks are measured with random ones, before they are fine-tuned.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from mnas.arch.spec import Architecture
from mnas.errors import InputError
from mnas.profiling.meter import LatencyMeter, open_meter
from mnas.search.constraints import priced
from mnas.search.objective import Objective
from mnas.search.options import SearchOptions
from mnas.space.space import SearchSpace
from mnas.strategies.additive import AdditiveScore
from mnas.strategies.exact import Exact, NoSolutionError
from mnas.trial import Trial

_LOGGER = logging.getLogger(__name__)
TOLERANCE = 0.02  # the share above the budget that counts as within: devices repeat themselves to 1 or 2 %
_AT_ONCE = 4  # networks measured in one go
_MOST_ROUNDS = 4
Confirm = Callable[[Sequence[Trial]], list[Trial]]


@dataclass
class MeasuredChoice:
    """Chooses finalists by their measured latencies.

    Attributes:
        meter: measures them.
        budget_ms: the budget.
        predict: returns the table's latency in ms.
        tighter: returns candidates for a smaller budget in ms, best first, numbered from the given number on.
    """

    meter: LatencyMeter
    budget_ms: float
    predict: Callable[[Architecture], float]
    tighter: Callable[[float, int], list[Trial]]
    _known: dict[Architecture, float] = field(default_factory=dict)  # looked at by this choice, in the same order

    def known_ms(self, architecture: Architecture) -> float | None:
        """Return the measured latency of an architecture, if `choose` or `measure` has looked at it."""
        return self._known.get(architecture)

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
        ranking, newest = confirm(pool), {trial.architecture for trial in pool}
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
            known = {trial.architecture for trial in pool}
            pool += [trial for trial in further if trial.architecture not in known]
            ranking, newest = confirm(pool), {trial.architecture for trial in further}
        if chosen:
            return chosen
        fastest = min(ms for trial in ranking if (ms := self.known_ms(trial.architecture)) is not None)
        raise InputError(
            f"no candidate is within {self.budget_ms:g} ms as measured; the fastest takes {fastest:.4g} ms. Measure a "
            "new latency table with mnas profile, raise --budget-ms, or trust the table with --measure-finalists none"
        )

    def measure(self, architectures: Sequence[Architecture]) -> None:
        """Measure architectures, all in one go; those in the record are not measured again."""
        self._known |= dict(zip(architectures, self.meter.measure(architectures), strict=True))

    def _is_within(self, architecture: Architecture) -> bool:
        measured_ms = self.known_ms(architecture)
        return measured_ms is not None and measured_ms <= self.budget_ms * (1 + TOLERANCE)

    def _may_be_within(self, architecture: Architecture, factor: float, newest: Set[Architecture]) -> bool:
        """Whether to measure a network: one of the newest, or within if it is off by the factor of the others."""
        if self.known_ms(architecture) is not None:
            return False
        expected_ms = self.predict(architecture) * factor
        return architecture in newest or expected_ms <= self.budget_ms * (1 + TOLERANCE)

    def _factor(self, trials: Sequence[Trial]) -> float:
        """The median of measured over predicted latencies."""
        known = [(self.known_ms(trial.architecture), self.predict(trial.architecture)) for trial in trials]
        return median(measured_ms / predicted_ms for measured_ms, predicted_ms in known if measured_ms is not None)


def measured_choice(
    options: SearchOptions, objective: Objective, space: SearchSpace, folder: Path | None
) -> MeasuredChoice | None:
    """Make the choice of a search; None if it has no table, no device, or is not to measure.

    Finalists are measured on the device of the first table.

    Raises:
        InputError: if the device is not the table's.
        MnasError: if it is not available.
    """
    if not options.table:
        return None
    where, binary = options.measure_finalists, options.benchmark_binary
    meter = open_meter(options.table[0], where, folder, benchmark_binary=binary, wait_minutes=options.wait)
    if meter is None:
        return None
    budget = objective.budgets[0]

    def tighter(budget_ms: float, first_number: int) -> list[Trial]:
        costs = priced(objective.budgets)
        score = AdditiveScore(objective.evaluator.additive_scores, [(costs[0][0], budget_ms), *costs[1:]])
        found: list[Trial] = []
        try:
            networks = Exact(space, feasible=objective.is_feasible, score=score).ask(options.confirmed)
        except NoSolutionError:  # no network is that fast
            networks = []
        for number, network in enumerate(dict.fromkeys(networks), first_number):
            found.append(objective.evaluate(number, network))
        return found

    return MeasuredChoice(meter, budget.limit, budget.measure, tighter)
