"""What is said of a network's test. Needs no TensorFlow."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import precision_recall_curve

from mnas.data.dataset import Split
from mnas.errors import InputError
from mnas.train.assessment import MOST_MISTAKES, assess, read_assessment, write_assessment

NAMES = ("cat", "dog", "eel")


def split_of(labels, size=4):
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None, None] + np.zeros((1, size, size, 3), np.uint8)
    return Split(images, np.asarray(labels, np.int64))


def assessed(labels, probabilities, names=NAMES, **options):
    return assess(np.log(np.asarray(probabilities, np.float32)), split_of(labels), names, **options)


@pytest.fixture
def three():
    guesses = [[0.8, 0.1, 0.1], [0.1, 0.6, 0.3], [0.2, 0.7, 0.1], [0.9, 0.05, 0.05], [0.3, 0.4, 0.3]]
    return assessed([0, 0, 1, 1, 0], guesses)


def test_counts_by_class_and_by_pair(three):
    assert three.accuracy == 0.4
    assert three.confusion == ((1, 2, 0), (1, 1, 0), (0, 0, 0))
    cat, dog, eel = three.classes
    assert (cat.name, cat.images, cat.recall, cat.precision) == ("cat", 3, pytest.approx(1 / 3), 0.5)
    assert (dog.images, dog.recall, dog.precision) == (2, 0.5, pytest.approx(1 / 3))
    assert (eel.images, eel.recall, eel.precision) == (0, None, None)
    assert three.confusions(1) == [("cat", "dog", 2, 3)]
    assert len(three.confusions(9)) == 2
    assert three.recall_at_precision is None


def test_the_worst_mistakes_come_first_with_their_pictures(three):
    assert [mistake.image for mistake in three.mistakes] == [3, 1, 4]
    worst = three.mistakes[0]
    assert (worst.label, worst.predicted, worst.probability) == (1, 0, pytest.approx(0.9))
    picture = Image.open(io.BytesIO(base64.b64decode(worst.jpeg)))
    assert np.abs(np.asarray(picture).astype(int) - 3).max() <= 2
    many = assess(np.eye(2)[[1] * 50], split_of([0] * 50, size=200), ("a", "b"))
    assert len(many.mistakes) == MOST_MISTAKES
    assert Image.open(io.BytesIO(base64.b64decode(many.mistakes[0].jpeg))).size == (96, 96)


@pytest.mark.parametrize("precision", [0.6, 0.9])
def test_recall_at_a_precision_is_that_of_scikit_learns_curve(precision):
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=200)
    scores = np.clip(0.5 + 0.3 * (labels - 0.5) + rng.normal(0, 0.2, 200), 0.01, 0.99).round(2)  # some are equal
    found = assessed(labels, np.stack([1 - scores, scores], axis=1), ("no", "yes"), precision=precision)
    precisions, recalls, thresholds = precision_recall_curve(labels, scores)
    expected = recalls[:-1][precisions[:-1] >= precision].max()
    assert 0 < expected < 1
    assert found.recall_at_precision.recall == pytest.approx(expected)
    assert found.recall_at_precision.positive == "yes"
    assert np.abs(thresholds - found.recall_at_precision.threshold).min() < 1e-6


def test_a_precision_that_is_not_reached_has_no_threshold():
    found = assessed([1, 0], [[0.4, 0.6], [0.3, 0.7]], ("no", "yes")).recall_at_precision
    assert (found.precision, found.recall, found.threshold) == (0.95, 0, None)
    assert assessed([0, 0], [[0.4, 0.6], [0.3, 0.7]], ("no", "yes")).recall_at_precision is None


def test_numbers_that_are_none_can_be_written(tmp_path):
    write_assessment(assess(np.asarray([[np.nan, 1.0], [np.inf, 0.0]]), split_of([0, 1]), ("a", "b")), tmp_path)
    assert read_assessment(tmp_path).accuracy == 0


def test_what_is_written_is_read_and_older_folders_have_none(three, tmp_path):
    assert read_assessment(tmp_path) is None
    assert read_assessment(Path(__file__).parents[1] / "fixtures" / "npz" / "trained") is None
    write_assessment(three, tmp_path)
    assert read_assessment(tmp_path) == three
    document = json.loads((tmp_path / "test.json").read_text())
    assert (document["format"], document["version"]) == ("mnas.test", 1)


@pytest.mark.parametrize(("change", "message"), [
    ({"version": 2}, "is not of this version"),
    ({"accuracy": 2}, "accuracy is 2"),
    ({"confusion": [[1]]}, "not a square for 3 classes"),
    ({"mistakes": [{"image": 0, "label": 3, "predicted": 0, "probability": 1, "jpeg": ""}]}, "beyond the 3 classes"),
    ({"mistakes": [{"image": 0, "label": 1, "predicted": 0, "probability": 1, "jpeg": '"><'}]}, "base64"),
])  # fmt: skip
def test_a_damaged_file_is_refused(three, tmp_path, change, message):
    write_assessment(three, tmp_path)
    path = tmp_path / "test.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match=rf"test\.json.*{message}"):
        read_assessment(tmp_path)
