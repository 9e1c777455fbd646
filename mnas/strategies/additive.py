"""Scores that are sums over decisions: what exact and differentiable search work on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mnas.errors import InputError
from mnas.space.costs import SpaceCosts
from mnas.space.space import SearchSpace
from mnas.strategies.base import Feasible, Strategy

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

    def values_for(self, space: SearchSpace) -> list[npt.NDArray[np.float64]]:
        """Return the values, checked against a space.

        Raises:
            InputError: if they are of another space.
        """
        values = [np.asarray(own, dtype=np.float64) for own in self.values()]
        counts = [len(decision.choices) for decision in space.decisions]
        if [own.shape for own in values] != [(count,) for count in counts]:
            raise InputError(
                f"the scores have {[len(own) for own in values]} choices: the space {space.name} has {counts}"
            )
        return values


class ScoredStrategy(Strategy):
    """A strategy that works on an additive score, not on trials. See `Strategy` for the other arguments.

    Args:
        score: the accuracy as a sum over decisions, and the budgets.

    Raises:
        InputError: without a score.
    """

    name: str
    needs_preparation = True

    def __init__(
        self,
        space: SearchSpace,
        *,
        seed: int = 0,
        feasible: Feasible | None = None,
        score: AdditiveScore | None = None,
    ) -> None:
        super().__init__(space, seed=seed, feasible=feasible)
        if score is None:
            raise InputError(
                f"the strategy {self.name} needs an accuracy that is a sum over the space's decisions: use it with "
                "--evaluator library --teacher FOLDER"
            )
        self._score = score
