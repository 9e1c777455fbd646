"""One network against a family of others: accuracy at equal latency, speed-up at equal accuracy, with intervals.

A family (one network at several widths) is a curve: the best accuracy of its members up to a latency, linear between
them over the logarithm of latency. Intervals are percentile bootstraps: seeds are drawn anew for every network, and
latencies are disturbed by the noise of their measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import bootstrap

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Network:
    """What is known of one network: its latency, and its accuracy for every seed."""

    name: str
    latency_ms: float
    accuracies: Sequence[float]


@dataclass(frozen=True)
class FamilyComparison:
    """One network against a family.

    Attributes:
        difference: accuracy less the family's at equal latency.
        speed_up: the family's latency at equal accuracy over the network's.
        beyond: how often (of the resamples) the family does not reach the accuracy at all, so that its slowest member
            stands in and the speed-up is that at least.
        below: how often the network is worse than the family's fastest member, so that this stands in and the
            speed-up is that at most.
        difference_interval, speed_up_interval: 95 %.
    """

    difference: float
    difference_interval: tuple[float, float]
    speed_up: float
    speed_up_interval: tuple[float, float]
    beyond: float
    below: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def accuracy_at(latency: float, latencies: Array, accuracies: Array) -> float:
    """A family's accuracy at a latency; that of its nearest member outside of its range."""
    order = np.argsort(latencies)
    best = np.maximum.accumulate(accuracies[order])
    return float(np.interp(np.log(latency), np.log(latencies[order]), best))


def latency_at(accuracy: float, latencies: Array, accuracies: Array) -> tuple[float, int]:
    """The latency at which a family reaches an accuracy, and 0; its slowest and 1, or its fastest and -1, outside."""
    order = np.argsort(latencies)
    best, logs = np.maximum.accumulate(accuracies[order]), np.log(latencies[order])
    if accuracy > best[-1]:
        return float(latencies[order][-1]), 1
    if accuracy < best[0]:
        return float(latencies[order][0]), -1
    place = int(np.searchsorted(best, accuracy))  # the first that is as good
    if place == 0:
        return float(latencies[order][0]), 0
    share = (accuracy - best[place - 1]) / (best[place] - best[place - 1])
    return float(np.exp(logs[place - 1] + share * (logs[place] - logs[place - 1]))), 0


def compare(
    network: Network, family: Sequence[Network], *, noise: float, num_resamples: int = 4000, seed: int = 0
) -> FamilyComparison:
    """A network against a family.

    Args:
        network: the one.
        family: the others, two at least.
        noise: of a measured latency, relative, one standard deviation.
        num_resamples: of the bootstrap.
        seed: of the resamples.
    """
    rng = np.random.default_rng(seed)
    everyone = [network, *family]
    latencies = np.array([one.latency_ms for one in everyone])

    def resampled(*accuracies: Array) -> Array:
        disturbed = latencies * np.exp(noise * rng.standard_normal(len(everyone)))
        return np.array(_compare_once(disturbed, np.array([np.mean(drawn) for drawn in accuracies])))

    # SciPy refuses a sample of one; drawn with replacement, the same value twice is the same sample.
    samples = [np.resize(one.accuracies, max(2, len(one.accuracies))) for one in everyone]
    found = bootstrap(
        samples, resampled, n_resamples=num_resamples, vectorized=False, method="percentile", random_state=rng
    )
    low, high = (bounds.tolist() for bounds in found.confidence_interval)
    outside = found.bootstrap_distribution[2]
    difference, speed_up, _ = _compare_once(latencies, np.array([np.mean(one.accuracies) for one in everyone]))
    return FamilyComparison(
        difference=difference,
        difference_interval=(low[0], high[0]),
        speed_up=speed_up,
        speed_up_interval=(low[1], high[1]),
        beyond=float((outside > 0).mean()),
        below=float((outside < 0).mean()),
    )


def _compare_once(latencies: Array, accuracies: Array) -> tuple[float, float, int]:
    """Difference, speed-up, and whether the accuracy is outside of the family's range; the network stands first."""
    difference = accuracies[0] - accuracy_at(latencies[0], latencies[1:], accuracies[1:])
    latency, outside = latency_at(accuracies[0], latencies[1:], accuracies[1:])
    return float(difference), float(latency / latencies[0]), outside
