"""What a search with rungs would have seen of candidates whose whole training is known."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from mnas.arch.spec import Architecture
from mnas.reward import make_reward
from mnas.search.early_stopping import thresholds
from mnas.trial import Measurement, Trial


def replay_early_stopping(
    curves: npt.NDArray[np.float64], order: Sequence[int], anything: Architecture, *, batch: int = 10
) -> list[Trial]:
    """One trial a candidate, in the order in which they are met; hopeless ones end at an early rung.

    Args:
        curves: accuracies at every rung, shape (candidates, rungs).
        order: the candidates' numbers.
        anything: stands for every candidate.
        batch: how many are judged before their figures count for the others.
    """
    score, trials = partial(make_reward("absolute"), budgets_ms=()), list[Trial]()
    for start in range(0, len(order), batch):
        limits = thresholds(trials, score)
        for place in order[start : start + batch]:
            curve = curves[place].tolist()
            reached = next((i + 1 for i, limit in enumerate(limits) if curve[i] < limit), len(curve))
            found = Measurement(curve[reached - 1], (), 1, 1, tuple(curve[:reached]))
            trials.append(Trial(len(trials), anything, found, found.accuracy))
    return trials
