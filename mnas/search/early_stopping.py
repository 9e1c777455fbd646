"""Successive halving: candidates that are hopeless at an early rung of their training are not trained to the end.

At every rung but the last, a candidate goes on if its reward there is among the best third of what the trials before
its batch had at that rung (the stopping rule of asynchronous successive halving, Li et al. 2020). A strategy that
learns proposes better and better candidates, so that in a search rather a half of them goes on.

Only whole batches before it count: so the rule is the same whichever candidate of a batch is judged first, on how many
machines, and whether the search was interrupted. And only the latest of them count, because what came at the start is
soon beaten by everything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from mnas.reward import RewardValue
from mnas.trial import Measurement, Trial

WINDOW = 30  # of the latest trials at a rung
KEEP = 1 / 3  # of them goes on, if candidates are as good as those before
LEAST = 5  # with fewer trials to compare with, everything goes on


def thresholds(trials: Sequence[Trial], score: Callable[[Measurement], RewardValue]) -> tuple[float, ...]:
    """What a candidate's reward must reach at each rung to be trained further.

    Args:
        trials: those before the candidate's batch, by number.
        score: the search's reward of a measurement, as `Objective.score`.

    Returns:
        One a rung that some trial went on from; -inf where too few have reached it.
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
    """The reward that just belongs to the best `KEEP` of them."""
    return sorted(rewards, reverse=True)[math.ceil(KEEP * len(rewards)) - 1]
