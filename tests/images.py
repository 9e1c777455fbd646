"""Images for tests of training and export."""

import dataclasses

import numpy as np

from mnas.data.dataset import Dataset, Split


def coloured(count: int, size: int, seed: int = 0) -> Split:
    """Three classes, in turns, that differ in their mean colour."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = rng.integers(60, 120, (count, size, size, 3))
    images[np.arange(count), :, :, labels] += 100
    return Split(images.astype(np.uint8), labels.astype(np.int64))


def without_test(dataset: Dataset) -> Dataset:
    """Without test images: what looks at them while it learns or scores fails."""
    return dataclasses.replace(dataset, test=Split(dataset.test.images[:0], dataset.test.labels[:0]))
