"""Batches: the same ones from the same seed, changed only as the recipe says."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from mnas.data.batches import Batches, plain_batches, some_images
from mnas.data.dataset import Split, normalise
from mnas.random_streams import Stream, generator
from mnas.train.augment import training_epoch
from mnas.train.recipe import Recipe


@pytest.fixture(scope="module")
def split():
    rng = np.random.default_rng(0)
    return Split(rng.integers(0, 256, (50, 8, 8, 3), np.uint8), np.arange(50))


def epoch(split, *, seed=0, epoch=0, **overrides):
    batches = list(
        training_epoch(split, Recipe(batch_size=16, **overrides), seed=seed, epoch=epoch).as_numpy_iterator()
    )
    return np.concatenate([images for images, _ in batches]), np.concatenate([labels for _, labels in batches])


def test_the_order_of_images_is_what_it_has_always_been(split):
    batches = Batches(split, 16, partial(generator, 3, Stream.PROXY_BATCHES))
    order = np.random.default_rng([3, 2, 2]).permutation(50)[:48].reshape(3, 16)
    assert len(batches) == 3
    assert np.array_equal(batches.order(2), order)
    images, labels = batches(7)
    assert np.array_equal(labels, order[1])  # an image's label is its number
    assert np.array_equal(images, normalise(split.images[order[1]]))
    everything = Batches(split, 1000, lambda epoch: np.random.default_rng([0, epoch]))
    assert [sorted(everything(step)[1]) for step in range(2)] == [list(range(50))] * 2


@pytest.mark.tensorflow
def test_an_epoch_of_training_has_the_order_that_it_has_always_had(split):
    order = np.random.default_rng([3, 2]).permutation(50)[:48]
    assert np.array_equal(epoch(split, seed=3, epoch=2)[1], order)


@pytest.mark.tensorflow
def test_without_augmentation_every_image_comes_as_it_is(split):
    images, labels = epoch(split, flip=False, shift=0)
    assert len(set(labels)) == len(labels) == 48  # three whole batches
    np.testing.assert_allclose(images, normalise(split.images[labels]), atol=1e-6)


@pytest.mark.tensorflow
def test_an_epoch_can_be_had_again_and_differs_from_the_next(split):
    images, labels = epoch(split)
    again, labels_again = epoch(split)
    assert np.array_equal(images, again)
    assert np.array_equal(labels, labels_again)
    assert not np.array_equal(labels, epoch(split, epoch=1)[1])
    assert not np.array_equal(labels, epoch(split, seed=1)[1])


@pytest.mark.tensorflow
def test_mirroring_and_shifting_move_pixels_and_change_none(split):
    images, labels = epoch(split, flip=True, shift=0)
    plain = normalise(split.images[labels])
    mirrored = np.array([not np.allclose(a, b, atol=1e-6) for a, b in zip(images, plain, strict=True)])
    assert 8 < mirrored.sum() < 40
    np.testing.assert_allclose(images[mirrored], plain[mirrored][:, :, ::-1], atol=1e-6)
    images, labels = epoch(split, flip=False, shift=0.125)  # one pixel
    plain = np.pad(normalise(split.images[labels]), ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    moves = set()
    for image, padded in zip(images, plain, strict=True):
        fits = [
            (y, x) for y in range(3) for x in range(3) if np.allclose(image, padded[y : y + 8, x : x + 8], atol=1e-6)
        ]
        assert fits
        moves.add(fits[0])
    assert len(moves) == 9


def test_plain_batches_keep_order_and_spread_evenly(split):
    labels = np.concatenate([labels for _, labels in plain_batches(split, 16)])
    assert np.array_equal(labels, split.labels)
    some = np.concatenate([labels for _, labels in plain_batches(split, 16, count=5)])
    assert some.tolist() == [0, 12, 24, 36, 49]
    assert some_images(split, 1000).shape == (50, 8, 8, 3)


@pytest.mark.tensorflow
def test_rand_augment_changes_images_and_can_be_had_again():
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (16, 8, 8, 3)).astype(np.uint8), np.arange(16, dtype=np.int64) % 2)
    recipe = Recipe(batch_size=16, flip=False, shift=0, rand_augment=2)
    (first, labels), (again, _) = (next(iter(training_epoch(split, recipe, seed=3, epoch=1))) for _ in range(2))
    plain, same = next(iter(training_epoch(split, replace(recipe, rand_augment=0), seed=3, epoch=1)))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(labels, same)
    assert first.shape == plain.shape
    assert not np.allclose(first, plain)
    assert np.abs(first).max() <= 1.0 + 1e-5
