"""The objective of a search: accuracy from an evaluator, latencies from tables, and a reward of both."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from mnas.arch.complexity import complexity
from mnas.arch.spec import Architecture
from mnas.errors import MnasError
from mnas.evaluators.base import Evaluator
from mnas.reward import Reward, RewardValue
from mnas.search.constraints import Constraint, Feasibility
from mnas.trial import Measurement, Trial

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Objective:
    """Evaluates candidates.

    Attributes:
        evaluator: returns the accuracy.
        reward: a function of a measurement and the latency budgets.
        budgets: latency constraints, one for each table and its `budget_ms`: part of the reward; a winner meets them.
        limits: further constraints of a winner, which are not part of the reward.
        thresholds: the reward that a candidate needs at each rung of its training to be trained further.
    """

    evaluator: Evaluator
    reward: Reward
    budgets: Sequence[Constraint] = ()
    limits: Sequence[Constraint] = ()
    thresholds: Sequence[float] = ()

    @property
    def constraints(self) -> list[Constraint]:
        """The constraints of a winner: budgets, then limits."""
        return [*self.budgets, *self.limits]

    @property
    def is_feasible(self) -> Feasibility:
        """Whether an architecture meets every constraint: a function of it."""
        return Feasibility(self.constraints)

    def score(self, measurement: Measurement) -> RewardValue:
        """The reward of a measurement, with its terms."""
        return self.reward(measurement, [budget.limit for budget in self.budgets])

    def evaluate(self, number: int, architecture: Architecture) -> Trial:
        """Evaluate one candidate. Any exception becomes a failed trial, and the search continues."""
        start = time.perf_counter()
        try:
            measurement = self._measure(architecture)
        except Exception as error:  # a user's evaluator may raise anything
            _LOGGER.warning("trial %d failed: %s", number, error, exc_info=_LOGGER.isEnabledFor(logging.DEBUG))
            name = "" if isinstance(error, MnasError) else f"{type(error).__name__}: "
            return Trial(number, architecture, error=f"{name}{error}", seconds=time.perf_counter() - start)
        return self.trial(number, architecture, measurement, seconds=time.perf_counter() - start)

    def _measure(self, architecture: Architecture) -> Measurement:
        """Cost and accuracy; the training ends at the first rung where the reward is below its threshold."""
        latencies_ms = tuple(float(budget.measure(architecture)) for budget in self.budgets)
        cost = complexity(architecture)
        rungs: list[float] = []
        with closing(self.evaluator.rungs(architecture)) as accuracies:
            for accuracy in accuracies:
                rungs.append(float(accuracy))
                found = Measurement(rungs[-1], latencies_ms, cost.params, cost.madds)
                if self._is_unpromising(found, len(rungs) - 1):
                    break
        if not rungs:
            raise MnasError("the evaluator returned no accuracy")
        several = self.evaluator.num_rungs > 1
        return replace(found, rungs=tuple(rungs) if several else ())

    def _is_unpromising(self, found: Measurement, rung: int) -> bool:
        return rung < len(self.thresholds) and self.score(found).value < self.thresholds[rung]

    def trial(self, number: int, architecture: Architecture, measurement: Measurement, *, seconds: float = 0) -> Trial:
        """Make a trial from a known measurement."""
        value = self.score(measurement)
        return Trial(number, architecture, measurement, value.value, value.terms, seconds=seconds)

    def figures(self, trial: Trial) -> list[float]:
        """Return a finished trial's figure for each of `constraints`."""
        latencies_ms = () if trial.measurement is None else trial.measurement.latencies_ms
        return [*latencies_ms, *(limit.measure(trial.architecture) for limit in self.limits)]

    def is_met_by(self, trial: Trial) -> bool:
        """Whether a trial has finished and meets every constraint."""
        if trial.measurement is None:
            return False
        pairs = zip(self.figures(trial), self.constraints, strict=True)
        return all(figure <= constraint.limit for figure, constraint in pairs)
