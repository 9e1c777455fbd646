import math

import pytest

from mnas.errors import InputError
from mnas.reward import REWARDS, make_reward
from mnas.trial import Measurement


def _found(accuracy=0.75, *latencies_ms):
    return Measurement(accuracy, latencies_ms, 1, 1)


@pytest.mark.parametrize("name", REWARDS)
def test_on_target_the_reward_is_the_accuracy(name):
    assert make_reward(name)(_found(0.75, 75.0), [75.0]).value == pytest.approx(0.75)


@pytest.mark.parametrize("name", REWARDS)
def test_without_budgets_the_reward_is_the_accuracy(name):
    assert make_reward(name)(_found(0.6), []).value == 0.6


@pytest.mark.parametrize(
    ("name", "latency_ms", "expected"),
    [
        ("soft", 150.0, 0.75 * 2**-0.07),  # twice the latency costs about 5 % relative accuracy
        ("soft", 37.5, 0.75 * 2**0.07),
        ("hard", 37.5, 0.75),
        ("hard", 150.0, 0.375),
        ("absolute", 150.0, 0.65),
        ("absolute", 37.5, 0.70),
    ],
)
def test_closed_forms(name, latency_ms, expected):
    assert make_reward(name)(_found(0.75, latency_ms), [75.0]).value == pytest.approx(expected)


def test_twice_the_latency_costs_about_five_percent():
    soft = make_reward("soft")
    assert 1 - soft(_found(0.75, 150.0), [75.0]).value / soft(_found(0.75, 75.0), [75.0]).value == pytest.approx(
        0.05, abs=0.005
    )


def test_beta_replaces_the_default():
    assert make_reward("soft", beta=-0.5)(_found(0.8, 40.0), [10.0]).value == pytest.approx(0.4)
    assert make_reward("hard", beta=-2)(_found(0.8, 20.0), [10.0]).value == pytest.approx(0.2)
    assert make_reward("absolute", beta=-0.2)(_found(0.8, 15.0), [10.0]).value == pytest.approx(0.7)


def test_terms_make_up_the_value():
    found = _found(0.75, 150.0, 30.0)
    absolute = make_reward("absolute")(found, [75.0, 40.0])
    assert dict(absolute.terms) == pytest.approx(
        {"accuracy": 0.75, "latency_penalty": -0.1, "latency_penalty_2": -0.025}
    )
    assert absolute.value == pytest.approx(math.fsum(dict(absolute.terms).values()))
    soft = make_reward("soft")(found, [75.0, 40.0])
    assert [name for name, _ in soft.terms] == ["accuracy", "latency_factor", "latency_factor_2"]
    assert soft.value == pytest.approx(math.prod(dict(soft.terms).values()))


@pytest.mark.parametrize("count", [0, 2])
def test_as_many_latencies_as_budgets_are_needed(count):
    with pytest.raises(InputError, match=f"{count} latencies and the reward 1 budgets"):
        make_reward("soft")(_found(0.7, *[1.0] * count), [75.0])


@pytest.mark.parametrize(
    ("name", "budgets", "beta"),
    [
        ("sharp", [75.0], None),
        ("soft", [0.0], None),
        ("soft", [-1.0], None),
        ("soft", [math.nan], None),
        ("soft", [math.inf], None),
        ("soft", [75.0], 0.07),
        ("absolute", [75.0], 0.0),
        ("hard", [75.0], math.nan),
    ],
)
def test_what_makes_no_sense_is_refused(name, budgets, beta):
    with pytest.raises(InputError):
        make_reward(name, beta=beta)(_found(0.7, 80.0), budgets)
