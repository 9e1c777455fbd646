"""Whether a search beat random search at equal cost, with the uncertainty of one run of each.

Both winners were selected by the reward of one training, so these rewards are biased upwards. If the evaluator has a
seed, both are retrained a few times with new seeds, and the difference of the means gets Welch's t interval. Otherwise
the trials are resampled: a lead that depends on one lucky trial is missing in a third of the resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from mnas.arch.codec import architecture_from_dict
from mnas.arch.walk import unroll
from mnas.statistics import top_interval, welch_interval
from mnas.trial import Trial


@dataclass(frozen=True, slots=True)
class Verdict:
    """The search's winner against random search's.

    Attributes:
        difference: the search's reward minus random search's.
        interval: its 95 % interval.
        how: the method of the interval, in words.
        rewards: of the search's winner in each retraining.
        baseline_rewards: of random search's winner.
    """

    difference: float
    interval: tuple[float, float]
    how: str
    rewards: tuple[float, ...] = ()
    baseline_rewards: tuple[float, ...] = ()

    @property
    def beaten(self) -> bool:
        """Whether the interval is above zero."""
        return self.interval[0] > 0

    def sentence(self, strategy: str) -> str:
        """The verdict as a sentence."""
        low, high = self.interval
        numbers = f"{self.difference:+.4f} reward, 95 % interval {low:+.4f} to {high:+.4f} {self.how}"
        if self.beaten:
            return f"{strategy} beat random search at equal cost: {numbers}."
        if high < 0 or self.difference <= 0:
            return f"{strategy} did NOT beat random search at equal cost: {numbers}."
        return f"{strategy} did NOT surely beat random search at equal cost, the lead is within the noise: {numbers}."


def compare_to_baseline(
    best: dict[str, Any],
    found: dict[str, Any],
    trials: Sequence[Trial],
    drawn: Sequence[Trial],
    repeats: Sequence[Trial],
) -> Verdict:
    """Compare a finished search with its random baseline.

    Args:
        best: the search's winner, as in best.json.
        found: random search's, as in baseline_best.json.
        trials: the search's trials.
        drawn: random search's.
        repeats: retrainings of both winners, and perhaps of earlier ones.
    """
    own, chance = (_rewards(repeats, winner) for winner in (best, found))
    if min(len(own), len(chance)) >= 2 and best["architecture"] != found["architecture"]:
        how = f"(Welch, {len(own)} retrainings of each winner)"
        return Verdict(fmean(own) - fmean(chance), welch_interval(own, chance), how, tuple(own), tuple(chance))
    difference = best["reward"] - found["reward"]
    low, high = top_interval(_distinct(trials), _distinct(drawn))
    how = "(both searches' trials resampled)"
    return Verdict(difference, (min(low, difference), max(high, difference)), how)


def _rewards(repeats: Sequence[Trial], winner: dict[str, Any]) -> list[float]:
    network = unroll(architecture_from_dict(winner["architecture"]))
    return [t.reward for t in repeats if t.reward is not None and unroll(t.architecture) == network]


def _distinct(trials: Sequence[Trial]) -> list[float]:
    return list({unroll(trial.architecture): trial.reward for trial in trials if trial.reward is not None}.values())
