"""Comparing networks with families, as `tools.bench.from_scratch` does; steps that are not done twice."""

import numpy as np
import pytest

from tools.bench.family_comparison import Network, accuracy_at, compare, latency_at
from tools.bench.resumable import ResumableRun

LATENCIES = np.array([1.0, 4.0, 2.0])
ACCURACIES = np.array([0.80, 0.90, 0.85])


def test_a_family_is_a_curve_over_the_logarithm_of_latency():
    assert accuracy_at(2.0, LATENCIES, ACCURACIES) == pytest.approx(0.85)
    assert accuracy_at(np.sqrt(8.0), LATENCIES, ACCURACIES) == pytest.approx(0.875)
    assert latency_at(0.875, LATENCIES, ACCURACIES) == (pytest.approx(np.sqrt(8.0)), 0)
    assert latency_at(0.80, LATENCIES, ACCURACIES) == (1.0, 0)
    assert latency_at(0.90, LATENCIES, ACCURACIES) == (pytest.approx(4.0), 0)


def test_outside_of_its_range_a_family_is_its_nearest_member_and_says_so():
    assert latency_at(0.95, LATENCIES, ACCURACIES) == (4.0, 1)
    assert latency_at(0.70, LATENCIES, ACCURACIES) == (1.0, -1)
    assert accuracy_at(0.5, LATENCIES, ACCURACIES) == pytest.approx(0.80)


def test_a_slower_member_that_is_no_better_is_not_counted():
    assert latency_at(0.88, np.array([1.0, 2.0, 3.0]), np.array([0.88, 0.7, 0.9]))[0] == pytest.approx(1.0)
    assert accuracy_at(2.0, np.array([1.0, 2.0, 3.0]), np.array([0.88, 0.7, 0.9])) == pytest.approx(0.88)


def test_intervals_hold_the_truth_and_widen_with_the_spread_between_seeds():
    family = [
        Network(f"{latency}", latency, [accuracy]) for latency, accuracy in zip(LATENCIES, ACCURACIES, strict=True)
    ]
    sure = compare(Network("x", 1.0, [0.85, 0.85, 0.85]), family, noise=0.0)
    assert (sure.speed_up, sure.difference) == (pytest.approx(2.0), pytest.approx(0.05))
    assert sure.speed_up_interval == (pytest.approx(2.0), pytest.approx(2.0))
    spread = compare(Network("x", 1.0, [0.83, 0.85, 0.87]), family, noise=0.02)
    assert spread.speed_up_interval[0] < 1.8 < 2.0 < 2.2 < spread.speed_up_interval[1]
    assert spread.difference_interval[0] < 0.04 < 0.06 < spread.difference_interval[1]
    beyond = compare(Network("x", 1.0, [0.95, 0.96, 0.95]), family, noise=0.0)
    assert (beyond.beyond, beyond.below, beyond.speed_up) == (1.0, 0.0, pytest.approx(4.0))


def test_a_step_is_done_once_and_nothing_is_begun_after_the_time(tmp_path):
    done = []
    for _ in range(2):
        assert ResumableRun(tmp_path, 100).do("train net seed 0", lambda: done.append(1) or {"accuracy": 0.5}) == {
            "accuracy": 0.5
        }
    assert done == [1]
    late = ResumableRun(tmp_path, -1)
    assert late.do("train net seed 0", lambda: None) == {"accuracy": 0.5}
    with pytest.raises(SystemExit, match="1 steps done; the same command resumes"):
        late.do("another", lambda: {})


def test_what_an_interrupted_attempt_took_is_counted(tmp_path):
    run = ResumableRun(tmp_path, 100)
    with pytest.raises(KeyboardInterrupt):
        run.do("search 0.3", _interrupted)
    run.path("search 0.3").with_suffix(".spent").write_text("60")
    assert run.do("search 0.3", lambda: 1) == 1
    assert run.seconds_of("search 0.3") > 60
    assert run.minutes()["search"] > 1
    assert [path.name for path in tmp_path.iterdir()] == ["search_0.3.json"]


def _interrupted():
    raise KeyboardInterrupt
