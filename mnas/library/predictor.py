"""Predicted accuracy of a library's networks: linear in the blocks' losses (DONNA, Moons et al. 2021, section 3.2).

accuracy = intercept of the resolution - sum over blocks of slope x loss

The slopes are fitted to the stitched accuracies of some networks, with a penalty on their differences: with few
networks all blocks have about the same slope, with many each has its own. They are never negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mnas.errors import InputError
from mnas.library.library import BlockLibrary
from mnas.random_streams import Stream, generator
from mnas.space.space import SearchSpace

Array = npt.NDArray[np.float64]
_PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)  # on differences between slopes, relative to the features' variance
_LEVEL = 0.9  # of the interval
_SHARPEST = 8.0  # of the samples: how strongly they prefer choices of low loss


@dataclass(frozen=True)
class AccuracyPredictor:
    """A fitted predictor.

    Attributes:
        intercepts: the accuracy without losses, for each resolution.
        slopes: accuracy lost per unit of loss, for each block, 0 or more.
        margin: half the width of the 90 % interval, from the residuals of networks that were left out.
        tau: Kendall's tau of predictions and stitched accuracies, each network predicted without itself; 0 if all
            are equal.
        num_networks: the number of stitched networks.
    """

    intercepts: tuple[float, ...]
    slopes: tuple[float, ...]
    margin: float
    tau: float
    num_networks: int

    def values(self, library: BlockLibrary) -> list[Array]:
        """Return the accuracy as a sum over the decisions of the library's space.

        The intercept is spread over the first decision, or over the decision on the resolution where there is one.
        """
        found = [-slope * losses for slope, losses in zip(self.slopes, library.losses, strict=True)]
        if len(self.intercepts) > 1:
            return [*found, np.array(self.intercepts)]
        found[0] = found[0] + self.intercepts[0]
        return found


def sample_networks(library: BlockLibrary, count: int, *, seed: int) -> list[tuple[int, ...]]:
    """Sample indices of networks from nearly the teacher to uniformly random, so that the predictor sees all levels.

    Args:
        library: the library.
        count: number of networks; all of them, if the library has fewer.
        seed: of the samples.
    """
    count = min(count, library.space.size)
    rng = generator(seed, Stream.PREDICTOR_STITCHED)
    found: dict[tuple[int, ...], None] = {}
    while len(found) < count:
        sharpness = _SHARPEST * (1 - len(found) / count) ** 2
        indices = []
        for losses in library.losses:
            ranks = np.argsort(np.argsort(losses)) / max(1, len(losses) - 1)
            weights = np.exp(-sharpness * ranks)
            indices.append(int(rng.choice(len(losses), p=weights / weights.sum())))
        if library.space.resolutions:
            indices.append(int(rng.integers(len(library.space.resolutions))))
        found.setdefault(tuple(indices))
    return list(found)


def fit_predictor(
    library: BlockLibrary, networks: Sequence[Sequence[int]], accuracies: Sequence[float]
) -> AccuracyPredictor:
    """Fit a predictor to stitched networks.

    Args:
        library: the library.
        networks: indices, as `SearchSpace.encode` returns them.
        accuracies: of the stitched networks on the validation split, 0 to 1.

    Raises:
        InputError: for a single network.
    """
    if len(networks) < 2:
        raise InputError(f"{library.folder} has a single network: its space needs alternatives to choose from")
    from scipy.stats import kendalltau

    losses = np.array([[row[i] for row, i in zip(library.losses, own, strict=False)] for own in networks])
    groups = _resolution_of(library.space, networks)
    target = np.asarray(accuracies, np.float64)
    folds = np.arange(len(target)) % min(len(target), 10)
    best: tuple[float, Array, float] | None = None
    for penalty in _PENALTIES:
        left_out = np.empty_like(target)
        for fold in np.unique(folds):
            kept = folds != fold
            intercepts, slopes = _fit(losses[kept], groups[kept], target[kept], penalty, int(groups.max()) + 1)
            left_out[~kept] = intercepts[groups[~kept]] - losses[~kept] @ slopes
        error = float(np.mean((left_out - target) ** 2))
        if best is None or error < best[0]:
            best = error, left_out, penalty
    assert best is not None
    intercepts, slopes = _fit(losses, groups, target, best[2], len(library.space.input_sizes))
    residuals = np.abs(best[1] - target)
    tau = float(kendalltau(best[1], target).statistic)
    return AccuracyPredictor(
        tuple(map(float, intercepts)),
        tuple(map(float, slopes)),
        float(np.quantile(residuals, _LEVEL)),
        0.0 if np.isnan(tau) else tau,
        len(target),
    )


def _resolution_of(space: SearchSpace, networks: Sequence[Sequence[int]]) -> npt.NDArray[np.intp]:
    several = bool(space.resolutions)
    return np.array([own[-1] if several else 0 for own in networks], np.intp)


def _fit(
    losses: Array, groups: npt.NDArray[np.intp], target: Array, penalty: float, num_groups: int
) -> tuple[Array, Array]:
    """Least squares with slopes of 0 or more, penalised by their distance from a common slope; also 0 or more.

    Unknowns: an intercept per resolution, the common slope, and each block's difference from it, up and down.
    """
    from scipy.optimize import nnls

    blocks = losses.shape[1]
    scale = np.sqrt(penalty * max(float(losses.var(axis=0).sum()), 1e-12))
    offsets = np.eye(num_groups)[groups]
    rows = np.hstack([offsets, -offsets, -losses.sum(1, keepdims=True), -losses, losses])
    penalties = np.hstack([np.zeros((blocks, 2 * num_groups + 1)), scale * np.eye(blocks), -scale * np.eye(blocks)])
    solution, _ = nnls(np.vstack([rows, penalties]), np.concatenate([target, np.zeros(blocks)]))
    intercepts = solution[:num_groups] - solution[num_groups : 2 * num_groups]
    common = solution[2 * num_groups]
    up, down = solution[2 * num_groups + 1 :].reshape(2, blocks)
    return intercepts, np.maximum(0.0, common + up - down)
