"""Data sets: splits that share nothing, odd images, clear refusals."""

import gzip

import numpy as np
import pytest
from PIL import Image

from mnas.data import dataset as data
from mnas.data.dataset import count_classes, load_dataset, normalise, to_square_rgb
from mnas.data.image_file import decode_image
from mnas.errors import InputError, MnasError


def test_digits_come_in_three_splits_that_share_no_image():
    digits = load_dataset("digits", resolution=16)
    sizes = [len(split) for split in (digits.train, digits.validation, digits.test)]
    assert sum(sizes) == 1797
    assert sizes[2] == 360
    assert digits.num_classes == 10
    assert digits.train.images.shape[1:] == (16, 16, 3)
    again = load_dataset("digits", resolution=16)
    assert again.fingerprint == digits.fingerprint
    assert load_dataset("digits", resolution=16, seed=1).fingerprint != digits.fingerprint
    limited = load_dataset("digits", resolution=16, limit=200)
    assert len(limited.train) + len(limited.validation) == 200
    assert (limited.test.labels == digits.test.labels).all()


def test_normalise_spans_minus_one_to_one():
    assert normalise(np.array([0, 255], np.uint8)).tolist() == [-1.0, 1.0]


def test_28_px_become_32_by_a_border_and_grey_becomes_rgb():
    image = np.arange(28 * 28, dtype=np.uint8).reshape(1, 28, 28)
    grown = to_square_rgb(image, 32)
    assert grown.shape == (1, 32, 32, 3)
    assert (grown[0, 2:30, 2:30, 1] == image[0]).all()
    assert to_square_rgb(image, 16).shape == (1, 16, 16, 3)


@pytest.mark.skipif(not data.DEBIAN_FASHION_MNIST.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_fashion_mnist_from_debians_package():
    fashion = load_dataset("fashion_mnist", resolution=28)
    assert len(fashion.train) + len(fashion.validation) == 60_000
    assert len(fashion.test) == 10_000
    assert np.bincount(fashion.test.labels).tolist() == [1000] * 10


def test_an_idx_file_that_unpacks_to_more_than_it_should_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "MOST_IDX_BYTES", 1 << 20)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(1 << 22)))
    with pytest.raises(MnasError, match="unpacks to more than 1 MiB"):
        data.read_idx(tmp_path / "bomb.gz")


def test_a_broken_idx_file_is_named(tmp_path):
    path = tmp_path / "train.gz"
    path.write_bytes(gzip.compress(b"\0\0\x08\x03" + b"\0\0\0\xff" * 3 + b"xx"))
    with pytest.raises(MnasError, match=r"train\.gz"):
        data.read_idx(path)


@pytest.fixture
def photos(tmp_path):
    """Two classes; every mode and size people have, and files that are no images."""
    rng = np.random.default_rng(0)
    for name, value in (("cats", 40), ("dogs", 200)):
        folder = tmp_path / "photos" / name / "more"
        folder.mkdir(parents=True)
        for number, mode in enumerate(("RGB", "L", "P", "RGBA", "LA", "1", "CMYK", "I;16")):
            height, width = rng.integers(5, 60, 2)
            if mode == "I;16":
                image = Image.fromarray(np.full((height, width), value * 256, np.uint16))
            else:
                image = Image.fromarray(np.full((height, width, 3), value, np.uint8)).convert(mode)
            suffix = "jpg" if mode in ("RGB", "L", "CMYK") else "png"
            image.save(folder / f"{number}.{suffix}")
        (folder / "notes.txt").write_text("not an image")
        (folder / "broken.PNG").write_bytes(b"\x89PNG\r\n\x1a\n broken")
        (folder / "empty.jpg").write_bytes(b"")
    return tmp_path / "photos"


def test_a_folder_of_odd_images(photos, caplog):
    dataset = load_dataset(str(photos), resolution=12)
    assert dataset.class_names == ("cats", "dogs")
    splits = (dataset.train, dataset.validation, dataset.test)
    assert sum(len(split) for split in splits) == 16
    assert set(dataset.test.labels) == {0, 1}
    assert "broken.PNG" in caplog.text
    assert "empty.jpg" in caplog.text
    for split in splits:
        assert split.images.dtype == np.uint8
        assert split.images.shape[1:] == (12, 12, 3)


def test_transparency_lies_on_white_and_16_bits_are_scaled(tmp_path):
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.fromarray(np.full((8, 8), 32768, np.uint16)).save(tmp_path / "deep.png")
    assert (decode_image(tmp_path / "clear.png", 4) == 255).all()
    assert abs(int(decode_image(tmp_path / "deep.png", 4)[0, 0, 0]) - 128) <= 1


def test_train_and_test_folders_are_kept_apart(photos):
    root = photos.parent / "both"
    root.mkdir()
    photos.rename(root / "train")
    for name in ("cats", "dogs"):
        (root / "test" / name).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (9, 9)).save(root / "test" / name / f"{number}.png")
    assert len(load_dataset(str(root), resolution=8).test) == 6
    (root / "test" / "birds").mkdir()
    with pytest.raises(InputError, match="same classes"):
        load_dataset(str(root), resolution=8)


def _images(folder, count, value=0):
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (9, 9), (value,) * 3).save(folder / f"{number}.png")


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_without_a_test_folder_the_validation_folder_is_the_test_split(tmp_path, name):
    for number, kind in enumerate(("cats", "dogs")):
        _images(tmp_path / "train" / kind, 8, value=100)
        _images(tmp_path / name / kind, 2 + number, value=200)
    dataset = load_dataset(str(tmp_path), resolution=8)
    assert dataset.class_names == ("cats", "dogs")
    assert list(dataset.test.labels) == [0, 0, 1, 1, 1]
    assert (dataset.test.images == 200).all()
    assert (dataset.train.images == 100).all()
    assert len(dataset.train) + len(dataset.validation) == 16


def test_a_test_folder_goes_before_a_validation_folder_which_is_said_not_to_be_read(tmp_path, caplog):
    for kind in ("cats", "dogs"):
        for split, count in (("train", 8), ("val", 3), ("test", 2)):
            _images(tmp_path / split / kind, count)
    assert len(load_dataset(str(tmp_path), resolution=8).test) == 4
    assert "/val is not read" in caplog.text


@pytest.mark.parametrize("names", [["train"], ["test", "val"], ["Train", "train"], ["train", "val", "valid"]])
def test_splits_are_not_taken_for_classes(tmp_path, names):
    for name in names:
        _images(tmp_path / name / "cats", 4)
        _images(tmp_path / name / "dogs", 4)
    with pytest.raises(InputError, match=r"which are not classes: expected train/CLASS with test/CLASS or val/CLASS"):
        load_dataset(str(tmp_path), resolution=8)


def test_refusals(tmp_path):
    with pytest.raises(InputError, match="fashion_mnist"):
        load_dataset("no-such-thing", resolution=8)
    (tmp_path / "only").mkdir()
    with pytest.raises(InputError, match="one class"):
        load_dataset(str(tmp_path), resolution=8)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="readable"):
        load_dataset(str(tmp_path), resolution=8)
    with pytest.raises(InputError, match="too few"):
        load_dataset("digits", resolution=8, limit=3)
    with pytest.raises(InputError, match="resolution"):
        load_dataset("digits", resolution=0)


def test_classes_are_counted_without_reading_images(tmp_path):
    assert count_classes("digits") == 10
    for split in ("train", "test"):
        for label in ("cat", "dog", "eel"):
            (tmp_path / split / label).mkdir(parents=True)
    assert count_classes(str(tmp_path)) == 3
    with pytest.raises(InputError, match="no such folder exists"):
        count_classes(str(tmp_path / "none"))


@pytest.mark.tensorflow
def test_a_folder_with_the_name_of_a_data_set_is_told_apart(tmp_path, monkeypatch):
    import keras

    def offline():
        raise Exception("no network")

    monkeypatch.setattr(keras.datasets.cifar10, "load_data", offline)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MnasError, match=r"cannot download cifar10: no network$"):
        load_dataset("cifar10", resolution=32)
    (tmp_path / "cifar10").mkdir()
    with pytest.raises(MnasError, match=r"pass the folder as \./cifar10"):
        load_dataset("cifar10", resolution=32)
