"""Batches of images, in order or shuffled reproducibly."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from mnas.data.dataset import Labels, Split, normalise


def plain_batches(
    split: Split, batch_size: int, *, count: int | None = None
) -> Iterator[tuple[npt.NDArray[np.float32], Labels]]:
    """Yield images in [-1, 1] and labels, in order; with `count`, only this many, evenly spread."""
    chosen = np.arange(len(split))
    if count is not None and count < len(split):
        chosen = np.linspace(0, len(split) - 1, count).astype(np.intp)
    for start in range(0, len(chosen), batch_size):
        part = split.take(chosen[start : start + batch_size])
        yield normalise(part.images), part.labels


def some_images(split: Split, count: int) -> npt.NDArray[np.float32]:
    """Return at most `count` images in [-1, 1], evenly spread over the split."""
    return np.concatenate([images for images, _ in plain_batches(split, 64, count=count)])


class Batches:
    """The batch of every step, in a new order every epoch.

    Images that do not fill an epoch's last batch are left out of that epoch.

    Args:
        split: the images.
        batch_size: images per step, at most the number of images.
        chance: returns the generator of an epoch's order. If every epoch has a separate one, the batches are a pure
            function of the step.
    """

    def __init__(self, split: Split, batch_size: int, chance: Callable[[int], np.random.Generator]) -> None:
        self._split, self._size, self._chance = split, min(batch_size, len(split)), chance
        self._epoch = -1
        self._order = np.zeros((0, self._size), np.intp)

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return len(self._split) // self._size

    def order(self, epoch: int) -> npt.NDArray[np.intp]:
        """Return the indices of the images in an epoch's batches, shape (batches, batch size)."""
        chosen = self._chance(epoch).permutation(len(self._split))[: len(self) * self._size]
        return chosen.reshape(-1, self._size)

    def __call__(self, step: int) -> tuple[npt.NDArray[np.float32], Labels]:
        """Return float32 images in [-1, 1] and int64 labels."""
        epoch, place = divmod(step, len(self))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self.order(epoch)
        part = self._split.take(self._order[place])
        return normalise(part.images), part.labels
