"""Weights of the classes in the loss, for training images of which some classes have many more than others."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.data.dataset import Labels


def balanced_weights(labels: Labels, num_classes: int) -> npt.NDArray[np.float32]:
    """Return a weight for each class, in inverse proportion to its images, with a mean of 1 over the images.

    As scikit-learn's `compute_class_weight("balanced")`. A class without images weighs nothing.
    """
    counts = np.bincount(labels, minlength=num_classes)
    return (len(labels) / np.count_nonzero(counts) / np.maximum(counts, 1) * (counts > 0)).astype(np.float32)


def with_weights(batches: Any, weights: npt.NDArray[np.float32]) -> Any:
    """Return a `tf.data.Dataset` of (inputs, labels) with the weight of each image's class as the third part."""
    import tensorflow as tf

    return batches.map(lambda inputs, labels: (inputs, labels, tf.gather(tf.constant(weights), labels)))
