"""Rewards and restarts of policies that learn from predictions, thousands of trials, to meet budgets on latency."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mnas.errors import InputError
from mnas.trial import Trial

_FIRST = 0.3  # weight of latency that a policy begins with
_STEP = 0.05  # logarithm of the largest change of the weight with a batch
_FULL = 0.1  # expected relative excess from which the change is the largest
_AHEAD = 10  # batches
_DECAY = 0.9  # of the moving averages of excess and trend, at each batch
_SETTLED = 0.02  # share of a uniform policy's entropy below which a policy proposes near-copies
_FEW = 0.1  # share of the last batches within the budgets, below which a policy has settled beyond them
_RECENT = 5  # batches


class DualAscent:
    """Weighs latency in the reward by dual ascent, and says when a policy has settled.

    A reward is an accuracy and what latency changes in it. No fixed weight of the second part is right for every space:
    with a small one policies settle beyond the budget, where accuracy rises faster with latency than the reward takes
    away, and with a large one they take what is fast, such as a small resolution, before they know what it costs.
    So the weight is a Lagrange multiplier: it begins at 0.3 of the reward's own, rises by 5 % a batch while candidates
    exceed a budget, and falls back while they do not. It follows the excess that is expected ten batches ahead, so that
    it does not rise on while latencies fall (derivative control, Stooke et al. 2020, "Responsive safety in
    reinforcement learning by PID Lagrangian methods").

    A settled policy proposes near-copies, and where it settles is partly chance. The trials that are left are for
    another one, which begins anew: with the same weight if the last one settled beyond the budgets.

    Args:
        budgets_ms: one for each latency table of the trials.
        max_entropy: of a uniform policy, in nats.

    Attributes:
        weight: of latency in the reward, relative to the reward's own.
    """

    def __init__(self, budgets_ms: Sequence[float], max_entropy: float) -> None:
        self._budgets_ms = tuple(budgets_ms)
        self._max_entropy = max_entropy
        self._begin(_FIRST)

    def _begin(self, weight: float) -> None:
        self.weight = weight
        self._excess: float | None = None  # moving averages; of the trend too
        self._trend = 0.0
        self._shares_within: list[float] = []  # of the last batches

    def reward(self, trial: Trial) -> float:
        """Return the accuracy and the weighted rest of a trial's reward.

        Raises:
            InputError: if the trial has no measurement.
        """
        if trial.measurement is None or trial.reward is None:
            raise InputError(f"trial {trial.number} has no measurement: its latency is needed for the budgets")
        return trial.measurement.accuracy + self.weight * (trial.reward - trial.measurement.accuracy)

    def update(self, trials: Sequence[Trial], entropy: float) -> bool:
        """Learn from a batch; return whether the policy has settled, and another one has to begin.

        Args:
            trials: the batch, all with measurements.
            entropy: the policy's on this batch, in nats.

        Raises:
            InputError: if a trial has not one latency for each budget.
        """
        if not self._budgets_ms:
            return False
        excesses = [self._relative_excess(trial) for trial in trials]
        self._shares_within = [*self._shares_within, sum(each <= 0 for each in excesses) / len(excesses)][-_RECENT:]
        self._follow(math.fsum(excesses) / len(excesses))
        if entropy >= _SETTLED * self._max_entropy:
            return False
        is_beyond = math.fsum(self._shares_within) < _FEW * len(self._shares_within)
        self._begin(self.weight if is_beyond else _FIRST)
        return True

    def _follow(self, excess: float) -> None:
        """Change the weight with the expected excess."""
        before = excess if self._excess is None else self._excess
        self._excess = _DECAY * before + (1 - _DECAY) * excess
        self._trend = _DECAY * self._trend + (1 - _DECAY) * (self._excess - before)
        expected = self._excess + _AHEAD * self._trend
        change = max(-1.0, min(1.0, expected / _FULL))
        self.weight = max(_FIRST, self.weight * math.exp(_STEP * change))

    def _relative_excess(self, trial: Trial) -> float:
        """The largest of latency over budget, less 1."""
        latencies_ms = () if trial.measurement is None else trial.measurement.latencies_ms
        if len(latencies_ms) != len(self._budgets_ms):
            raise InputError(
                f"trial {trial.number} has {len(latencies_ms)} latencies and the strategy {len(self._budgets_ms)} "
                "budgets: expected one budget for each latency"
            )
        return max(ms / budget_ms - 1 for ms, budget_ms in zip(latencies_ms, self._budgets_ms, strict=True))
