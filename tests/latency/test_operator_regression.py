"""Operators from sums."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import numpy as np
import pytest

from mnas.arch.complexity import complexity, layer_complexity
from mnas.arch.spec import Architecture
from mnas.arch.walk import Layer, layers
from mnas.errors import InputError
from mnas.latency.operator_regression import OperatorModel, canonical, count_operators, fit_operators
from mnas.profiling.plan import MOST_HELD_OUT, class_counts, plan_networks
from tests.spaces import small_space

SPACE = small_space(3)
OPERATORS = list(dict.fromkeys(canonical(layer) for placed in SPACE.placed_blocks() for layer in layers(placed)))


def cost(layer: Layer) -> float:
    """Linear, but one operator of each kind is out of line."""
    odd = 1.5 if (layer.filters * 7 + layer.in_size) % 5 == 0 else 1.0
    return odd * (0.003 + layer_complexity(layer).madds * 1e-7)


def latency(network: Architecture) -> float:
    return 0.01 + sum(cost(layer) * times for layer, times in count_operators(network).items())


def sample(count: int, seed: int) -> list[Architecture]:
    rng = np.random.default_rng(seed)
    return [SPACE.sample(rng) for _ in range(count)]


def test_more_networks_leave_less_error() -> None:
    fresh = sample(30, 7)
    truth = np.array([latency(network) for network in fresh])
    errors = []
    for count in (20, 200):
        fitting = sample(count, 1)
        model = fit_operators(fitting, [latency(network) for network in fitting], OPERATORS)
        points = np.array(model.curve)
        factors = np.interp([complexity(network).params for network in fresh], points[:, 0], points[:, 1])
        sums = [model.total(count_operators(network))[0] + model.overhead_ms for network in fresh]
        predicted = factors * sums
        errors.append(float(np.abs(predicted / truth - 1).mean()))
    assert errors[1] < 0.008
    assert errors[1] < errors[0] / 2


def test_a_factor_that_bends_with_the_parameters_is_found() -> None:
    def bent(network: Architecture) -> float:
        return latency(network) * (1 + 0.2 * min(1.0, complexity(network).params / 15_000))

    fitting, fresh = sample(200, 1), sample(30, 7)
    model = fit_operators(fitting, [bent(network) for network in fitting], OPERATORS)
    points = np.array(model.curve)
    factors = np.interp([complexity(network).params for network in fresh], points[:, 0], points[:, 1])
    sums = np.array([model.total(count_operators(network))[0] + model.overhead_ms for network in fresh])
    assert np.abs(sums * factors / [bent(network) for network in fresh] - 1).mean() < 0.01
    assert points[-1, 1] > points[0, 1] + 0.03


def test_networks_that_rest_on_few_bursts_count_less() -> None:
    fitting, fresh = sample(120, 1), sample(30, 7)
    few = np.arange(len(fitting)) % 3 == 0
    noise = np.where(few, 0.12, 0.01) * np.random.default_rng(0).normal(size=len(fitting))
    measured = [latency(network) * (1 + off) for network, off in zip(fitting, noise, strict=True)]
    truth = np.array([latency(network) for network in fresh])

    def error(num_bursts: list[int] | None) -> float:
        model = fit_operators(fitting, measured, OPERATORS, num_bursts=num_bursts)
        points = np.array(model.curve)
        factors = np.interp([complexity(network).params for network in fresh], points[:, 0], points[:, 1])
        sums = np.array([model.total(count_operators(network))[0] + model.overhead_ms for network in fresh])
        return float(np.abs(factors * sums / truth - 1).mean())

    assert error([0 if one else 8 for one in few]) < 0.8 * error(None)


def test_unseen_operators_cost_something_too() -> None:
    fitting = sample(12, 1)
    model = fit_operators(fitting, [latency(network) for network in fitting], OPERATORS)
    assert (model.seen == 0).any()
    assert (model.mean_ms > 0).all()
    stem = model.operators[canonical(layers(SPACE.placed_blocks()[0])[0])]
    assert model.seen[stem] == len(fitting)
    unseen = {layer: 1 for layer, at in model.operators.items() if model.seen[at] == 0}
    total, deviation, seen = model.total(Counter(unseen))
    assert total > 0
    assert deviation > 0
    assert seen == 0


def test_the_same_operator_in_two_blocks_is_one() -> None:
    network = sample(1, 3)[0]
    counted = count_operators(network)
    assert all(layer.inputs == () for layer in counted)
    assert all(canonical(layer) == layer for layer in counted)


def test_one_network_is_too_few() -> None:
    with pytest.raises(InputError, match="at least 2"):
        fit_operators(sample(1, 0), [1.0], OPERATORS)


def test_a_plan_sees_operators_more_evenly_than_chance() -> None:
    plan = list(islice(plan_networks(SPACE, seed=4), 40))
    assert plan == list(islice(plan_networks(SPACE, seed=4), 40))
    held_out = [planned.architecture for planned in plan if planned.held_out]
    fitting = [planned.architecture for planned in plan if not planned.held_out]
    assert (len(fitting), len(held_out)) == (24, 16)
    assert {network.num_classes for network in held_out} == {10}
    assert {network.num_classes for network in fitting} == set(class_counts(10))
    planned = {layer for network in fitting for layer in count_operators(network)}
    by_chance = {layer for network in sample(24, 4) for layer in count_operators(network)}
    assert len(planned) > len(by_chance)


def test_a_long_plan_holds_out_no_more_than_it_needs() -> None:
    assert sum(planned.held_out for planned in islice(plan_networks(SPACE, seed=0), 600)) == MOST_HELD_OUT


def test_class_counts_are_three_different_ones() -> None:
    assert class_counts(10) == (10, 1000, 100)
    assert len(set(class_counts(1000))) == len(set(class_counts(37))) == 3


@pytest.mark.parametrize("wrong", [0.4, 1.6, 3.0])
def test_a_poisoned_network_does_not_turn_the_fit(wrong: float) -> None:
    fitting, unseen = sample(60, 5), sample(40, 6)
    measured = np.array([latency(network) for network in fitting])
    measured *= 1 + 0.002 * np.random.default_rng(5).standard_normal(60)
    poisoned = measured.copy()
    poisoned[[7, 31]] *= wrong
    clean, robust = (fit_operators(fitting, latencies.tolist(), OPERATORS) for latencies in (measured, poisoned))
    assert clean.outliers == ()
    assert robust.outliers == (7, 31)
    truth = np.array([latency(network) for network in unseen])

    def error(model: OperatorModel) -> float:
        knots, factors = zip(*model.curve, strict=True)
        params = [complexity(network).params for network in unseen]
        sums = np.array([model.total(count_operators(network))[0] + model.overhead_ms for network in unseen])
        return float(np.abs(sums * np.interp(params, knots, factors) / truth - 1).mean())

    assert error(robust) < error(clean) + 0.005
