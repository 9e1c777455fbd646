"""Least squares with coefficients that cannot be negative, as times cannot."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
_RIDGE = 1e-2


def non_negative_least_squares(design: Array, target: Array) -> Array:
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
