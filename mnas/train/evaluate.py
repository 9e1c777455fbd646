"""The accuracy of a trained Keras network, and its batch-norm statistics recomputed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.arch.spec import Architecture
from mnas.data.batches import plain_batches
from mnas.data.dataset import Split
from mnas.nn.build import build_model

RECALIBRATION_IMAGES = 5000
Images = npt.NDArray[np.float32]


def predict(model: Any, split: Split, batch_size: int) -> npt.NDArray[np.floating]:
    """Return a network's outputs for the images of a split, shape (images, classes)."""
    # Several accelerators return their predictions of the whole batch one after the other: the first ones count.
    batches = plain_batches(split, batch_size)
    return np.concatenate([model.predict_on_batch(images)[: len(labels)] for images, labels in batches])


def evaluate(model: Any, split: Split, batch_size: int) -> float:
    """Return the accuracy on a split, 0 to 1."""
    return float(np.mean(predict(model, split, batch_size).argmax(-1) == split.labels))


def plain_images(split: Split, batch_size: int) -> Iterator[Images]:
    """Yield batches of the images of a split in [-1, 1], without augmentation: enough to recompute statistics."""
    for images, _ in plain_batches(split, batch_size, count=RECALIBRATION_IMAGES):
        yield images


def recalibrated(model: Any, architecture: Architecture, batches: Iterable[Images], *, branches: bool = False) -> Any:
    """Recompute the batch-norm statistics as the plain mean over batches of training images; return the model.

    Without dropout and stochastic depth, as in inference: a moving average lags behind the weights, and after a short
    training it is still near its initial value.

    Args:
        model: a Keras network.
        architecture: of the network.
        batches: of images in [-1, 1], shape (batch, size, size, 3).
        branches: as the model was built.
    """
    import tensorflow as tf

    still = replace(architecture, dropout=0, stochastic_depth=0)
    model_still = build_model(still, batch_norm_momentum=0.0, fused=True, branches=branches)  # holds the last batch's
    _copy_weights(model, model_still)
    moving = model_still.non_trainable_variables
    forward = tf.function(lambda images: model_still(images, training=True), jit_compile=False)
    found = []
    for images in batches:
        forward(tf.constant(images))
        found.append([variable.numpy() for variable in moving])
    for variable, values in zip(moving, zip(*found, strict=True), strict=True):
        variable.assign(np.mean(values, axis=0, dtype=np.float64))
    _copy_weights(model_still, model)
    return model


def _copy_weights(source: Any, target: Any) -> None:
    """Give a model the weights of another one of the same layers, which are found by name."""
    for layer in target.layers:
        if layer.weights:
            layer.set_weights(source.get_layer(layer.name).get_weights())
