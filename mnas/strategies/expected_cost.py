"""The expectation of a cost over independent decisions, and its derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
import numpy.typing as npt

from mnas.space.costs import SpaceCosts

Array = npt.NDArray[np.float64]


class ExpectedCost:
    """A cost's expectation when every decision is drawn by itself.

    Exact for what is a sum over blocks. A factor for the whole network (`SpaceCosts.scaling`) is taken at the expected
    amount: exact where every decision is certain, to first order elsewhere.
    """

    def __init__(self, costs: SpaceCosts) -> None:
        self._sum = _ExpectedSum(costs)
        self._scaling = None
        if costs.scaling is not None:
            amounts, curve = costs.scaling
            self._scaling = _ExpectedSum(amounts), np.array(curve, dtype=np.float64)

    def __call__(self, shares: Sequence[Array]) -> tuple[float, list[Array]]:
        """Return the expectation, and its derivative by the probability of every choice.

        Args:
            shares: the probabilities of every decision's choices, shape (choices,) each.
        """
        total, slopes = self._sum(shares)
        if self._scaling is None:
            return total, slopes
        amounts, curve = self._scaling
        amount, by_share = amounts(shares)
        factor, slope = _on_curve(curve, amount)
        return total * factor, [
            own * factor + total * slope * other for own, other in zip(slopes, by_share, strict=True)
        ]


class _ExpectedSum:
    """The expectation of a sum over blocks, and over the resolution where the space has several."""

    def __init__(self, costs: SpaceCosts) -> None:
        self._has_resolutions = bool(costs.space.resolutions)
        self._sums = [_ExpectedStages(costs, index) for index in range(len(costs.space.input_sizes))]

    def __call__(self, shares: Sequence[Array]) -> tuple[float, list[Array]]:
        if not self._has_resolutions:
            return self._sums[0](shares)
        *others, sizes = shares
        found = [expected(others) for expected in self._sums]
        totals = np.array([total for total, _ in found])
        slopes = [sizes @ np.stack(each) for each in zip(*(slopes for _, slopes in found), strict=True)]
        return float(sizes @ totals), [*slopes, totals]


class _ExpectedStages:
    """The expectation at one resolution: each stage depends on its decisions and the filters before it."""

    def __init__(self, costs: SpaceCosts, resolution_index: int) -> None:
        self._stem, stages, self._head = costs.factors(resolution_index)
        self._radices = [table.shape[1:] for table in stages]
        self._tables = [table.reshape(len(table), -1) for table in stages]  # (filters before, combinations)
        self._filters = [  # (combinations, filters): 1 where a combination ends with these
            np.array(
                [[stage.stage(values).block.filters == count for count in stage.filters] for values in combined]
            ).astype(np.float64)
            for stage, combined in ((stage, stage.combinations()) for stage in costs.space.stages)
        ]

    def __call__(self, shares: Sequence[Array]) -> tuple[float, list[Array]]:
        rest = iter(shares)
        own = [[next(rest) for _ in radices] for radices in self._radices]
        joint = [reduce(np.multiply.outer, decisions).ravel() for decisions in own]
        total, before = float(self._stem), np.ones(1)
        each = []  # of every stage: what its combinations cost after the filters before
        for table, combined, filters in zip(self._tables, joint, self._filters, strict=True):
            each.append(before @ table)
            total += float(each[-1] @ combined)
            before = combined @ filters
        total += float(before @ self._head)
        slopes: list[Array] = []
        after = self._head  # what the filters after a stage cost from there on
        for place in reversed(range(len(own))):
            by_joint = (each[place] + self._filters[place] @ after).reshape(self._radices[place])
            slopes[:0] = [_without(by_joint, own[place], decision) for decision in range(len(own[place]))]
            after = self._tables[place] @ joint[place]
        return total, slopes


def _without(by_joint: Array, decisions: Sequence[Array], kept: int) -> Array:
    """The expectation over all decisions of a stage but one."""
    left = np.moveaxis(by_joint, kept, 0)
    for share in reversed([share for place, share in enumerate(decisions) if place != kept]):
        left = left @ share
    return left


def _on_curve(curve: Array, amount: float) -> tuple[float, float]:
    """The value and the slope of a curve of points, linear between them and constant outside."""
    at, values = curve.T
    place = int(np.searchsorted(at, amount))
    inside = 0 < place < len(at)
    slope = (values[place] - values[place - 1]) / (at[place] - at[place - 1]) if inside else 0.0
    return float(np.interp(amount, at, values)), float(slope)
