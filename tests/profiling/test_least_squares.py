"""Coefficients that cannot be negative."""

from __future__ import annotations

import numpy as np
import pytest

from mnas.profiling.least_squares import non_negative_least_squares


def test_non_negative_least_squares() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        design, truth = rng.random((30, 8)), np.maximum(rng.normal(size=8), 0)
        found = non_negative_least_squares(design, design @ truth)
        assert found == pytest.approx(truth, abs=0.01)
        target = rng.normal(size=30)  # at the optimum nothing can fall, and what is above zero has no slope
        found = non_negative_least_squares(design, target)
        slope = design.T @ (design @ found - target) + 1e-4 * found
        assert (found >= 0).all()
        assert (slope > -1e-8).all()
        assert np.abs(slope[found > 0]).max(initial=0) < 1e-8
