"""No class is lost from training or validation."""

import numpy as np
import pytest

from mnas.data.dataset import load_dataset
from mnas.data.splitting import Splitter, choose, choose_first
from mnas.errors import InputError


def _labels(seed, *counts):
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("counts", "total"),
    [([3] * 200, 600), ([3] * 200, 240), ([100, 100, 3], 203), ([100, 100, 2], 60), ([50, 1, 50], 101)],
)
def test_every_class_is_trained_and_scored_where_there_are_images_for_both(seed, counts, total):
    labels = _labels(seed, *counts)
    count = round(total * 0.15)
    train, validation = choose(labels, total, count)
    assert len({*train, *validation}) == total
    assert len(validation) == count
    assert set(labels[train]) == set(range(len(counts)))
    several = sum(number > 1 for number in counts)
    assert len(set(labels[validation])) == min(several, count)


def test_large_classes_have_the_same_shares():
    labels = _labels(0, 400, 100, 2)
    train, validation = choose(labels, 251, 38)
    assert np.bincount(labels[validation]).tolist() == [30, 7, 1]
    assert np.bincount(labels[train]).tolist() == [169, 43, 1]


def test_the_choice_is_that_of_earlier_versions_where_no_class_is_lost():
    labels = _labels(0, 40, 40)
    for found, first in zip(choose(labels, 50, 10), choose_first(50, 10), strict=True):
        assert (found == first).all()


def test_what_began_with_a_lost_class_keeps_its_images():
    begun = "529725c4e39b93c63dcfabc657661d4281b9cdb3efd0510f906c94b416ab66b5"  # of mnas 0.1.0
    chosen = {"resolution": 8, "limit": 80, "seed": 1}
    former, now = load_dataset("digits", **chosen, fingerprint=begun), load_dataset("digits", **chosen)
    assert former.fingerprint == begun
    assert len(set(former.train.labels)) == 9
    assert len(set(now.train.labels)) == len(set(now.validation.labels)) == 10
    assert load_dataset("digits", **chosen, fingerprint="another").fingerprint == now.fingerprint


def test_classes_without_validation_images_are_named(tmp_path, caplog):
    from PIL import Image

    for number in range(12):
        for image in range(3):
            folder = tmp_path / f"kind{number:02}"
            folder.mkdir(exist_ok=True)
            Image.new("RGB", (8, 8), (number, image, 0)).save(folder / f"{image}.png")
    dataset = load_dataset(str(tmp_path), resolution=8)
    assert set(dataset.train.labels) == set(range(12))
    assert "8 of 12 classes have no validation image" in caplog.text


@pytest.mark.parametrize(("limit", "cure"), [(8, r"--max-train-images\) of 8"), (None, "add images")])
def test_too_few_images_are_refused_with_the_number_that_is_enough(limit, cure):
    count = 40 if limit else 8
    labels = np.arange(count) % 8
    splitter = Splitter("photos", 8, labels, 0, limit, validation_share=0.15, seed=0)
    with pytest.raises(InputError, match=rf"8 images are too few .* expected 9 or more .*{cure}"):
        splitter.choose(np.ones(count, bool))
    enough = Splitter("photos", 8, np.arange(40) % 8, 0, 9, validation_share=0.15, seed=0)
    assert len(enough.choose(np.ones(40, bool)).train) == 8
