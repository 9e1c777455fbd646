"""Linear fits with non-negative coefficients."""

import numpy as np
import pytest

from mnas.latency.least_squares import least_deviation_residuals, non_negative_least_squares


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


@pytest.mark.parametrize("factor", [0.3, 3.0])
def test_one_wrong_row_is_far_off_the_fit_of_least_deviations_and_turns_it_little(factor: float) -> None:
    rng = np.random.default_rng(1)
    design = rng.random((40, 5))
    measured = design @ np.array([1.0, 0.5, 0.0, 2.0, 0.1])
    measured[11] *= factor
    residuals = least_deviation_residuals(design, measured)
    assert residuals[11] == pytest.approx(np.log(factor), abs=0.05)
    assert np.abs(np.delete(residuals, 11)).max() < 0.02
