"""Which images train, score candidates and test, and which are used at all, so that no class is lost.

The choice is made before images are read, and made again without those that turn out to be unreadable.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mnas.errors import InputError
from mnas.random_streams import Stream, generator

TEST_SHARE = 0.15

Labels = npt.NDArray[np.int64]
Places = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Choice:
    """The places of the images of each split, among all images, in the order of the split."""

    train: Places
    validation: Places
    test: Places

    @property
    def places(self) -> Places:
        """The places of all chosen images."""
        return np.concatenate([self.train, self.validation, self.test])


@dataclass(frozen=True, slots=True)
class Splitter:
    """Chooses the images of each split.

    Attributes:
        name: of the data, for messages.
        num_classes: number of classes.
        labels: of all images.
        num_test: number of images at their end that are the test split; None to take it from all, class by class.
        limit: maximum number of images for training and validation together; None for all.
        validation_share: the share of them that is for validation.
        seed: decides which images are chosen.
    """

    name: str
    num_classes: int
    labels: Labels
    num_test: int | None
    limit: int | None
    validation_share: float
    seed: int

    def choose(self, readable: Mask, *, is_known: bool = False, former: bool = False) -> Choice:
        """Choose images.

        Where all images are used, the choice is a function of those that are readable. Where a limit leaves images out,
        few images change places when one turns out to be unreadable, so that few others are to be read in its stead.

        Args:
            readable: whether an image is used; an image that was not read yet counts as readable.
            is_known: whether all images were read. Earlier versions read all images first.
            former: whether to choose as mnas 0.1.0, which lost classes.

        Raises:
            InputError: for too few images.
        """
        pool = len(self.labels) - (self.num_test or 0)
        test, order = self._in_random_order(self.labels[:pool], readable[:pool])
        if is_known or self.limit is None or self.limit >= len(order):
            known = np.flatnonzero(readable[:pool])
            test, order = (known[own] for own in self._in_random_order(self.labels[known], np.ones(len(known), bool)))
        if self.num_test is not None:
            test = pool + np.flatnonzero(readable[pool:])
        total = min(self.limit or len(order), len(order))
        count = self._num_validation(total)
        if not self._is_enough(total):
            least = next(number for number in itertools.count(total) if self._is_enough(number))
            cure = f"raise the limit (--max-train-images) of {self.limit}" if least <= len(order) else "add images"
            raise InputError(
                f"{self.name}: {total} images are too few to train and to score on, as there are {self.num_classes} "
                f"classes: expected {least} or more beside the test images; {cure}"
            )
        train, validation = choose_first(total, count) if former else choose(self.labels[order], total, count)
        return Choice(order[train], order[validation], test)

    def _num_validation(self, total: int) -> int:
        return max(1, round(total * self.validation_share))

    def _is_enough(self, total: int) -> bool:
        return total - self._num_validation(total) >= self.num_classes

    def _in_random_order(self, labels: Labels, readable: Mask) -> tuple[Places, Places]:
        """Return the places of the readable images: those held out for testing, and the others in random order."""
        first = self._held_out(labels, np.ones(len(labels), bool))
        train = np.flatnonzero(~first)
        order = np.concatenate([train[np.random.default_rng(self.seed).permutation(len(train))], np.flatnonzero(first)])
        held = self._held_out(labels, readable)
        return np.flatnonzero(held), order[(readable & ~held)[order]]

    def _held_out(self, labels: Labels, readable: Mask) -> Mask:
        """Choose the same share of every class for testing, at least one image of each and never all of them."""
        held = np.zeros(len(labels), dtype=bool)
        if self.num_test is not None:
            return held
        rng = generator(self.seed, Stream.IMAGE_FOLDER_TEST)
        for label in np.unique(labels):
            own = rng.permutation(np.flatnonzero(labels == label))
            own = own[readable[own]]
            held[own[: min(max(1, round(len(own) * TEST_SHARE)), len(own) - 1)]] = True
        return held


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
