"""From whole networks' latencies to operators' latencies: Gaussian regression around a parametric prior.

A network's latency is the sum of its operators' plus an overhead. A space has more operators than one wants to measure
networks, so each operator starts from a prior: for each kind a line in multiply-adds, elements and weights
(non-negative least squares). Operators deviate from it, similar ones alike. Conditioning on the measured sums gives
every operator a mean and a covariance, seen or not. These are Gaussian processes with linear observations (Rasmussen
and Williams 2006, eq. 2.23 and 2.24); how far operators deviate is chosen by the marginal likelihood (eq. 2.30).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from mnas.arch.complexity import layer_complexity
from mnas.arch.spec import Architecture
from mnas.arch.walk import Layer, layers, unroll
from mnas.errors import InputError

Array = npt.NDArray[np.float64]
_SMOOTH = (0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8)  # deviation shared by similar operators, as a fraction of the prior
_OWN = (0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4)  # deviation of each operator by itself
_NOISE = (0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.045)  # of a network's measured latency, as a fraction
_LENGTH = 0.7  # over which similarity falls off, in natural logarithms of size and filters
_OVERHEAD = 0.05  # deviation of the overhead from the prior's, as a fraction of a mean network
_TILES = (16, 32)  # filters that vector kernels compute at a time, whether they are needed or not
_RIDGE = 1e-2
_MOST_FOR_EVIDENCE = 400


@cache
def canonical(layer: Layer) -> Layer:
    """The operator apart from its place in a block: layers that run one kernel on the same shapes become equal."""
    role = layer.role if layer.kind == "mean" else layer.kind  # the last mean drops two dimensions, others keep them
    place = (layer.in_size, layer.in_filters, layer.filters, layer.kernel_size, layer.stride)
    return Layer(role, layer.kind, (), *place, layer.activation)


def count_operators(architecture: Architecture) -> Counter[Layer]:
    """How often each operator occurs in a network."""
    return Counter(canonical(layer) for placed in unroll(architecture) for layer in layers(placed))


@dataclass(frozen=True)
class OperatorModel:
    """What was learned of each operator.

    Attributes:
        operators: where each stands in the arrays.
        mean_ms: shape (number of operators,).
        covariance_ms2: shape (number of operators, number of operators).
        overhead_ms: of every network; below zero where large networks take more than the sum of their operators.
        noise: deviation of a measured network from the sum of its operators, as a fraction.
        seen: in how many measured networks each operator occurs.
    """

    operators: dict[Layer, int]
    mean_ms: Array
    covariance_ms2: Array
    overhead_ms: float
    noise: float
    seen: npt.NDArray[np.intp]

    def total(self, counts: Counter[Layer]) -> tuple[float, float, int]:
        """Sum of some operators: mean in ms, standard deviation in ms, and the fewest networks that any was seen in."""
        where = np.array([self.operators[layer] for layer in counts])
        times = np.array(list(counts.values()), dtype=np.float64)
        variance = times @ self.covariance_ms2[np.ix_(where, where)] @ times
        return float(times @ self.mean_ms[where]), float(np.sqrt(max(variance, 0.0))), int(self.seen[where].min())


def fit_operators(
    architectures: Sequence[Architecture], latency_ms: Sequence[float], operators: Sequence[Layer]
) -> OperatorModel:
    """Learn operators' latencies from whole networks.

    Args:
        architectures: measured networks.
        latency_ms: what they took.
        operators: canonical layers to learn, at least all that occur in the networks.

    Raises:
        InputError: for fewer than two networks.
    """
    if len(architectures) < 2:
        raise InputError(f"a fit needs at least 2 measured networks; got {len(architectures)}")
    index = {layer: position for position, layer in enumerate(operators)}
    counts = np.zeros((len(architectures), len(index)))
    for row, architecture in enumerate(architectures):
        for layer, times in count_operators(architecture).items():
            counts[row, index[layer]] = times
    measured = np.asarray(latency_ms, dtype=np.float64)
    prior, overhead = _prior(counts, measured, operators)
    smooth = prior[:, None] * _similarity(operators) * prior
    own = prior**2
    residual = measured - counts @ prior - overhead
    loose = np.full((len(measured), len(measured)), (_OVERHEAD * float(measured.mean())) ** 2)
    parts = (counts @ smooth @ counts.T, (counts * own) @ counts.T, np.diag(measured**2), loose)
    few = slice(0, _MOST_FOR_EVIDENCE)  # enough for three numbers
    fewer = tuple(part[few, few] for part in parts)
    weights = _climb(lambda weights: _evidence(residual[few], fewer, weights))
    solved = np.linalg.inv(_combine(parts, weights))
    covariance = weights[0] ** 2 * smooth + weights[1] ** 2 * np.diag(own)
    gain = covariance @ counts.T
    return OperatorModel(
        operators=index,
        mean_ms=np.maximum(prior + gain @ (solved @ residual), 0.05 * prior),
        covariance_ms2=covariance - gain @ solved @ gain.T,
        overhead_ms=overhead + float(loose[0] @ solved @ residual),
        noise=weights[2],
        seen=(counts > 0).sum(axis=0),
    )


def _combine(parts: tuple[Array, ...], weights: tuple[float, ...]) -> Array:
    result: Array = np.sum([weight**2 * part for weight, part in zip(weights, parts, strict=True)], axis=0)
    return result


def _climb(score: Callable[[tuple[float, ...]], float]) -> tuple[float, ...]:
    """The weights with the highest score, one step of the grid at a time; the score has one summit in practice."""
    grid = (_SMOOTH, _OWN, _NOISE, (1.0,))
    scored = cache(lambda place: score(tuple(axis[i] for axis, i in zip(grid, place, strict=True))))
    best = tuple(len(axis) // 2 for axis in grid)
    while True:
        around = [(*best[:i], best[i] + step, *best[i + 1 :]) for i in range(len(grid)) for step in (-1, 1)]
        inside = [place for place in around if all(0 <= p < len(axis) for p, axis in zip(place, grid, strict=True))]
        better = max(inside, key=scored)
        if scored(better) <= scored(best):
            return tuple(axis[i] for axis, i in zip(grid, best, strict=True))
        best = better


def _evidence(residual: Array, parts: tuple[Array, ...], weights: tuple[float, ...]) -> float:
    """The log marginal likelihood, up to a constant."""
    factor = np.linalg.cholesky(_combine(parts, weights))
    scaled = np.linalg.solve(factor, residual)
    return float(-0.5 * scaled @ scaled - np.log(np.diag(factor)).sum())


def _group(layer: Layer) -> tuple[object, ...]:
    """Operators that run the same code, and so share a prior line."""
    vector = layer.in_size == 1 or layer.kind == "dense"  # a matrix times one vector
    return (layer.role, layer.kernel_size, layer.stride, layer.activation, vector)


def _features(layer: Layer) -> Array:
    """Shape (9,): what a prior line is drawn through.

    One; elements read and weights; multiply-adds and elements written, each for the filters as they are and rounded up
    to whole tiles; all in thousands but the first.
    """
    cost = layer_complexity(layer)
    read, written = layer.in_size**2 * layer.in_filters, layer.out_size**2 * layer.filters
    waste = [1.0, *(-(-layer.filters // tile) * tile / layer.filters for tile in _TILES)]
    scaled = [work * factor for work in (cost.madds, written) for factor in waste]
    return np.array([1000.0, read, cost.params, *scaled]) / 1000.0


def _prior(counts: Array, measured: Array, operators: Sequence[Layer]) -> tuple[Array, float]:
    """Each operator's latency by its kind's line, and the overhead, in ms; all positive."""
    groups = {group: number for number, group in enumerate(dict.fromkeys(_group(layer) for layer in operators))}
    width = len(_features(operators[0]))
    basis = np.zeros((len(operators), width * len(groups)))
    for row, layer in enumerate(operators):
        start = width * groups[_group(layer)]
        basis[row, start : start + width] = _features(layer)
    design = np.column_stack([counts @ basis, np.ones(len(measured))])
    scale = np.maximum(design.max(axis=0), 1e-12)
    solution = _non_negative_least_squares(design / scale / measured[:, None], np.ones(len(measured))) / scale
    prior = basis @ solution[:-1]
    # An operator whose line came out as nothing costs something all the same: a small share of a typical one.
    return np.maximum(prior, 0.02 * float(np.median(prior[prior > 0]))), float(solution[-1])


def _non_negative_least_squares(design: Array, target: Array) -> Array:
    """Ridge-regularised, by active sets (Lawson and Hanson 1974, algorithm 23.10)."""
    gram = design.T @ design + _RIDGE**2 * np.eye(design.shape[1])
    wanted = design.T @ target
    solution = np.zeros(len(wanted))
    free = np.zeros(len(wanted), dtype=bool)
    for _ in range(10 * len(wanted)):
        gradient = np.where(free, -np.inf, wanted - gram @ solution)
        if gradient.max() <= 1e-9:
            break
        free[int(np.argmax(gradient))] = True
        while True:
            trial = np.zeros(len(wanted))
            trial[free] = np.linalg.solve(gram[np.ix_(free, free)], wanted[free])
            if trial[free].min() > 0:
                solution = trial
                break
            crossing = free & (trial <= 0)
            step = float((solution[crossing] / (solution[crossing] - trial[crossing])).min())
            solution += step * (trial - solution)
            free &= solution > 1e-12
    return solution


def _similarity(operators: Sequence[Layer]) -> Array:
    """Shape (n, n): 1 for operators alike, 0 for those of different groups; squared exponential in between."""
    names = list(dict.fromkeys(_group(layer) for layer in operators))
    groups = np.array([names.index(_group(layer)) for layer in operators])
    places = np.log([[layer.in_size, layer.in_filters, layer.filters] for layer in operators])
    distance = ((places[:, None] - places) ** 2).sum(axis=2)
    result: Array = np.where(groups[:, None] == groups, np.exp(-0.5 * distance / _LENGTH**2), 0.0)
    return result
