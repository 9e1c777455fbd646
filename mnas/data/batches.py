"""Batches of images for Keras: shuffled, mirrored and shifted by a seed, so that an epoch can be had again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.data.dataset import Labels, Split, normalise
from mnas.train.recipe import Recipe


def training_epoch(split: Split, recipe: Recipe, *, seed: int, epoch: int) -> Any:
    """One epoch as a `tf.data.Dataset` of (images in [-1, 1], labels), decided by the seed and the epoch."""
    import tensorflow as tf

    order = Batches(split, recipe.batch_size, lambda number: np.random.default_rng([seed, number])).order(epoch)
    reach = round(recipe.shift * split.images.shape[1])
    rand_augment = _rand_augment(recipe, seed, epoch)

    def load(number: Any, chosen: Any) -> tuple[Any, Any]:
        # Every batch draws from its own seed, so the order in which threads finish does not matter.
        draw = tf.stack([tf.cast(seed * 100_003 + epoch, tf.int64), number])
        images = tf.gather(images_all, chosen)
        images = _augment(tf, images, draw, flip=recipe.flip, reach=reach)
        if rand_augment is not None:
            changed = rand_augment(images, training=True)
            images = tf.clip_by_value(tf.ensure_shape(changed, images.shape), 0.0, 255.0)
        return tf.cast(images, tf.float32) / 127.5 - 1.0, tf.gather(labels_all, chosen)

    with tf.device("/cpu:0"):
        images_all, labels_all = tf.constant(split.images), tf.constant(split.labels)
        chosen = tf.data.Dataset.from_tensor_slices(order).enumerate()
        # Keras's RandAugment draws from a generator with a state: one batch after the other, or nothing repeats.
        workers = tf.data.AUTOTUNE if rand_augment is None else 1
        return chosen.map(load, num_parallel_calls=workers, deterministic=True).prefetch(4)


def _rand_augment(recipe: Recipe, seed: int, epoch: int) -> Any:
    """Keras's layer, new for every epoch so that a resumed training draws what it would have drawn; None without."""
    if not recipe.rand_augment:
        return None
    import keras

    draw = (seed * 100_003 + epoch) % 2**31
    return keras.layers.RandAugment(value_range=(0, 255), num_ops=recipe.rand_augment, factor=0.5, seed=draw)


def _augment(tf: Any, images: Any, seed: Any, *, flip: bool, reach: int) -> Any:
    """Mirror half of the images; move each by up to `reach` pixels both ways, edges repeated."""
    count, size = images.shape[0], images.shape[1]
    if flip:
        mirrored = tf.random.stateless_uniform((count, 1, 1, 1), seed) < 0.5
        images = tf.where(mirrored, images[:, :, ::-1], images)
    if reach:
        offsets = tf.random.stateless_uniform((2, count, 1), seed + 1, -reach, reach + 1, tf.int32)
        places = tf.clip_by_value(tf.range(size)[None] + offsets, 0, size - 1)
        images = tf.gather(images, places[0], axis=1, batch_dims=1)
        images = tf.gather(images, places[1], axis=2, batch_dims=1)
    return images


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
