"""Statistics of strategies over seeds: means with bootstrap intervals, ranks, and differences from random search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.errors import InputError
from mnas.statistics import Array, bootstrap_interval, mean_ranks


@dataclass(frozen=True, slots=True)
class BaselineDifference:
    """A strategy against the baseline, seed by seed.

    Attributes:
        mean_difference: the strategy's best reward minus the baseline's.
        interval: 95 % bootstrap interval of that difference.
        share_won: share of seeds on which the strategy's best reward is higher.
        share_tied: share of seeds on which the two are equal.
    """

    mean_difference: float
    interval: tuple[float, float]
    share_won: float
    share_tied: float

    @property
    def verdict(self) -> str:
        """`better` or `worse` where the interval excludes zero, otherwise `undecided`."""
        low, high = self.interval
        return "better" if low > 0 else "worse" if high < 0 else "undecided"


@dataclass(frozen=True, slots=True)
class StrategyResult:
    """The results of one strategy.

    Attributes:
        strategy: its name.
        mean_best: mean best reward over seeds.
        interval: 95 % bootstrap interval of that mean.
        mean_rank: mean over seeds of its rank by best reward; see `mnas.statistics.mean_ranks`.
        best_by_seed: the best reward of every seed, in order.
        against: the comparison with the baseline; None for the baseline itself, or without one.
    """

    strategy: str
    mean_best: float
    interval: tuple[float, float]
    mean_rank: float
    best_by_seed: tuple[float, ...]
    against: BaselineDifference | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, with the verdict."""
        plain = asdict(self)
        if self.against is not None:
            plain["against"]["verdict"] = self.against.verdict
        return plain


def compare(best: Mapping[str, Sequence[float]], *, baseline: str = "random") -> list[StrategyResult]:
    """Compare the best rewards of several strategies.

    Args:
        best: for each strategy the best reward of every seed; the same seeds for all.
        baseline: the strategy that others are compared with, if it is among them.

    Raises:
        InputError: for fewer than two seeds, or different numbers of them.
    """
    counts = {len(values) for values in best.values()}
    if len(counts) != 1 or min(counts) < 2:
        raise InputError(f"strategies have {sorted(counts)} seeds: expected the same number for each, at least 2")
    values = {name: np.asarray(own, dtype=np.float64) for name, own in best.items()}
    ranks = mean_ranks(np.stack(list(values.values())))
    chance = values.get(baseline)
    return [
        StrategyResult(
            name,
            float(own.mean()),
            bootstrap_interval(own),
            float(rank),
            tuple(own.tolist()),
            None if chance is None or name == baseline else against(own, chance),
        )
        for (name, own), rank in zip(values.items(), ranks, strict=True)
    ]


def against(values: npt.ArrayLike, baseline: npt.ArrayLike) -> BaselineDifference:
    """Compare two strategies' best rewards, shape (seeds,) each, seed by seed."""
    difference = np.asarray(values, dtype=np.float64) - np.asarray(baseline, dtype=np.float64)
    won, tied = float((difference > 0).mean()), float((difference == 0).mean())
    return BaselineDifference(float(difference.mean()), bootstrap_interval(difference), won, tied)


def best_so_far(rewards: Sequence[float | None]) -> Array:
    """Return the best reward after each trial, shape (trials,), -inf before the first success; failures are None."""
    values = np.array([-np.inf if reward is None else reward for reward in rewards], dtype=np.float64)
    result: Array = np.maximum.accumulate(values)
    return result
