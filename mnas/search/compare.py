"""Comparing strategies over seeds: means with bootstrap intervals, ranks, and the score against random. Numpy only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.errors import InputError

Array = npt.NDArray[np.float64]
_RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Against:
    """A strategy against the baseline, seed by seed.

    Attributes:
        mean_difference: of the best rewards, the strategy's less the baseline's.
        interval: 95 % bootstrap interval of that difference.
        share_won: of the seeds on which the strategy's best reward is the higher one.
        share_tied: of the seeds on which the two are equal.
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
class Standing:
    """How a strategy did.

    Attributes:
        strategy: its name.
        mean_best: mean over seeds of the best reward found.
        interval: 95 % bootstrap interval of that mean.
        mean_rank: mean over seeds of its rank by best reward; 1 is the best, equal ones share the mean of their ranks.
        best_by_seed: the best reward of every seed, in order.
        against: the comparison with the baseline; None for the baseline itself, or without one.
    """

    strategy: str
    mean_best: float
    interval: tuple[float, float]
    mean_rank: float
    best_by_seed: tuple[float, ...]
    against: Against | None

    def to_dict(self) -> dict[str, Any]:
        """Plain data; the verdict is in it."""
        plain = asdict(self)
        if self.against is not None:
            plain["against"]["verdict"] = self.against.verdict
        return plain


def compare(best: Mapping[str, Sequence[float]], *, baseline: str = "random") -> list[Standing]:
    """What the best rewards of several strategies say, in the order given.

    Args:
        best: for each strategy the best reward of every seed; the same seeds for all.
        baseline: the strategy that others are held against; it need not be among them.

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
        Standing(
            name,
            float(own.mean()),
            bootstrap_interval(own),
            float(rank),
            tuple(own.tolist()),
            None if chance is None or name == baseline else against(own, chance),
        )
        for (name, own), rank in zip(values.items(), ranks, strict=True)
    ]


def against(values: npt.ArrayLike, baseline: npt.ArrayLike) -> Against:
    """Two strategies' best rewards, shape (seeds,) each, seed by seed."""
    difference = np.asarray(values, dtype=np.float64) - np.asarray(baseline, dtype=np.float64)
    won, tied = float((difference > 0).mean()), float((difference == 0).mean())
    return Against(float(difference.mean()), bootstrap_interval(difference), won, tied)


def bootstrap_interval(
    values: npt.ArrayLike, *, level: float = 0.95, num_resamples: int = _RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean (Efron 1979): quantiles of the means of resamples with replacement.

    Args:
        values: shape (count,).
        level: how much of the resampled means lies within.
        num_resamples: how many.
        seed: of the resampling; the same values and seed give the same interval.
    """
    sample = np.asarray(values, dtype=np.float64)
    drawn = np.random.default_rng(seed).integers(len(sample), size=(num_resamples, len(sample)))
    low, high = np.quantile(sample[drawn].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def mean_ranks(best: Array) -> Array:
    """Mean rank of every strategy; the highest reward of a seed has rank 1, equal ones the mean of their ranks.

    Args:
        best: shape (strategies, seeds).

    Returns:
        Shape (strategies,); the sum is n (n + 1) / 2 for n strategies.
    """
    higher = (best[None, :, :] > best[:, None, :]).sum(axis=1)
    equal = (best[None, :, :] == best[:, None, :]).sum(axis=1)
    result: Array = (higher + (equal + 1) / 2).mean(axis=1)
    return result


def best_so_far(rewards: Sequence[float | None]) -> Array:
    """The best reward after each trial, shape (trials,); failed trials are None, and -inf stands before any success."""
    values = np.array([-np.inf if reward is None else reward for reward in rewards], dtype=np.float64)
    result: Array = np.maximum.accumulate(values)
    return result
