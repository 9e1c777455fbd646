"""Report cards."""

from __future__ import annotations

import numpy as np
import pytest

from mnas.errors import InputError
from mnas.latency.estimator import Z90, LatencyEstimate
from mnas.latency.report_card import conformal_relative_error, make_report_card


def estimate(latency_ms: float, margin_ms: float = 0.0) -> LatencyEstimate:
    return LatencyEstimate(latency_ms, latency_ms - margin_ms, latency_ms + margin_ms, (latency_ms,), 0)


def test_every_figure() -> None:
    estimates = [estimate(1.0, 0.05), estimate(2.0, 0.05), estimate(3.0, 0.05), estimate(4.0, 0.05)]
    card = make_report_card(estimates, [1.0, 2 / 1.04, 3 / 1.08, 4 / 0.8], [1.0, 2.0, 3.0, 4.0], [(1.02, 1.0)] * 4)
    assert card.num_networks == 4
    assert card.mape == pytest.approx((0 + 0.04 + 0.08 + 0.2) / 4)
    assert (card.within_5_percent, card.within_10_percent) == (0.5, 0.75)
    assert card.within_interval == 0.25
    assert card.kendall_tau == 1.0
    assert card.repeatability == pytest.approx(0.02)
    assert card.median_mape == 0.0
    assert card.margin == pytest.approx(0.05 * (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(InputError, match="at least one"):
        make_report_card([], [], [], [])


def test_calibrated_intervals_hold_for_fresh_networks() -> None:
    rng = np.random.default_rng(0)
    quiet = 1 + rng.normal(0, 0.03, 4000)
    relative_error = conformal_relative_error([estimate(1.0) for _ in range(2000)], quiet[:2000])
    assert relative_error == pytest.approx(0.03, rel=0.1)
    assert np.mean(np.abs(quiet[2000:] - 1) <= Z90 * relative_error) == pytest.approx(0.9, abs=0.02)
    assert (
        conformal_relative_error([estimate(1.0, 0.5)] * 10, [1.1] * 10) == 0
    )  # the entries' own errors are wide enough
