"""Rewards: pure functions of a measurement and latency budgets; they return a number and its terms."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from mnas.checks import check_number
from mnas.errors import InputError
from mnas.trial import Measurement

REWARDS = ("soft", "hard", "absolute")


@dataclass(frozen=True, slots=True)
class RewardValue:
    """A reward and its terms by name, so that a log can explain the reward."""

    value: float
    terms: tuple[tuple[str, float], ...]


Reward = Callable[[Measurement, Sequence[float]], RewardValue]  # of a measurement and the latency budgets in ms


def make_reward(name: str, *, beta: float | None = None) -> Reward:
    """Return the reward with this name: a function of a measurement and one `budget_ms` for each latency table.

    Budgets are in the order of the measurement's latencies. Without budgets the reward is the accuracy.

    Args:
        name: soft, hard or absolute.
        beta: the exponent (soft, default -0.07; hard, default -1) or the weight (absolute, default -0.10).

    Raises:
        InputError: for an unknown name, or a beta that is not negative.
    """
    if name not in REWARDS:
        raise InputError(f"unknown reward {name!r}: expected one of {', '.join(REWARDS)}")
    if beta is not None:
        check_number("beta", beta, -100, -1e-9)
    if name == "soft":
        weight = -0.07 if beta is None else beta
        return partial(power_reward, alpha=weight, beta=weight)
    if name == "hard":
        return partial(power_reward, alpha=0.0, beta=-1.0 if beta is None else beta)
    return partial(absolute_reward, beta=-0.10 if beta is None else beta)


def power_reward(measurement: Measurement, budgets_ms: Sequence[float], *, alpha: float, beta: float) -> RewardValue:
    """MnasNet's reward, ACC * prod (LAT/T)^w with w = alpha where LAT <= T, else beta (Tan et al. 2019, eq. 2 and 3).

    Soft: alpha = beta = -0.07. Hard: alpha = 0, beta = -1.
    """
    terms = [("accuracy", measurement.accuracy)]
    for index, ratio in enumerate(_ratios(measurement, budgets_ms)):
        terms.append((_term("latency_factor", index), ratio ** (alpha if ratio <= 1 else beta)))
    return RewardValue(math.prod(value for _, value in terms), tuple(terms))


def absolute_reward(measurement: Measurement, budgets_ms: Sequence[float], *, beta: float) -> RewardValue:
    """TuNAS's reward, ACC + sum beta * |LAT/T - 1| (Bender et al. 2020, eq. 2)."""
    terms = [("accuracy", measurement.accuracy)]
    for index, ratio in enumerate(_ratios(measurement, budgets_ms)):
        terms.append((_term("latency_penalty", index), beta * abs(ratio - 1)))
    return RewardValue(math.fsum(value for _, value in terms), tuple(terms))


def _term(name: str, index: int) -> str:
    return name if index == 0 else f"{name}_{index + 1}"


def _ratios(measurement: Measurement, budgets_ms: Sequence[float]) -> list[float]:
    if len(measurement.latencies_ms) != len(budgets_ms):
        raise InputError(
            f"the measurement has {len(measurement.latencies_ms)} latencies and the reward {len(budgets_ms)} budgets: "
            "expected one budget for each latency table"
        )
    for budget_ms in budgets_ms:
        check_number("latency budget in ms", budget_ms, 1e-6, 1e9)
    return [latency_ms / budget_ms for latency_ms, budget_ms in zip(measurement.latencies_ms, budgets_ms, strict=True)]
