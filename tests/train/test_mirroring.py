"""Mirroring is switched off where it confuses classes, whatever the data are called."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from mnas.arch import Architecture, parse_stages
from mnas.data.dataset import Dataset, DataSource, Split
from mnas.errors import InputError
from mnas.train.mirroring import check_mirroring, describe_augmentation, is_mirrored, mirror_images
from mnas.train.recipe import Recipe, augmented, recipe_for
from mnas.train.trainer import train_network

SIZE = 12
TINY = Architecture(
    parse_stages("ds_r1_k3_s1_c8|ir_r1_k3_s2_e2_c16"),
    stem_filters=8,
    head_filters=32,
    resolution=SIZE,
    num_classes=1000,
    stem_stride=1,
)
FEW = {"batch_size": 16, "epochs": 12}


def _arrow() -> np.ndarray:
    """An arrow to the left, 12 px."""
    picture = np.zeros((SIZE, SIZE), np.uint8)
    picture[5:7, 2:10] = 255
    for step in range(4):
        picture[[5 - step, 6 + step], 2 + step] = 255
    return picture


def arrows(count: int, seed: int) -> Split:
    """Arrows to the left (0) and to the right (1), moved by a pixel, with noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    shapes = [_arrow(), _arrow()[:, ::-1]]
    images = [np.roll(shapes[label], rng.integers(-1, 2, 2), (0, 1)) for label in labels]
    noisy = np.clip(np.stack(images)[..., None] * 0.7 + rng.integers(0, 60, (count, SIZE, SIZE, 3)), 0, 255)
    return Split(noisy.astype(np.uint8), labels.astype(np.int64))


def heights(count: int, seed: int) -> Split:
    """A bright upper (0) or lower half (1): mirror images are as common as images."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = rng.integers(0, 90, (count, SIZE, SIZE, 3))
    for image, label in zip(images, labels, strict=True):
        image[6 * label : 6 * label + 6] += 60
    return Split(images.astype(np.uint8), labels.astype(np.int64))


def dataset(make) -> Dataset:
    return Dataset("pictures", ("one", "other"), make(240, 0), make(60, 1), make(100, 2))


def train(out, make=arrows, **options):
    return train_network(TINY, DataSource("pictures"), out, dataset=dataset(make), **{**FEW, **options})


def test_a_symmetrical_answer_allows_mirroring_and_another_does_not():
    labels = np.arange(100) % 4
    same = check_mirroring(labels, labels, labels)
    assert (same.accuracy, same.mirrored_accuracy, same.confusing) == (1.0, 1.0, False)
    assert check_mirroring(labels, labels, np.where(labels < 2, 1 - labels, labels)).confusing
    few_wrong = np.where(np.arange(100) < 8, (labels + 1) % 4, labels)
    assert not check_mirroring(labels, labels, few_wrong).confusing
    assert not check_mirroring(labels, few_wrong, few_wrong[::-1].copy()[::-1]).confusing


def test_two_classes_among_many_are_enough():
    labels = np.repeat(np.arange(40), 12)
    swapped = np.where(labels < 2, 1 - labels, labels)
    assert np.mean(swapped != labels) == pytest.approx(0.05)
    assert check_mirroring(labels, labels, swapped).confusing


def test_nothing_is_said_before_something_is_learned():
    labels = np.arange(60) % 2
    guesses = np.zeros(60, np.int64)
    assert check_mirroring(labels, guesses, guesses) is None
    assert check_mirroring(labels[:8], labels[:8], labels[:8]) is None


def test_a_choice_replaces_the_augmentation_of_every_recipe():
    for name in ("short", "finetune", "mnasnet", "efficientnet"):
        own = recipe_for("photos", name=name)
        assert own.flip == "checked"
        none, shift, flip, rand = (recipe_for("photos", name=name, augment=word) for word in
                                   ("none", "shift", "flip", "rand"))  # fmt: skip
        assert (none.flip, none.shift, none.crop, none.rand_augment) == (False, 0, 1, 0)
        assert (shift.flip, shift.shift, shift.crop, shift.rand_augment) == (False, own.shift, own.crop, 0)
        assert dataclasses.replace(flip, flip=False) == shift
        assert rand.flip is True
        assert rand.rand_augment == (own.rand_augment or 2)
    assert augmented(Recipe(), None) == Recipe()
    with pytest.raises(InputError, match="--augment is 'mirror': expected one of none, shift, flip, rand"):
        recipe_for("photos", augment="mirror")


def test_the_name_of_the_data_decides_nothing():
    assert recipe_for("digits") == recipe_for("arrows") == Recipe()


@pytest.mark.tensorflow
def test_arrows_are_told_apart_and_the_reason_is_said(tmp_path, caplog):
    trained = train(tmp_path / "checked")
    assert trained.training["test_accuracy"] >= 0.97
    assert not is_mirrored(trained.training)
    assert "Images are not mirrored in this training, because that confuses classes" in caplog.text
    said = describe_augmentation(trained.training)
    assert said.startswith("images are moved by up to 8% of their side, not mirrored (after epoch ")
    mirrored = train(tmp_path / "mirrored", augment="flip")
    assert mirrored.training["test_accuracy"] < 0.75
    assert is_mirrored(mirrored.training)


@pytest.mark.tensorflow
def test_images_without_left_and_right_are_mirrored_after_a_quarter_of_the_epochs(tmp_path, caplog):
    trained = train(tmp_path / "whole", heights)
    history = trained.training["history"]
    (checked,) = (number for number, epoch in enumerate(history, 1) if "mirroring" in epoch)
    assert checked >= 3
    assert is_mirrored(trained.training)
    assert "mirrored (after epoch" in describe_augmentation(trained.training)
    assert not caplog.text

    def interrupt(state):
        if state.epoch == checked + 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "part", heights, progress=interrupt)
    part = train(tmp_path / "part", heights, resume=True)
    weights = [(run.folder / "weights.safetensors").read_bytes() for run in (trained, part)]
    assert weights[0] == weights[1]


@pytest.mark.tensorflow
def test_a_student_mirrors_as_its_teacher_and_a_classifier_is_checked_too(tmp_path):
    teacher = train(tmp_path / "teacher")
    student = train(tmp_path / "student", teacher=teacher.folder, epochs=2)
    assert student.training["mirroring"] is False
    assert not any("mirroring" in epoch for epoch in student.training["history"])
    assert "(as for the teacher)" in describe_augmentation(student.training)
    frozen = train(tmp_path / "frozen", weights=str(teacher.folder), freeze=True)
    assert not is_mirrored(frozen.training)
    assert frozen.training["test_accuracy"] >= 0.97


@pytest.mark.tensorflow
def test_a_training_from_before_the_check_is_the_same_training(tmp_path):
    before = train(tmp_path / "before", flip=True, epochs=2)
    assert "mirroring" not in before.training
    assert train(tmp_path / "before", epochs=2).training == before.training

    shutil.copytree(before.folder, tmp_path / "without")
    record = json.loads((tmp_path / "without" / "training.json").read_text())
    record["configuration"]["recipe"]["flip"] = False
    (tmp_path / "without" / "training.json").write_text(json.dumps(record))
    assert train(tmp_path / "without", epochs=2).training == record


def test_mirror_images_exchange_left_and_right():
    split = arrows(4, 0)
    mirrored = mirror_images(split)
    np.testing.assert_array_equal(mirrored.images[0, :, 0], split.images[0, :, -1])
    np.testing.assert_array_equal(mirror_images(mirrored).images, split.images)
