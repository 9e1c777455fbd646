"""Batches of images for Keras: shuffled, mirrored and shifted by a seed, so that an epoch can be had again."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from mnas.data.dataset import Labels, Split, normalise


def plain_batches(
    split: Split, batch_size: int, *, count: int | None = None
) -> Iterator[tuple[npt.NDArray[np.float32], Labels]]:
    """Images as the network takes them, with their labels, in order; `count` of them, evenly spread, if it is given."""
    chosen = np.arange(len(split))
    if count is not None and count < len(split):
        chosen = np.linspace(0, len(split) - 1, count).astype(np.intp)
    for start in range(0, len(chosen), batch_size):
        part = split.take(chosen[start : start + batch_size])
        yield normalise(part.images), part.labels


def some_images(split: Split, count: int) -> npt.NDArray[np.float32]:
    """At most `count` images as the network takes them, evenly spread over the split."""
    return np.concatenate([images for images, _ in plain_batches(split, 64, count=count)])


class Batches:
    """The batch of every step: epoch after epoch in a new order.

    The images that do not fill an epoch's last batch are left out of it: another few in the next.

    Args:
        split: the images.
        batch_size: images a step; all there are if these are fewer.
        chance: gives the random numbers that decide on an epoch's order. If it gives each epoch its own, the batches
            are a pure function of the step.
    """

    def __init__(self, split: Split, batch_size: int, chance: Callable[[int], np.random.Generator]) -> None:
        self._split, self._size, self._chance = split, min(batch_size, len(split)), chance
        self._epoch = -1
        self._order = np.zeros((0, self._size), np.intp)

    def __len__(self) -> int:
        """How many there are in an epoch."""
        return len(self._split) // self._size

    def order(self, epoch: int) -> npt.NDArray[np.intp]:
        """Which images an epoch's batches hold, shape (batches, batch size)."""
        chosen = self._chance(epoch).permutation(len(self._split))[: len(self) * self._size]
        return chosen.reshape(-1, self._size)

    def __call__(self, step: int) -> tuple[npt.NDArray[np.float32], Labels]:
        """Float32 images in [-1, 1] and int64 labels."""
        epoch, place = divmod(step, len(self))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self.order(epoch)
        part = self._split.take(self._order[place])
        return normalise(part.images), part.labels
