"""Predicting images with a file: the training's preprocessing, labels from wherever they are, unreadable images."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mnas
from mnas.data.dataset import normalise
from mnas.data.image_folder import FolderImages
from mnas.errors import InputError, MnasError
from mnas.tflite.metadata import add_metadata
from mnas.tflite.random_model import write_random_model
from mnas.tflite.runner import TFLiteRunner
from tests.conftest import TINY

PLAIN = write_random_model(TINY)
OWN = add_metadata(PLAIN, name="tiny", description="", labels=["red", "grün", "blue"], provenance={})
WITHOUT_LABELS = add_metadata(PLAIN, name="tiny", description="", labels=[], provenance={})
MODELS = Path(__file__).parent.parent / "models"


def _write(path, content=OWN):
    path.write_bytes(content)
    return path


def _noise(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def photos(tmp_path):
    """Images as people have them: every shape, mode and orientation."""
    root = tmp_path / "photos"
    for number, name in enumerate(("a", "b")):
        (root / name).mkdir(parents=True)
        Image.fromarray(_noise(number, 40, 23, 3)).save(root / name / "tall.png")
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(_noise(number + 2, 30, 50, 3)).save(root / name / "turned.jpg", exif=exif)
        Image.fromarray(_noise(number + 4, 20, 31, 4)).save(root / name / "clear.png")
        Image.fromarray(_noise(number + 6, 20, 31).astype(np.uint16) * 256).save(root / name / "deep.png")
        Image.fromarray(_noise(number + 8, 9, 8)).save(root / name / "grey.gif")
    return root


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_images_are_prepared_as_for_training(photos, tmp_path, dtype):
    content = write_random_model(TINY, dtype=dtype)
    labels = ["x", "y", "z"]
    file = _write(tmp_path / "net.tflite", add_metadata(content, name="", description="", labels=labels, provenance={}))
    trained = np.stack(list(FolderImages(str(photos), TINY.resolution).read(np.arange(10))))
    expected = TFLiteRunner(content)(normalise(trained))
    found = mnas.predict_images(file, [photos], top=3)
    assert found.resolution == TINY.resolution
    assert [Path(image.image).name for image in found.images[:5]] == sorted(p.name for p in (photos / "a").iterdir())
    rows = [[p for _, p in sorted((each.index, each.probability) for each in image.classes)] for image in found.images]
    np.testing.assert_array_equal(np.array(sorted(rows), np.float32), np.array(sorted(expected.tolist()), np.float32))
    for image in found.images:
        probabilities = [each.probability for each in image.classes]
        assert probabilities == sorted(probabilities, reverse=True)
        assert all(each.label == labels[each.index] for each in image.classes)


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_a_trained_file_knows_a_dress(dtype, tmp_path):
    drawing = np.zeros((28, 28), np.uint8)
    drawing[2:12, 11:17] = 200
    for row in range(12, 27):
        half = 3 + (row - 12) // 3
        drawing[row, 14 - half : 14 + half] = 200
    Image.fromarray(drawing).save(tmp_path / "dress.png")
    found = mnas.predict_images(MODELS / f"fashion_mnist_xeon.{dtype}.tflite", [tmp_path / "dress.png"], top=1)
    assert [each.label for each in found.images[0].classes] == ["dress"]
    assert found.notes == ()


def test_more_classes_can_be_asked_for_than_there_are(tmp_path):
    file = _write(tmp_path / "net.tflite")
    Image.fromarray(_noise(0, 12, 12, 3)).save(tmp_path / "photo.png")
    (image,) = mnas.predict_images(file, [tmp_path / "photo.png"], top=50).images
    assert len(image.classes) == 3
    assert sum(each.probability for each in image.classes) == pytest.approx(1, abs=1e-5)


def test_an_unreadable_image_is_said_and_the_others_are_predicted(photos, tmp_path):
    (photos / "a" / "broken.png").write_bytes(b"nothing")
    seen = []
    found = mnas.predict_images(
        _write(tmp_path / "net.tflite"), [tmp_path / "missing.jpg", photos / "a"], show=seen.append
    )
    assert list(found.images) == seen
    errors = [image.error for image in found.images if image.error]
    assert len(errors) == 2
    assert len(found.images) == 7
    assert "missing.jpg: no such file" in errors[0]
    assert "broken.png: not a readable image" in errors[1]


def test_labels_come_from_the_file_or_from_what_lies_beside_it(tmp_path):
    Image.new("RGB", (12, 12)).save(tmp_path / "photo.png")

    def predicted(content):
        found = mnas.predict_images(_write(tmp_path / "net.tflite", content), [tmp_path / "photo.png"])
        labels = [label for _, label in sorted((each.index, each.label) for each in found.images[0].classes)]
        return labels, found.labels_from and Path(found.labels_from).name, found.notes

    labels, place, notes = predicted(WITHOUT_LABELS)
    assert (labels, place) == (["0", "1", "2"], None)
    assert "classes are shown by their index" in notes[0]
    (tmp_path / "labels.txt").write_text("only\ntwo\n")  # of another network
    assert predicted(WITHOUT_LABELS)[1] is None
    (tmp_path / "labels.txt").write_text("\ufeffone\ntwo\nthree\n", encoding="utf-8")
    assert predicted(WITHOUT_LABELS) == (["one", "two", "three"], "labels.txt", ())
    (tmp_path / "net.labels.txt").write_text("eins\nzwei\ndrei\n")
    assert predicted(WITHOUT_LABELS)[:2] == (["eins", "zwei", "drei"], "net.labels.txt")
    description = {"format": "mnas.tflite", "class_names": ["i", "j", "k"]}
    description["sha256"] = hashlib.sha256(WITHOUT_LABELS).hexdigest()
    (tmp_path / "net.json").write_text(json.dumps(description))
    assert predicted(WITHOUT_LABELS)[:2] == (["i", "j", "k"], "net.json")
    assert predicted(OWN) == (["red", "grün", "blue"], "net.tflite", ())
    with pytest.raises(InputError, match="describes another file"):
        predicted(PLAIN)


def test_a_file_of_another_tool_is_used_with_a_note(tmp_path):
    Image.new("RGB", (12, 12)).save(tmp_path / "photo.png")
    notes = []
    mnas.predict_images(_write(tmp_path / "net.tflite", PLAIN), [tmp_path / "photo.png"], note=notes.append)
    assert "was not exported by mnas" in notes[1]


def test_refusals(tmp_path):
    file = _write(tmp_path / "net.tflite")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no image was given"):
        mnas.predict_images(file, [])
    with pytest.raises(InputError, match="contains no image"):
        mnas.predict_images(file, [tmp_path / "empty"])
    with pytest.raises(InputError, match=r"cannot read a \.tflite file from"):
        mnas.predict_images(tmp_path / "none.tflite", ["x.png"])
    with pytest.raises(InputError, match=r"is not a \.tflite file: make one"):
        mnas.predict_images(_write(tmp_path / "text.tflite", b"text"), ["x.png"])
    with pytest.raises(MnasError, match=r"cut\.tflite: litert cannot load this file"):
        mnas.predict_images(_write(tmp_path / "cut.tflite", PLAIN[:400]), ["x.png"])
    with pytest.raises(InputError, match="--runtime"):
        mnas.predict_images(file, ["x.png"], runtime="onnx")
    with pytest.raises(InputError, match="--top"):
        mnas.predict_images(file, ["x.png"], top=0)


def test_a_file_of_the_first_release_is_read(tmp_path):
    release = Path(__file__).parent / "fixtures" / "release_0_1"
    shutil.copy(release / "exported.tflite", tmp_path)
    Image.new("RGB", (50, 40)).save(tmp_path / "photo.png")
    found = mnas.predict_images(tmp_path / "exported.tflite", [tmp_path / "photo.png"])
    assert found.labels_from == str(tmp_path / "exported.tflite")
    assert found.notes == ()
