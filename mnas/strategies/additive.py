"""Scores that are sums over decisions: what exact and differentiable search work on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mnas.space.costs import SpaceCosts

Values = Sequence[npt.NDArray[np.float64]]


@dataclass(frozen=True)
class AdditiveScore:
    """An accuracy that is a sum over a space's decisions, and budgets on latency.

    Attributes:
        values: returns, for each decision of the space, one number per choice, shape (choices,); an architecture's
            score is their sum. Called at the first `ask`, when the evaluator is prepared.
        budgets: for each latency table, the space's latencies and the budget in ms.
    """

    values: Callable[[], Values]
    budgets: Sequence[tuple[SpaceCosts, float]] = ()
