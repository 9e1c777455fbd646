"""Whether a search beat random search at equal cost, with the uncertainty that one run of each leaves.

Both winners were picked for the reward that one training gave them, so those rewards flatter them. Where the evaluator
can be seeded anew, both are trained again a few times with fresh seeds, and the difference of the means is judged
by Welch's t interval. Where it cannot, the trials themselves are resampled: if the search's lead rests on one lucky
trial, it is gone in a third of the resamples.
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
        difference: of the rewards, the search's less random search's.
        interval: the 95 % interval of that difference.
        how: what the interval is made of.
        rewards: of the search's winner, one a fresh training; empty without any.
        baseline_rewards: of random search's winner.
    """

    difference: float
    interval: tuple[float, float]
    how: str
    rewards: tuple[float, ...] = ()
    baseline_rewards: tuple[float, ...] = ()

    @property
    def beaten(self) -> bool:
        """Whether the interval says that the search is better."""
        return self.interval[0] > 0

    def sentence(self, strategy: str) -> str:
        """The verdict in plain words."""
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
    """The verdict on a finished search.

    Args:
        best: the search's winner, as in best.json.
        found: random search's, as in baseline_best.json.
        trials: the search's trials.
        drawn: random search's.
        repeats: fresh trainings of both winners, and perhaps of former ones.
    """
    own, chance = (_rewards(repeats, winner) for winner in (best, found))
    if min(len(own), len(chance)) >= 2 and best["architecture"] != found["architecture"]:
        how = f"(Welch, {len(own)} fresh trainings of each winner)"
        return Verdict(fmean(own) - fmean(chance), welch_interval(own, chance), how, tuple(own), tuple(chance))
    difference = best["reward"] - found["reward"]
    low, high = top_interval(_distinct(trials), _distinct(drawn))
    how = "(both searches' trials resampled)"
    return Verdict(difference, (min(low, difference), max(high, difference)), how)


def _rewards(repeats: Sequence[Trial], winner: dict[str, Any]) -> list[float]:
    network = unroll(architecture_from_dict(winner["architecture"]))
    return [t.reward for t in repeats if t.reward is not None and unroll(t.architecture) == network]


def _distinct(trials: Sequence[Trial]) -> list[float]:
    """The reward of every different network."""
    return list({unroll(trial.architecture): trial.reward for trial in trials if trial.reward is not None}.values())
