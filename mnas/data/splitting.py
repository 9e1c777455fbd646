"""Which training images score candidates, and which are used at all, so that no class is lost."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]
Places = npt.NDArray[np.intp]


def choose(labels: Labels, total: int, count: int) -> tuple[Places, Places]:
    """Choose training and validation images from images in random order.

    The first `total` images are used, and the first `count` of them for validation, as long as every class that has
    images for both is in both. Otherwise the same numbers of images are chosen class by class.

    Args:
        labels: of all images, in random order.
        total: number of images to use, at least one for each class beside `count`.
        count: number of validation images.

    Returns:
        The places of training and of validation images in this order.
    """
    train, validation = choose_first(total, count)
    if _is_complete(labels, train, validation):
        return train, validation
    chosen = np.argsort(_by_class(labels, kept=2), kind="stable")[:total]
    own = labels[chosen]
    # The last image of a class has the last place, so that it is not taken from training.
    places = np.where(_rank(own) == _size(own) - 1, np.inf, _by_class(own, kept=1))
    by_place = chosen[np.argsort(places, kind="stable")]
    return np.sort(by_place[count:]), np.sort(by_place[:count])


def choose_first(total: int, count: int) -> tuple[Places, Places]:
    """As `choose`, whatever classes the first images have."""
    return np.arange(count, total), np.arange(count)


def _is_complete(labels: Labels, train: Places, validation: Places) -> bool:
    """Whether every class is in training, and in validation unless it has a single image."""
    classes, counts = np.unique(labels, return_counts=True)
    scored = np.isin(classes[counts > 1], labels[validation]).all()
    return bool(scored and np.isin(classes, labels[train]).all())


def _by_class(labels: Labels, *, kept: int) -> npt.NDArray[np.float64]:
    """Return a place for every image: the first `kept` of every class, then the same share of each."""
    rank = _rank(labels)
    return np.where(rank < kept, rank - kept, (rank + 0.5) / _size(labels))


def _rank(labels: Labels) -> Places:
    """Count, for every image, those of its class before it."""
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], labels[order])
    rank = np.empty(len(labels), np.intp)
    rank[order] = np.arange(len(labels)) - starts
    return rank


def _size(labels: Labels) -> Places:
    """Count, for every image, those of its class."""
    return np.bincount(labels)[labels]
