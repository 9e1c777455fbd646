"""From whole networks' latencies to operators' latencies: Gaussian regression around a parametric prior.

A network's latency is the sum of its operators' plus an overhead. A space has more operators than one wants to measure
networks, so each operator starts from a prior: for each kind a line in multiply-adds, elements and weights
(non-negative least squares). Operators deviate from it, similar ones alike. Conditioning on the measured sums gives
every operator a mean and a covariance, seen or not. These are Gaussian processes with linear observations (Rasmussen
and Williams 2006, eq. 2.23 and 2.24); how far operators deviate is chosen by the marginal likelihood (eq. 2.30).

Not everything adds up: the more weights a network has, the fewer stay in the caches from one image to the next, and
every operator waits longer. So the sum has a factor that bends with the network's parameters, found in a first pass.
On the machine this was written on it took the error from 2.8 % to 1.9 %; letting blocks or pairs of operators deviate
by themselves did nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from mnas.arch.complexity import complexity, layer_complexity
from mnas.arch.spec import Architecture
from mnas.arch.walk import Layer, layers, unroll
from mnas.errors import InputError
from mnas.statistics import Array

_SMOOTH = (0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8)  # deviation shared by similar operators, as a fraction of the prior
_OWN = (0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4)  # deviation of each operator by itself
_NOISE = (0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.045)  # of a network's measured latency, as a fraction
_LENGTH = 0.7  # over which similarity falls off, in natural logarithms of size and filters
_BEND = 0.1  # deviation of each hinge of the factor
_LEAST = 0.05  # of its prior, that an operator takes at the least
_OVERHEAD = 0.05  # deviation of the overhead from the prior's, as a fraction of a mean network
_TILES = (16, 32)  # filters that vector kernels compute at a time, whether they are needed or not
_MOST_FOR_EVIDENCE = 400
_RIDGE = 1e-2  # of the least squares, against columns that a few networks cannot tell apart


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
    """What was learned of each operator, and of networks as wholes.

    Attributes:
        operators: where each stands in the arrays.
        mean_ms: shape (number of operators,).
        covariance_ms2: shape (number of operators, number of operators).
        overhead_ms: of every network; below zero where large networks take more than the sum of their operators.
        curve: points (parameters, factor on the sum), see `LatencyTable.params_curve`.
        noise: deviation of a measured network from the sum of its operators, as a fraction.
        seen: in how many measured networks each operator occurs.
    """

    operators: dict[Layer, int]
    mean_ms: Array
    covariance_ms2: Array
    overhead_ms: float
    curve: tuple[tuple[float, float], ...]
    noise: float
    seen: npt.NDArray[np.intp]

    def total(self, counts: Counter[Layer]) -> tuple[float, float, int]:
        """Sum of some operators: mean in ms, standard deviation in ms, and the fewest networks that any was seen in."""
        where = np.array([self.operators[layer] for layer in counts])
        times = np.array(list(counts.values()), dtype=np.float64)
        variance = times @ self.covariance_ms2[np.ix_(where, where)] @ times
        return float(times @ self.mean_ms[where]), float(np.sqrt(max(variance, 0.0))), int(self.seen[where].min())


def fit_operators(
    architectures: Sequence[Architecture],
    latency_ms: Sequence[float],
    operators: Sequence[Layer],
    *,
    num_bursts: Sequence[int] | None = None,
) -> OperatorModel:
    """Learn operators' latencies from whole networks.

    Args:
        architectures: measured networks.
        latency_ms: what they took.
        operators: canonical layers to learn, at least all that occur in the networks.
        num_bursts: how many quiet bursts each latency rests on, for its share in the noise; by default all the same.

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
    params = np.array([complexity(architecture).params for architecture in architectures], dtype=np.float64)
    noise = _relative_noise(num_bursts, len(measured))
    similarity = _similarity(operators)
    curve = _curve(_solve(counts, measured, noise, operators, similarity, params), params)
    points = np.array(curve)
    unbent = measured / np.interp(params, points[:, 0], points[:, 1])
    flat = _solve(counts, unbent, noise, operators, similarity, None)
    mean, covariance = flat.operators()
    return OperatorModel(
        operators=index,
        mean_ms=mean,
        covariance_ms2=covariance,
        overhead_ms=flat.overhead_ms(),
        curve=curve,
        noise=flat.weights[2],
        seen=(counts > 0).sum(axis=0),
    )


@dataclass(frozen=True)
class _Solution:
    """A Gaussian regression, solved: what is needed to read any part of its posterior."""

    counts: Array
    prior: Array
    similarity: Array
    overhead: float
    weights: tuple[float, ...]
    hinges: Array  # shape (networks, knots); how the factor may bend with the parameters
    inverse: Array  # of the covariance of the measurements
    alpha: Array  # that inverse times the residual
    loose: float  # variance of the overhead

    def operators(self) -> tuple[Array, Array]:
        """Mean and covariance of the operators' latencies."""
        smooth, own = self.weights[:2]
        covariance = smooth**2 * self.prior[:, None] * self.similarity * self.prior + own**2 * np.diag(self.prior**2)
        gain = covariance @ self.counts.T
        mean = np.maximum(self.prior + gain @ self.alpha, _LEAST * self.prior)
        return mean, covariance - gain @ self.inverse @ gain.T

    def overhead_ms(self) -> float:
        """Of every network."""
        return self.overhead + self.loose * float(self.alpha.sum())

    def bends(self) -> Array:
        """Shape (knots,): the coefficients of the hinges."""
        effect = self.hinges * (self.counts @ self.prior)[:, None]
        result: Array = _BEND**2 * effect.T @ self.alpha
        return result


def _relative_noise(num_bursts: Sequence[int] | None, count: int) -> Array:
    """Deviations of measurements against the best of them: a variance falls with the number of bursts."""
    bursts = np.ones(count) if num_bursts is None else np.maximum(np.asarray(num_bursts, dtype=np.float64), 1.0)
    result: Array = np.sqrt(bursts.max() / bursts)
    return result


def _solve(
    counts: Array,
    measured: Array,
    noise: Array,
    operators: Sequence[Layer],
    similarity: Array,
    params: Array | None,
) -> _Solution:
    """Condition on the measured networks; with `params`, the factor may bend with them."""
    prior, overhead = _prior(counts, measured, operators)
    total = counts @ prior
    smooth = prior[:, None] * similarity * prior
    loose = (_OVERHEAD * float(measured.mean())) ** 2
    hinges: Array = np.zeros((len(measured), 1)) if params is None else _hinges(params, _knots(params))
    effect = hinges * total[:, None]
    fixed = loose + _BEND**2 * effect @ effect.T
    parts = (counts @ smooth @ counts.T, (counts * prior**2) @ counts.T, np.diag((measured * noise) ** 2), fixed)
    residual = measured - total - overhead
    few = slice(0, _MOST_FOR_EVIDENCE)  # enough for three numbers
    fewer = tuple(part[few, few] for part in parts)
    weights = _climb(lambda weights: _evidence(residual[few], fewer, weights))
    inverse = np.asarray(np.linalg.inv(_combine(parts, weights)), dtype=np.float64)
    return _Solution(counts, prior, similarity, overhead, weights, hinges, inverse, inverse @ residual, loose)


def _knots(params: Array) -> Array:
    """Numbers of parameters between which the factor is a line: quantiles of what was measured."""
    return np.unique(np.quantile(params, [0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 0.97]))


def _hinges(params: Array, knots: Array) -> Array:
    """Shape (networks, knots): each rises in a line to 1 at its knot, and stays there."""
    result: Array = np.minimum(params[:, None] / knots, 1.0)
    return result


def _curve(solution: _Solution, params: Array) -> tuple[tuple[float, float], ...]:
    """The factor at the knots and at both ends, scaled to 1 for the median network."""
    knots = _knots(params)
    points = np.unique(np.concatenate([[params.min()], knots]))
    factors = 1.0 + _hinges(points, knots) @ solution.bends()
    factors = np.clip(factors / np.interp(np.median(params), points, factors), 0.5, 2.0)
    return tuple((float(round(at)), float(factor)) for at, factor in zip(points, factors, strict=True))


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


def operator_group(layer: Layer) -> tuple[object, ...]:
    """Operators that run the same code, and so share a prior line."""
    vector = layer.in_size == 1 or layer.kind == "dense"  # a matrix times one vector
    return (layer.role, layer.kernel_size, layer.stride, layer.activation, vector)


def line_features(layer: Layer) -> Array:
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
    groups = {group: number for number, group in enumerate(dict.fromkeys(operator_group(layer) for layer in operators))}
    width = len(line_features(operators[0]))
    basis = np.zeros((len(operators), width * len(groups)))
    for row, layer in enumerate(operators):
        start = width * groups[operator_group(layer)]
        basis[row, start : start + width] = line_features(layer)
    design = np.column_stack([counts @ basis, np.ones(len(measured))])
    scale = np.maximum(design.max(axis=0), 1e-12)
    solution = non_negative_least_squares(design / scale / measured[:, None], np.ones(len(measured))) / scale
    prior = basis @ solution[:-1]
    # An operator whose line came out as nothing costs something all the same: a small share of a typical one.
    return np.maximum(prior, 0.02 * float(np.median(prior[prior > 0]))), float(solution[-1])


def non_negative_least_squares(design: Array, target: Array) -> Array:
    """Ridge-regularised least squares with coefficients that cannot be negative, as times cannot.

    Args:
        design: shape (count, coefficients).
        target: shape (count,).

    Returns:
        Shape (coefficients,).
    """
    from scipy.optimize import nnls

    count = design.shape[1]
    solution, _ = nnls(
        np.vstack([design, _RIDGE * np.eye(count)]), np.append(target, np.zeros(count)), maxiter=10 * count
    )
    result: Array = solution
    return result


def _similarity(operators: Sequence[Layer]) -> Array:
    """Shape (n, n): 1 for operators alike, 0 for those of different groups; squared exponential in between."""
    names = list(dict.fromkeys(operator_group(layer) for layer in operators))
    groups = np.array([names.index(operator_group(layer)) for layer in operators])
    places = np.log([[layer.in_size, layer.in_filters, layer.filters] for layer in operators])
    distance = ((places[:, None] - places) ** 2).sum(axis=2)
    result: Array = np.where(groups[:, None] == groups, np.exp(-0.5 * distance / _LENGTH**2), 0.0)
    return result
