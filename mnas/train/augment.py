"""Epochs of shuffled, augmented images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mnas.data.batches import Batches
from mnas.data.dataset import Split
from mnas.system.environment import num_cpus
from mnas.train.recipe import Recipe


def training_epoch(split: Split, recipe: Recipe, *, seed: int, epoch: int) -> Any:
    """Return one epoch as a `tf.data.Dataset` of (images in [-1, 1], labels), a function of the seed and the epoch."""
    import tensorflow as tf

    order = Batches(split, recipe.batch_size, lambda number: np.random.default_rng([seed, number])).order(epoch)
    reach = round(recipe.shift * split.images.shape[1])
    rand_augment = _rand_augment(recipe, seed, epoch)

    def load(number: Any, chosen: Any) -> tuple[Any, Any]:
        # Each batch has its own seed, so the order in which threads finish does not matter.
        draw = tf.stack([tf.cast(seed * 100_003 + epoch, tf.int64), number])
        images = tf.numpy_function(
            split.images.__getitem__, [chosen], tf.uint8
        )  # they may be more than the memory holds
        images = tf.ensure_shape(images, (order.shape[1], *split.images.shape[1:]))
        images = _augment(tf, images, draw, flip=recipe.flip is True, reach=reach)
        if recipe.crop < 1:
            images = _random_crops(tf, images, draw + 2, recipe.crop)
        if rand_augment is not None:
            changed = rand_augment(images, training=True)
            images = tf.clip_by_value(tf.ensure_shape(changed, images.shape), 0.0, 255.0)
        return tf.cast(images, tf.float32) / 127.5 - 1.0, tf.gather(labels_all, chosen)

    with tf.device("/cpu:0"):
        labels_all = tf.constant(split.labels)
        chosen = tf.data.Dataset.from_tensor_slices(order).enumerate()
        # Keras's RandAugment has a stateful generator: batches must come one after the other to be reproducible.
        workers = num_cpus() if rand_augment is None else 1
        return chosen.map(load, num_parallel_calls=workers, deterministic=True).prefetch(4)


def without_tuner(dataset: Any) -> Any:
    """Return a `tf.data.Dataset` whose parallelism stays as it is.

    TensorFlow's tuner sleeps in a thread, for longer each time, and deleting the iterator at the end of an epoch waits
    for it: several seconds in each epoch.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def _rand_augment(recipe: Recipe, seed: int, epoch: int) -> Any:
    """Return Keras's layer, a new one per epoch so that a resumed training gets the same numbers; None without."""
    if not recipe.rand_augment:
        return None
    import keras

    draw = (seed * 100_003 + epoch) % 2**31
    return keras.layers.RandAugment(value_range=(0, 255), num_ops=recipe.rand_augment, factor=0.5, seed=draw)


def _augment(tf: Any, images: Any, seed: Any, *, flip: bool, reach: int) -> Any:
    """Mirror half of the images; move each by up to `reach` pixels in each direction, with edges repeated."""
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


def _random_crops(tf: Any, images: Any, seed: Any, smallest: float) -> Any:
    """Cut a random rectangle out of each image and resize it to the whole image, bilinear.

    Its area is uniform from `smallest` to all of the image, its ratio of sides log-uniform from 3/4 to 4/3.
    """
    count, size = images.shape[0], images.shape[1]
    area = tf.random.stateless_uniform((count,), seed, smallest, 1.0)
    root = tf.exp(tf.random.stateless_uniform((count,), seed + 1, -0.5, 0.5) * math.log(4 / 3))
    sides = tf.minimum(1.0, tf.sqrt(area) * tf.stack([root, 1 / root]))
    start = tf.random.stateless_uniform((2, count), seed + 2) * (1 - sides)
    boxes = tf.transpose(tf.concat([start, start + sides], axis=0))
    return tf.image.crop_and_resize(tf.cast(images, tf.float32), boxes, tf.range(count), (size, size))
