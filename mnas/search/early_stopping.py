"""Successive halving: the training of unpromising candidates stops at an early rung.

At every rung but the last, a candidate continues if its reward is among the best third of the rewards at that rung of
the trials before its batch (the stopping rule of asynchronous successive halving, Li et al. 2020). A learning strategy
proposes better and better candidates, so that in a search about half of them continue.

Only whole batches count: so the rule does not depend on the order within a batch, the number of machines, or
interruptions. And only the latest trials count, because early ones are soon beaten by all others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from mnas.reward import RewardValue
from mnas.trial import Measurement, Trial

WINDOW = 30  # latest trials at a rung that count
KEEP = 1 / 3  # share of them whose reward is enough to continue
LEAST = 5  # with fewer trials to compare with, every candidate continues


def thresholds(trials: Sequence[Trial], score: Callable[[Measurement], RewardValue]) -> tuple[float, ...]:
    """Return the reward that a candidate needs at each rung to continue.

    Args:
        trials: those before the candidate's batch, by number.
        score: as `Objective.score`.

    Returns:
        One for each rung after which some trial continued; -inf where too few have reached it.
    """
    found = [trial.measurement for trial in trials if trial.measurement is not None]
    most = max((len(measurement.rungs) for measurement in found), default=0)
    limits = []
    for rung in range(most - 1):
        at_rung = [
            score(replace(measurement, accuracy=measurement.rungs[rung])).value
            for measurement in found
            if len(measurement.rungs) > rung
        ]
        limits.append(_least_of_best(at_rung[-WINDOW:]) if len(at_rung) >= LEAST else float("-inf"))
    return tuple(limits)


def _least_of_best(rewards: Sequence[float]) -> float:
    return sorted(rewards, reverse=True)[math.ceil(KEEP * len(rewards)) - 1]
