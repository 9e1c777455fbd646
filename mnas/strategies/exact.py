"""Exact search: the best architectures under all budgets, one after the other, by integer programs.

For scores that are sums over decisions (Molchanov et al. 2022, LANA). One binary variable per choice; each budget is a
row; a solution that was proposed is excluded by a cut. A program is solved for every resolution of the space.

A table's factor for the number of parameters is not linear. The range of parameters is divided into parts within which
the factor changes by at most 0.2 %, and each part has a program of its own with the part's largest factor: what is
proposed is always within the budget, and what is missed is at most 0.2 % below it.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.arch.spec import Architecture
from mnas.errors import InputError
from mnas.space.costs import SpaceCosts
from mnas.space.space import SearchSpace
from mnas.strategies.additive import AdditiveScore, ScoredStrategy
from mnas.strategies.base import MAX_REJECTIONS, Feasible, check_count, encode_successful
from mnas.system.native_output import quiet
from mnas.trial import Trial

_LOGGER = logging.getLogger(__name__)
_FACTOR_STEP = 0.002
_MOST_PARTS = 64
Array = npt.NDArray[np.float64]


class NoSolutionError(InputError):
    """No architecture meets every budget."""


class Exact(ScoredStrategy):
    """Proposes the best architecture by the score, then the second best, and so on.

    Trials do not change it. See `Strategy` for the other arguments.

    Args:
        score: the accuracy as a sum over decisions, and the budgets.
    """

    name = "exact"

    def __init__(
        self,
        space: SearchSpace,
        *,
        seed: int = 0,
        feasible: Feasible | None = None,
        score: AdditiveScore | None = None,
    ) -> None:
        super().__init__(space, seed=seed, feasible=feasible, score=score)
        self._solutions: Iterator[Architecture] | None = None
        self._last: Architecture | None = None

    def ask(self, count: int) -> list[Architecture]:
        """The next best architectures; when the space has no more, the last one again.

        Raises:
            NoSolutionError: if no architecture meets the budgets.
        """
        check_count(count)
        if self._solutions is None:
            self._solutions = self._best_first()
        found: list[Architecture] = []
        while len(found) < count:
            self._last = next(self._solutions, self._last)
            if self._last is None:
                raise NoSolutionError(f"no architecture of {self.space.name} meets every limit: raise the limits")
            found.append(self._last)
        return found

    def tell(self, trials: Sequence[Trial]) -> None:
        """Check that the trials are of this space; nothing is learned."""
        encode_successful(self.space, trials)

    def _best_first(self) -> Iterator[Architecture]:
        """All feasible architectures, best first."""
        programs = list(_programs(self.space, self._score))
        heap = [(-solution.score, number, solution) for number, p in enumerate(programs) if (solution := p.solve())]
        heapq.heapify(heap)
        refused = 0
        proposed: set[tuple[int, ...]] = set()
        while heap and refused <= MAX_REJECTIONS:
            _, number, solution = heapq.heappop(heap)
            architecture = self.space.decode(solution.indices)
            if solution.indices in proposed:  # on the border of two ranges of parameters
                pass
            elif self.feasible is None or self.feasible(architecture):
                proposed.add(solution.indices)
                refused = 0
                yield architecture
            else:
                refused += 1
            programs[number].exclude(solution)
            following = programs[number].solve()
            if following is not None:
                heapq.heappush(heap, (-following.score, number, following))
        if refused > MAX_REJECTIONS:
            _LOGGER.warning("%d architectures one after the other break a limit that is not a sum", refused)


@dataclass(frozen=True, order=True)
class _Solution:
    score: float
    indices: tuple[int, ...]


@dataclass
class _Program:
    """One integer program: a resolution, and a range of parameters.

    Attributes:
        values: of the choices of each decision that is free.
        rows: costs of the choices, as `values`, with a lower and an upper limit of their sum.
        constant: added to the score.
        fixed: indices of the decisions that are not free, the last ones.
    """

    values: list[Array]
    rows: list[tuple[list[Array], float, float]]
    constant: float
    fixed: tuple[int, ...]
    cuts: list[tuple[int, ...]] = field(default_factory=list)

    def exclude(self, solution: _Solution) -> None:
        """Add a cut: never this solution again."""
        self.cuts.append(solution.indices[: len(self.values)])

    def solve(self) -> _Solution | None:
        """Return the best solution that is left, or None."""
        from scipy.optimize import Bounds, LinearConstraint, milp
        from scipy.sparse import csr_array

        counts = [len(own) for own in self.values]
        starts = np.concatenate([[0], np.cumsum(counts)])
        constraints: list[Any] = [
            LinearConstraint(csr_array(_one_each(counts)), 1, 1),
            *(LinearConstraint(np.concatenate(costs)[None], low, high) for costs, low, high in self.rows),
        ]
        if self.cuts:
            cut = np.zeros((len(self.cuts), starts[-1]))
            for row, indices in enumerate(self.cuts):
                cut[row, starts[:-1] + np.array(indices)] = 1
            constraints.append(LinearConstraint(csr_array(cut), -math.inf, len(counts) - 1))
        with quiet():  # HiGHS leaves some of its traces in
            result = milp(
                -np.concatenate(self.values),
                integrality=np.ones(starts[-1]),
                bounds=Bounds(0, 1),
                constraints=constraints,
                options={"mip_rel_gap": 0.0},
            )
        if result.x is None:
            return None
        chosen = [int(np.argmax(result.x[low:high])) for low, high in itertools.pairwise(starts)]
        score = self.constant + sum(float(own[index]) for own, index in zip(self.values, chosen, strict=True))
        return _Solution(score, (*chosen, *self.fixed))


def _one_each(counts: Sequence[int]) -> Array:
    """Rows that say: exactly one choice of each decision."""
    rows = np.zeros((len(counts), sum(counts)))
    start = 0
    for row, count in enumerate(counts):
        rows[row, start : start + count] = 1
        start += count
    return rows


def _programs(space: SearchSpace, score: AdditiveScore) -> Iterator[_Program]:
    """A program for every resolution and every part of the range of parameters."""
    values = score.values_for(space)
    for number in range(len(space.input_sizes)):
        several = bool(space.resolutions)
        free = values[:-1] if several else values
        constant = float(values[-1][number]) if several else 0.0
        fixed = (number,) if several else ()
        for rows in _budget_rows(score.budgets, number):
            yield _Program(list(free), rows, constant, fixed)


def _budget_rows(
    budgets: Sequence[tuple[SpaceCosts, float]], resolution: int
) -> Iterator[list[tuple[list[Array], float, float]]]:
    """The rows of all budgets, once for every combination of parts that have a common range."""
    if not budgets:
        yield []
        return
    (costs, budget_ms), *rest = budgets
    base, own = costs.additive(resolution)
    for others in _budget_rows(rest, resolution):
        if costs.scaling is None:
            yield [(own, -math.inf, budget_ms - base), *others]
            continue
        params, curve = costs.scaling
        params_base, params_own = params.additive(resolution)
        least = params_base + sum(float(each.min()) for each in params_own)
        most = params_base + sum(float(each.max()) for each in params_own)
        for low, high, factor in _parts(curve, least, most):
            limits = (params_own, low - params_base, high - params_base)
            if not any(_excludes(limits, row) for row in others):
                yield [(own, -math.inf, budget_ms / factor - base), limits, *others]


def _excludes(one: tuple[list[Array], float, float], other: tuple[list[Array], float, float]) -> bool:
    """Whether two rows limit the same sum to ranges that have a border in common at most."""
    (costs, low, high), (other_costs, other_low, other_high) = one, other
    shared = min(high, other_high) - max(low, other_low)
    border = shared == 0 and low < high and other_low < other_high
    return (shared < 0 or border) and all(map(np.array_equal, costs, other_costs))


def _parts(curve: Sequence[tuple[float, float]], least: float, most: float) -> Iterator[tuple[float, float, float]]:
    """Divide a range of parameters; yield each part's ends and its largest factor."""
    knots, factors = (np.array(column, np.float64) for column in zip(*curve, strict=True))
    inner = knots[(knots > least) & (knots < most)]
    ends = np.array([least, *inner, most])
    for low, high in itertools.pairwise(ends):
        at_low, at_high = np.interp([low, high], knots, factors)
        change = abs(at_high / at_low - 1)
        count = min(_MOST_PARTS, max(1, math.ceil(change / _FACTOR_STEP)))
        borders = np.linspace(low, high, count + 1)
        for start, end in itertools.pairwise(borders):
            yield float(start), float(end), float(max(np.interp([start, end], knots, factors)))
