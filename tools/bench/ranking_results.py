"""The kept results of `tools.bench.ranking`, and how well scores rank the architectures that were trained long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import bootstrap

from mnas.arch.spec import Architecture
from mnas.space.space import SearchSpace
from tools.bench.resumable import ResumableRun

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RankingResults:
    """The kept results, and what they are about; see the options of `python -m tools.bench.ranking`."""

    run: ResumableRun
    space: SearchSpace
    ranked: Sequence[Architecture]
    teachers: Sequence[Architecture]
    batch: int
    truth_steps: int
    proxy_steps: Sequence[int]
    taught_steps: int
    seed: int

    def curves(self, kind: str, steps: int, seed: int, count: int) -> list[list[float] | None] | None:
        """Accuracies on the way of as many trainings; None if one is not done yet."""
        kept = [self.run.get(key) for key in self._keys(kind, steps, seed, count)]
        return None if None in kept else [one["curve"] for one in kept]

    def seconds(self, kind: str, steps: int, seed: int, count: int) -> float:
        """The mean of such a training."""
        return float(np.mean([self.run.seconds_of(key) for key in self._keys(kind, steps, seed, count)]))

    def _keys(self, kind: str, steps: int, seed: int, count: int) -> list[str]:
        return [f"{kind} {steps}x{self.batch} seed {seed} number {number}" for number in range(count)]


@dataclass(frozen=True)
class Row:
    """An evaluator, what it was made with, its rank correlation, and the processor's minutes for 300 architectures."""

    evaluator: str
    made_with: str
    tau: float
    low: float
    high: float
    minutes: float


class Truth:
    """Long trainings with two seeds; architectures that diverged in one of them are left out."""

    def __init__(self, results: RankingResults) -> None:
        count = len(results.ranked)
        both = [results.curves("truth", results.truth_steps, seed, count) for seed in (0, 1)]
        if both[0] is None:
            raise SystemExit("the long trainings are not done yet: the same command with --parts truth goes on")
        self.seeds = [curves for curves in both if curves is not None]
        self.kept = np.array([i for i in range(count) if all(curves[i] is not None for curves in self.seeds)])
        self.ends = np.array([[curves[i][-1] for i in self.kept] for curves in self.seeds])  # type: ignore[index]
        self.mean = self.ends.mean(0)

    def row(self, evaluator: str, made_with: str, scores: Any, minutes: float, against: Array | None = None) -> Row:
        """A row from scores of all architectures."""
        own = np.asarray(scores, dtype=np.float64)[self.kept]
        return Row(evaluator, made_with, *tau_with_interval(own, self.mean if against is None else against), minutes)


def tau_with_interval(scores: Array, truth: Array, *, resamples: int = 2000) -> tuple[float, float, float]:
    """Kendall's tau, and its 95 % bootstrap interval over the architectures; pairs of one with itself do not count."""
    agreement = np.sign(scores[:, None] - scores) * np.sign(truth[:, None] - truth)

    def tau(drawn: npt.NDArray[np.int64]) -> float:
        pairs = (drawn[:, None] != drawn).sum()
        return float(agreement[np.ix_(drawn, drawn)].sum() / max(1, pairs))

    everything = np.arange(len(scores))
    interval = bootstrap(
        [everything],
        tau,
        n_resamples=resamples,
        vectorized=False,
        method="percentile",
        random_state=np.random.default_rng(0),
    ).confidence_interval
    return tau(everything), float(interval.low), float(interval.high)
