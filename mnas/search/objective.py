"""What a candidate is worth: accuracy from an evaluator, latencies from tables, and one reward of both."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from mnas.arch.complexity import complexity
from mnas.arch.spec import Architecture
from mnas.errors import InputError, MnasError
from mnas.reward import Reward
from mnas.search.limits import Limit
from mnas.space.costs import SpaceCosts
from mnas.train.base import Evaluator
from mnas.trial import Measurement, Trial

_LOGGER = logging.getLogger(__name__)
Latency = Callable[[Architecture], float]


@dataclass(frozen=True)
class Target:
    """A device and what it may take there.

    Attributes:
        latency: from an architecture to ms, e.g. a latency table's estimator.
        budget_ms: the most a winner may take.
        costs: the same latency for whole batches of a space; says what the space can reach.
        unit: what both are in, for messages: comparisons may have multiply-adds in the place of ms.
    """

    latency: Latency
    budget_ms: float
    costs: SpaceCosts | None = None
    unit: str = "ms"

    def check(self) -> None:
        """Refuse a budget that nothing in the space meets.

        Raises:
            InputError: it says what the fastest and the slowest architecture take.
        """
        if not (math.isfinite(self.budget_ms) and self.budget_ms > 0):
            raise InputError(f"the budget is {self.budget_ms} {self.unit}: expected a positive number of {self.unit}")
        if self.costs is None:
            return
        fastest, slowest = self.costs.extreme()[1], self.costs.extreme(largest=True)[1]
        if self.budget_ms < fastest:
            raise InputError(
                f"no architecture of {self.costs.space.name} is within {self.budget_ms:g} {self.unit}: the fastest "
                f"takes {fastest:.4g} {self.unit}, the slowest {slowest:.4g} {self.unit}. Ask for a budget in between, "
                "or search a smaller space"
            )


def fits(targets: Sequence[Target], limits: Sequence[Limit], architecture: Architecture) -> bool:
    """Whether every predicted latency is within its budget, and every limit is kept."""
    return all(target.latency(architecture) <= target.budget_ms for target in targets) and all(
        limit.fits(architecture) for limit in limits
    )


@dataclass(frozen=True)
class Objective:
    """Judges candidates.

    Attributes:
        evaluator: gives the accuracy.
        reward: gives the reward of accuracy and latencies.
        targets: one a latency table, in the order of the reward's targets.
        limits: on what else a winner may take. They are no part of the reward.
        thresholds: the reward that a candidate must reach at each rung of its training to be trained further.
    """

    evaluator: Evaluator
    reward: Reward
    targets: Sequence[Target] = ()
    limits: Sequence[Limit] = ()
    thresholds: Sequence[float] = ()

    def fits(self, architecture: Architecture) -> bool:
        """Whether every predicted latency is within its budget, and every limit is kept."""
        return fits(self.targets, self.limits, architecture)

    def judge(self, number: int, architecture: Architecture) -> Trial:
        """Evaluate one candidate. Whatever goes wrong there becomes a failed trial, and the search goes on."""
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
        latencies_ms = tuple(float(target.latency(architecture)) for target in self.targets)
        cost = complexity(architecture)
        rungs: list[float] = []
        with closing(self.evaluator.rungs(architecture)) as accuracies:
            for accuracy in accuracies:
                rungs.append(float(accuracy))
                found = Measurement(rungs[-1], latencies_ms, cost.params, cost.madds)
                if self._hopeless(found, len(rungs) - 1):
                    break
        if not rungs:
            raise MnasError("the evaluator gave no accuracy")
        several = self.evaluator.num_rungs > 1
        return replace(found, rungs=tuple(rungs) if several else ())

    def _hopeless(self, found: Measurement, rung: int) -> bool:
        return rung < len(self.thresholds) and self.reward(found).value < self.thresholds[rung]

    def trial(self, number: int, architecture: Architecture, measurement: Measurement, *, seconds: float = 0) -> Trial:
        """A trial from a measurement that is known already."""
        value = self.reward(measurement)
        return Trial(number, architecture, measurement, value.value, value.terms, seconds=seconds)

    def within_budget(self, trial: Trial) -> bool:
        """Whether a finished trial's latencies are within every budget, and every limit is kept."""
        found = trial.measurement
        return (
            found is not None
            and all(lat <= target.budget_ms for lat, target in zip(found.latencies_ms, self.targets, strict=True))
            and all(limit.fits(trial.architecture) for limit in self.limits)
        )
