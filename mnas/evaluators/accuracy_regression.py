"""Bayesian ridge regression of accuracies on features of architectures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mnas.arch.complexity import complexity
from mnas.arch.spec import Architecture, BlockSpec
from mnas.arch.walk import unroll
from mnas.space.space import SearchSpace
from mnas.statistics import Array

LEAST = 5  # architectures to fit
_OUTLIER = 2.5  # spreads below the median at which an accuracy is cut off: failed trainings are not comparable
_WEIGHTS = (0.0, 0.25)  # of the choices beside the totals
NUM_TOTALS = 11  # features that come first
_OPS, _SKIPS = ("conv", "sepconv", "mbconv"), ("none", "identity", "pool")
_COUNTED_AS = {"fused_mbconv": "mbconv", "uib": "mbconv"}  # all expand and project


def features(space: SearchSpace, architecture: Architecture) -> Array:
    """Return the features of an architecture.

    Totals first: logarithms of parameters and multiply-adds, numbers of blocks (all, by operation, by skip, with
    squeeze-and-excitation), and the mean kernel size. They explain most of what a few dozen trainings can show. Then
    every decision's choice, one-hot.
    """
    cost = complexity(architecture)
    blocks = [placed.block for placed in unroll(architecture) if isinstance(placed.block, BlockSpec)][1:]
    totals = [
        math.log(cost.params),
        math.log(cost.madds),
        len(blocks),
        *(sum(_COUNTED_AS.get(block.op, block.op) == op for block in blocks) for op in _OPS),
        *(sum(block.skip == skip for block in blocks) for skip in _SKIPS),
        sum(block.se_ratio > 0 for block in blocks),
        float(np.mean([block.kernel_size for block in blocks])),
    ]
    pairs = zip(space.decisions, space.encode(architecture), strict=True)
    chosen = [np.eye(len(decision.choices))[index] for decision, index in pairs]
    return np.concatenate([np.array(totals), *chosen])


class Regression:
    """Predicts accuracies.

    The effect of a single choice needs many samples to be told from noise, that of the totals few. So two models are
    fitted, with the choices at a quarter of the totals' weight and without them; the one with the larger evidence (the
    probability of the accuracies under the model, MacKay 1992) predicts.

    Args:
        rows: features of the evaluated architectures, shape (count, features).
        accuracies: of these architectures.
    """

    def __init__(self, rows: Array, accuracies: Sequence[float]) -> None:
        from sklearn.linear_model import BayesianRidge

        self._mean, spread = rows.mean(0), rows.std(0)
        spread = np.where(spread > 0, spread, np.inf)  # a constant feature has no effect
        targets = winsorize(accuracies)
        self._middle, self._unit = targets.mean(), targets.std() or 1.0
        found: list[tuple[float, Any, Array]] = []
        for weight in _WEIGHTS:
            scale = np.where(np.arange(rows.shape[1]) < NUM_TOTALS, 1.0, weight) / spread
            model = BayesianRidge(compute_score=True)
            model.fit((rows - self._mean) * scale, (targets - self._middle) / self._unit)
            found.append((float(model.scores_[-1]), model, scale))
        _, self._model, self._scale = max(found, key=lambda one: one[0])

    def __call__(self, rows: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the accuracy, shape (count,) each."""
        mean, deviation = self._model.predict((rows - self._mean) * self._scale, return_std=True)
        return self._middle + self._unit * mean, self._unit * deviation


def winsorize(accuracies: Sequence[float]) -> Array:
    """Raise accuracies that are far below the median; the spread is the median distance from it."""
    from scipy.stats import median_abs_deviation

    found = np.asarray(accuracies, dtype=np.float64)
    spread = median_abs_deviation(found, scale="normal")  # the standard deviation if they are normal
    raised: Array = np.maximum(found, np.median(found) - _OUTLIER * spread)
    return raised


def held_out(rows: Array, accuracies: Sequence[float], *, folds: int = 5) -> Array:
    """Predict every architecture from the other folds, to see how good predictions are."""
    found = np.zeros(len(rows))
    for fold in range(min(folds, len(rows))):
        out = np.arange(len(rows)) % folds == fold
        known = [accuracy for accuracy, left in zip(accuracies, out, strict=True) if not left]
        found[out] = Regression(rows[~out], known)(rows[out])[0]
    return found
