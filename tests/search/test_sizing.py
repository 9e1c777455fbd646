"""As much of a search as fits into some minutes."""

from __future__ import annotations

import pytest

from mnas.errors import InputError
from mnas.search.options import SearchOptions
from mnas.search.sizing import CostEstimate, fill, fit_into

START = SearchOptions(data="digits", proxy_steps=60, final_steps=300, finalists=2, retrain_seeds=0, batch=8)


def cost(start_s: float, step_s: float, options: SearchOptions = START) -> CostEstimate:
    """Of trainings that take a start, and so much a step."""
    trial, finalist = (start_s + step_s * steps for steps in (options.proxy_steps, options.final_steps))
    return CostEstimate(0, trial, finalist, 0, 0, 0, 0, 0)


def seconds(options: SearchOptions, start_s: float, step_s: float) -> float:
    runs = 2 if options.baseline else 1
    trials = options.trials * (start_s + step_s * options.proxy_steps)
    return runs * (trials + options.finalists * (start_s + step_s * options.final_steps))


@pytest.mark.parametrize("minutes", [10, 30, 120])
@pytest.mark.parametrize("step_s", [0.02, 0.05])
@pytest.mark.parametrize("baseline", [True, False])
def test_the_search_takes_about_the_time(minutes: float, step_s: float, baseline: bool) -> None:
    start = SearchOptions(
        data="digits", proxy_steps=60, final_steps=300, finalists=2, retrain_seeds=0, batch=8, baseline=baseline
    )
    fitted = fill(start, cost(2.0, step_s), minutes, ())
    assert seconds(fitted, 2.0, step_s) <= 60 * minutes
    assert fitted.trials % fitted.batch == 0
    assert fitted.final_steps == 3000 or seconds(fitted, 2.0, step_s) >= 60 * minutes * 0.6


def test_more_minutes_never_give_less() -> None:
    found = [fill(START, cost(2.0, 0.1), minutes, ()) for minutes in (10, 20, 40, 80)]
    for key in ("trials", "final_steps"):
        values = [getattr(options, key) for options in found]
        assert values == sorted(values)


def test_what_a_person_said_stays() -> None:
    given = SearchOptions(data="digits", trials=40, final_steps=77, finalists=2, batch=5)
    fitted = fill(given, cost(2.0, 0.1, given), 30, {"trials", "final_steps"})
    assert (fitted.trials, fitted.final_steps, fitted.batch) == (40, 77, 5)


def test_workers_judge_more_in_the_same_time() -> None:
    alone, two, four = (fill(START, cost(2.0, 0.1), 30, (), workers) for workers in (1, 2, 4))
    assert two.trials == pytest.approx(2 * alone.trials, abs=2 * START.batch)
    assert four.trials == pytest.approx(4 * alone.trials, abs=4 * START.batch)
    assert alone.final_steps < two.final_steps == four.final_steps, "there are two finalists"
    assert fill(START, cost(2.0, 0.1), 30, (), 99).trials == fill(START, cost(2.0, 0.1), 30, (), 8).trials


def test_too_short_a_time_says_what_it_takes() -> None:
    with pytest.raises(InputError, match=r"a candidate takes 12 s. Use --minutes 12 or more"):
        fill(START, cost(6.0, 0.1), 3, ())
    assert fill(START, cost(6.0, 0.1), 12, ()).trials >= 16


def test_a_time_that_nobody_gave_is_stretched_to_what_it_takes(caplog: pytest.LogCaptureFixture) -> None:
    stretched = fill(START, cost(6.0, 0.1), 3, (), stretch=True)
    assert stretched.trials == 16
    assert "a candidate takes 12 s here: this needs 12 minutes" in caplog.text
    assert fill(START, cost(6.0, 0.1), 30, (), stretch=True) == fill(START, cost(6.0, 0.1), 30, ())


def test_other_evaluators_are_refused() -> None:
    with pytest.raises(InputError, match="--evaluator is predictor: use --trials"):
        fit_into(SearchOptions(data="digits", evaluator="predictor"), 5, ())
