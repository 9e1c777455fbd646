"""Operators' latencies from whole networks' latencies: Gaussian regression around a parametric prior.

A network's latency is the sum of its operators' latencies and an overhead. A space has more operators than networks can
be measured, so each operator has a prior: for each kind, a line in multiply-adds, elements and weights (non-negative
least squares). Operators deviate from it, similar ones by similar amounts. Conditioning on the measured sums gives
every operator a mean and a covariance, also those that no measured network had. This is a Gaussian process with linear
observations (Rasmussen and Williams 2006, eq. 2.23 and 2.24); the size of the deviations is chosen by the marginal
likelihood (eq. 2.30).

Latencies do not quite add up: the more weights a network has, the fewer stay in the caches from one image to the next,
and every operator waits longer. So the sum has a factor that depends on the network's parameters, fitted in a first
pass. It reduced the error from 2.8 % to 1.9 % on one machine; separate deviations of blocks or pairs of operators did
not help.

A network whose measurement was disturbed is set aside: first those far off the lines of least absolute deviations, then
all that are far from what the other networks predict for them; and only if the others are predicted better without
them, by cross-validation. If there are none, the fit is that of all.
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
from mnas.latency.least_squares import least_deviation_residuals, non_negative_least_squares
from mnas.statistics import Array

_SMOOTH = (0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8)  # deviation shared by similar operators, as a fraction of the prior
_OWN = (0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4)  # deviation of each operator by itself
_NOISE = (0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.045)  # of a network's measured latency, as a fraction
_LENGTH = 0.7  # of the similarity, in natural logarithms of size and filters
_BEND = 0.1  # deviation of each hinge of the factor
_LEAST = 0.05  # of its prior: an operator's lower bound
_OVERHEAD = 0.05  # deviation of the overhead from the prior's, as a fraction of a mean network
_TILES = (16, 32)  # filters that vector kernels compute at a time, needed or not
_MOST_FOR_EVIDENCE = 400
_SUSPECT, _FAR = 4.0, 5.0  # typical deviations from the robust lines, and from the prediction of the other networks
_LEAST_FAR = 0.1  # relative deviation below which no network is an outlier
_MOST_OUTLIERS = 0.1  # share of the networks
_BETTER = 0.9  # error on the other networks over that without outliers, at most
_ASIDE = 100.0  # an outlier's noise is multiplied by it
_ROUNDS = 4  # of choosing outliers
_FOLDS = 4


@cache
def canonical(layer: Layer) -> Layer:
    """Return the operator without its place in a block: layers with the same kernel and shapes are equal."""
    # The last mean drops two dimensions, other means keep them.
    role = layer.role if layer.kind == "mean" else layer.kind
    place = (layer.in_size, layer.in_filters, layer.filters, layer.kernel_size, layer.stride)
    return Layer(role, layer.kind, (), *place, layer.activation)


def count_operators(architecture: Architecture) -> Counter[Layer]:
    """Count a network's operators."""
    return Counter(canonical(layer) for placed in unroll(architecture) for layer in layers(placed))


@dataclass(frozen=True)
class OperatorModel:
    """The fitted latencies of operators.

    Attributes:
        operators: the index of each in the arrays.
        mean_ms: shape (number of operators,).
        covariance_ms2: shape (number of operators, number of operators).
        overhead_ms: of every network; below zero if large networks take more than the sum of their operators.
        curve: points (parameters, factor on the sum), see `LatencyTable.params_curve`.
        seen: number of measured networks with each operator, without those set aside.
        outliers: the places of the networks that were set aside.
        left_out: the logarithm of each network's measured latency over its prediction by the others.
    """

    operators: dict[Layer, int]
    mean_ms: Array
    covariance_ms2: Array
    overhead_ms: float
    curve: tuple[tuple[float, float], ...]
    seen: npt.NDArray[np.intp]
    outliers: tuple[int, ...]
    left_out: Array

    def total(self, counts: Counter[Layer]) -> tuple[float, float, int]:
        """Sum operators: mean in ms, standard deviation in ms, and the smallest number of networks with one of them."""
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
    """Fit operators' latencies to whole networks.

    Args:
        architectures: measured networks.
        latency_ms: their latencies.
        operators: canonical layers to fit, at least all that occur in the networks.
        num_bursts: number of quiet bursts behind each latency, which sets its noise; by default all are equal.

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
    bent, aside = _without_outliers(counts, measured, noise, operators, similarity, params)
    curve = _curve(bent, params)
    points = np.array(curve)
    unbent = measured / np.interp(params, points[:, 0], points[:, 1])
    flat = _solve(counts, unbent, noise, operators, similarity, None, aside)
    mean, covariance = flat.operators()
    return OperatorModel(
        operators=index,
        mean_ms=mean,
        covariance_ms2=covariance,
        overhead_ms=flat.overhead_ms(),
        curve=curve,
        seen=(counts[~aside] > 0).sum(axis=0),
        outliers=tuple(int(place) for place in np.flatnonzero(aside)),
        left_out=_off(bent.left_out()[0], measured),
    )


@dataclass(frozen=True)
class _Solution:
    """A solved Gaussian regression, with what its posterior is computed from."""

    counts: Array
    prior: Array
    similarity: Array
    overhead: float
    weights: tuple[float, ...]
    hinges: Array  # shape (networks, knots): how the factor depends on the parameters
    inverse: Array  # of the covariance of the measurements
    alpha: Array  # that inverse times the residual
    loose: float  # variance of the overhead
    spread: Array  # standard deviation of the noise of each measurement, if it were not set aside
    noise: Array  # and as it is

    def operators(self) -> tuple[Array, Array]:
        """Return mean and covariance of the operators' latencies."""
        smooth, own = self.weights[:2]
        covariance = smooth**2 * self.prior[:, None] * self.similarity * self.prior + own**2 * np.diag(self.prior**2)
        gain = covariance @ self.counts.T
        mean = np.maximum(self.prior + gain @ self.alpha, _LEAST * self.prior)
        return mean, covariance - gain @ self.inverse @ gain.T

    def left_out(self) -> tuple[Array, Array]:
        """Return each measurement minus its prediction by the others (Rasmussen and Williams, eq. 5.12), in ms.

        Returns:
            The differences, and their standard deviations for measurements that are not outliers; shape (networks,).
        """
        variance = 1.0 / np.diag(self.inverse)
        expected = np.maximum(variance - self.noise**2, 0.0) + self.spread**2
        return self.alpha * variance, np.sqrt(expected)

    def overhead_ms(self) -> float:
        """Return the overhead of every network."""
        return self.overhead + self.loose * float(self.alpha.sum())

    def bends(self) -> Array:
        """Return the coefficients of the hinges, shape (knots,)."""
        effect = self.hinges * (self.counts @ self.prior)[:, None]
        return np.asarray(_BEND**2 * effect.T @ self.alpha)


def _relative_noise(num_bursts: Sequence[int] | None, count: int) -> Array:
    """Return deviations relative to the best measurement: the variance is inverse to the number of bursts."""
    bursts = np.ones(count) if num_bursts is None else np.maximum(np.asarray(num_bursts, dtype=np.float64), 1.0)
    return np.asarray(np.sqrt(bursts.max() / bursts))


def _solve(
    counts: Array,
    measured: Array,
    noise: Array,
    operators: Sequence[Layer],
    similarity: Array,
    params: Array | None,
    aside: npt.NDArray[np.bool_],
) -> _Solution:
    """Condition on the measured networks, without those set aside; with `params`, the factor depends on them."""
    prior, overhead = _prior(counts[~aside], measured[~aside], operators)
    total = counts @ prior
    smooth = prior[:, None] * similarity * prior
    loose = (_OVERHEAD * float(measured.mean())) ** 2
    hinges: Array = np.zeros((len(measured), 1)) if params is None else _hinges(params, _knots(params))
    effect = hinges * total[:, None]
    fixed = loose + _BEND**2 * effect @ effect.T
    spread = measured * noise
    given = np.where(aside, _ASIDE * spread, spread)
    parts = (counts @ smooth @ counts.T, (counts * prior**2) @ counts.T, np.diag(given**2), fixed)
    residual = measured - total - overhead
    few = slice(0, _MOST_FOR_EVIDENCE)  # enough for three weights
    fewer = tuple(part[few, few] for part in parts)
    weights = _climb(lambda weights: _evidence(residual[few], fewer, weights))
    inverse = np.asarray(np.linalg.inv(_combine(parts, weights)), dtype=np.float64)
    alpha = inverse @ residual
    scales = weights[2] * spread, weights[2] * given
    return _Solution(counts, prior, similarity, overhead, weights, hinges, inverse, alpha, loose, *scales)


def _without_outliers(
    counts: Array, measured: Array, noise: Array, operators: Sequence[Layer], similarity: Array, params: Array
) -> tuple[_Solution, npt.NDArray[np.bool_]]:
    """Solve with a factor that depends on the parameters, and choose which networks to set aside."""

    def solve(aside: npt.NDArray[np.bool_]) -> _Solution:
        return _solve(counts, measured, noise, operators, similarity, params, aside)

    nobody = np.zeros(len(measured), dtype=bool)
    residuals = least_deviation_residuals(_line_design(counts, operators)[0], measured)
    aside = _furthest(residuals / max(_typical(residuals), _LEAST_FAR / _SUSPECT), _SUSPECT)
    for _ in range(_ROUNDS):
        solution = solve(aside)
        difference, deviation = solution.left_out()
        far = difference / deviation
        chosen = _furthest(far / max(_typical(far[~aside]), 1.0), _FAR)
        if chosen.any():
            limit = _SUSPECT * _typical(_errors(solve, measured, aside)[~aside])
            chosen &= np.abs(_off(difference, measured)) > max(_LEAST_FAR, limit)
        if np.array_equal(chosen, aside):
            break
        aside = chosen
    if aside.any():  # only if the others are predicted better for it
        errors = [np.abs(_errors(solve, measured, each)[~aside]).mean() for each in (aside, nobody)]
        aside = aside if errors[0] < _BETTER * errors[1] else nobody
    return solve(aside), aside


def _off(difference: Array, measured: Array) -> Array:
    """Return the logarithms of measured over predicted."""
    return np.asarray(np.log(measured / np.maximum(measured - difference, 1e-3 * measured)))


def _errors(
    solve: Callable[[npt.NDArray[np.bool_]], _Solution], measured: Array, aside: npt.NDArray[np.bool_]
) -> Array:
    """Return each network's relative error by a fit in which it took no part, by cross-validation.

    The lines of few networks follow each of them, so that they are close to any that takes part. With many networks
    that is not so, and one fit is enough.
    """
    if len(measured) > _MOST_FOR_EVIDENCE:
        return _off(solve(aside).left_out()[0], measured)
    errors = np.zeros(len(measured))
    for fold in range(_FOLDS):
        out = np.arange(len(measured)) % _FOLDS == fold
        if (~aside & ~out).any():
            errors[out] = _off(solve(aside | out).left_out()[0], measured)[out]
    return errors


def _typical(residuals: Array) -> float:
    """Return the standard deviation of most residuals, by their median: a few large ones do not matter."""
    return 1.4826 * float(np.median(np.abs(residuals)))


def _furthest(residuals: Array, limit: float) -> npt.NDArray[np.bool_]:
    """Return which residuals are beyond the limit, at most `_MOST_OUTLIERS` of all."""
    size = np.abs(residuals)
    most = int(_MOST_OUTLIERS * len(size))
    return np.asarray((size > limit) & (size >= np.sort(size)[-most] if most else False))


def _knots(params: Array) -> Array:
    """Return the numbers of parameters between which the factor is linear: quantiles of the measured networks."""
    return np.unique(np.quantile(params, [0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 0.97]))


def _hinges(params: Array, knots: Array) -> Array:
    """Return shape (networks, knots): each hinge rises linearly to 1 at its knot, and is constant from there."""
    return np.asarray(np.minimum(params[:, None] / knots, 1.0))


def _curve(solution: _Solution, params: Array) -> tuple[tuple[float, float], ...]:
    """Return the factor at the knots and at both ends, scaled to 1 for the median network."""
    knots = _knots(params)
    points = np.unique(np.concatenate([[params.min()], knots]))
    factors = 1.0 + _hinges(points, knots) @ solution.bends()
    factors = np.clip(factors / np.interp(np.median(params), points, factors), 0.5, 2.0)
    return tuple((float(round(at)), float(factor)) for at, factor in zip(points, factors, strict=True))


def _combine(parts: tuple[Array, ...], weights: tuple[float, ...]) -> Array:
    return np.asarray(np.sum([weight**2 * part for weight, part in zip(weights, parts, strict=True)], axis=0))


def _climb(score: Callable[[tuple[float, ...]], float]) -> tuple[float, ...]:
    """Find the weights with the highest score by steps on the grid; in practice the score has one maximum."""
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
    """Return the log marginal likelihood, up to a constant."""
    factor = np.linalg.cholesky(_combine(parts, weights))
    scaled = np.linalg.solve(factor, residual)
    return float(-0.5 * scaled @ scaled - np.log(np.diag(factor)).sum())


def operator_group(layer: Layer) -> tuple[object, ...]:
    """Return the group of operators that run the same code, and so share a line."""
    vector = layer.in_size == 1 or layer.kind == "dense"  # a matrix times one vector
    return (layer.role, layer.kernel_size, layer.stride, layer.activation, vector)


def line_features(layer: Layer) -> Array:
    """Return the features of a line, shape (9,).

    One; elements read, and weights; multiply-adds and elements written, each for the number of filters and for that
    number rounded up to whole tiles. All but the first are in thousands.
    """
    cost = layer_complexity(layer)
    read, written = layer.in_size**2 * layer.in_filters, layer.out_size**2 * layer.filters
    waste = [1.0, *(-(-layer.filters // tile) * tile / layer.filters for tile in _TILES)]
    scaled = [work * factor for work in (cost.madds, written) for factor in waste]
    return np.array([1000.0, read, cost.params, *scaled]) / 1000.0


def _line_design(counts: Array, operators: Sequence[Layer]) -> tuple[Array, Array, Array]:
    """Return what the lines are fitted with.

    Returns:
        The networks' features, each at most 1, shape (networks, width); what they were divided by, shape (width,); and
        the operators' features, shape (operators, width - 1): the last column is the overhead.
    """
    groups = {group: number for number, group in enumerate(dict.fromkeys(operator_group(layer) for layer in operators))}
    width = len(line_features(operators[0]))
    basis = np.zeros((len(operators), width * len(groups)))
    for row, layer in enumerate(operators):
        start = width * groups[operator_group(layer)]
        basis[row, start : start + width] = line_features(layer)
    design = np.column_stack([counts @ basis, np.ones(len(counts))])
    scale = np.maximum(design.max(axis=0), 1e-12)
    return design / scale, scale, basis


def _prior(counts: Array, measured: Array, operators: Sequence[Layer]) -> tuple[Array, float]:
    """Fit the lines, and return each operator's latency and the overhead in ms; latencies are positive."""
    design, scale, basis = _line_design(counts, operators)
    solution = non_negative_least_squares(design / measured[:, None], np.ones(len(measured))) / scale
    prior = basis @ solution[:-1]
    # An operator whose line is zero gets a small share of a typical latency.
    return np.maximum(prior, 0.02 * float(np.median(prior[prior > 0]))), float(solution[-1])


def _similarity(operators: Sequence[Layer]) -> Array:
    """Return shape (n, n): 1 for equal operators, 0 for different groups; squared exponential in between."""
    names = list(dict.fromkeys(operator_group(layer) for layer in operators))
    groups = np.array([names.index(operator_group(layer)) for layer in operators])
    places = np.log([[layer.in_size, layer.in_filters, layer.filters] for layer in operators])
    distance = ((places[:, None] - places) ** 2).sum(axis=2)
    return np.asarray(np.where(groups[:, None] == groups, np.exp(-0.5 * distance / _LENGTH**2), 0.0))
