"""Linear fits with non-negative coefficients: least squares, and one that outliers do not turn."""

from __future__ import annotations

import numpy as np

from mnas.statistics import Array

_RIDGE = 1e-2  # for columns that a few rows cannot distinguish
_ROUNDS = 12  # of reweighting
_LEAST_DEVIATION = 0.02  # relative residuals below it weigh the same


def non_negative_least_squares(design: Array, target: Array) -> Array:
    """Solve ridge-regularized least squares with non-negative coefficients.

    Args:
        design: shape (count, coefficients).
        target: shape (count,).

    Returns:
        Shape (coefficients,).
    """
    from scipy.optimize import nnls

    count = design.shape[1]
    augmented = np.vstack([design, _RIDGE * np.eye(count)])
    return np.asarray(nnls(augmented, np.append(target, np.zeros(count)), maxiter=10 * count)[0])


def least_deviation_residuals(design: Array, measured: Array) -> Array:
    """Return how far each row is off the non-negative fit of least absolute deviations: one wrong row turns it little.

    Deviations are those of the logarithms, so a row that is twice too low is as far off as one twice too high. By
    iteratively reweighted least squares (Holland and Welsch 1977).

    Args:
        design: shape (count, coefficients), not negative.
        measured: shape (count,), positive.

    Returns:
        Logarithms of measured over fitted, shape (count,).
    """
    weights = np.ones(len(measured))
    residuals = np.zeros(len(measured))
    for _ in range(_ROUNDS):
        rows = weights / measured
        fitted = design @ non_negative_least_squares(design * rows[:, None], weights)
        residuals = np.log(measured / np.maximum(fitted, 1e-3 * measured))
        # By its relative residual a row that is too low would weigh more than one that is too high.
        weights = np.minimum(np.exp(residuals), 1.0) / np.sqrt(np.maximum(np.abs(residuals), _LEAST_DEVIATION))
        weights = weights / weights.max()
    return residuals
