"""What is said about a folder of images."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

import mnas
from mnas.errors import InputError


def _photo(path, seed, size=(96, 80), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 256, (10, 12, 3), dtype=np.uint8)
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(path, **options)
    return path


@pytest.fixture
def photos(tmp_path):
    for number in range(12):
        _photo(tmp_path / "photos" / "cats" / f"{number:02}.jpg", number)
        _photo(tmp_path / "photos" / "dogs" / "more" / f"{number:02}.png", 100 + number)
    return tmp_path / "photos"


def test_a_sound_folder_is_counted_and_nothing_is_wrong(photos):
    exif = Image.Exif()
    exif[0x0112] = 6
    _photo(photos / "cats" / "turned.jpg", 50, (200, 100), exif=exif)
    Image.fromarray(np.arange(100, dtype=np.uint8).reshape(10, 10)).save(photos / "dogs" / "grey.png")
    report = mnas.inspect_folder(photos)
    assert report.classes == ("cats", "dogs")
    assert report.images == {"all": {"cats": 13, "dogs": 13}}
    assert report.sizes == {"smallest": (10, 10), "median": (96, 80), "largest": (100, 200)}
    assert report.modes == {"RGB": 25, "L": 1}
    assert report.imbalance == 1
    assert (report.unreadable, report.other_files, report.duplicates) == ({}, {}, ())
    assert (report.problems, report.warnings) == ((), ())
    json.dumps(report.to_dict(), allow_nan=False)


def test_what_is_not_read_is_named(photos):
    (photos / "cats" / "broken.png").write_bytes(b"nothing")
    whole = _photo(photos / "cats" / "cut.jpg", 60, (800, 600)).read_bytes()
    (photos / "cats" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "dogs" / "IMG_1.HEIC").write_bytes(b"")
    (photos / "notes.txt").write_text("")
    (photos / "dogs" / ".DS_Store").write_bytes(b"")
    _photo(photos / "loose.png", 70)
    os.mkfifo(photos / "dogs" / "pipe.png")
    report = mnas.inspect_folder(photos)
    assert sorted(report.unreadable) == ["cats/broken.png", "cats/cut.jpg"]
    assert "truncated" in report.unreadable["cats/cut.jpg"]
    assert report.other_files == {".heic": 1, ".txt": 1}
    assert report.images == {"all": {"cats": 12, "dogs": 12}}
    assert report.warnings == (
        "not read, as they are in no class's folder: 1 image",
        "unreadable and skipped: 2 files",
    )


def test_small_and_unequal_classes_are_warned_of(photos):
    for number in range(70):
        _photo(photos / "birds" / f"{number}.png", 200 + number)
    for number in range(10, 12):
        (photos / "cats" / f"{number}.jpg").unlink()
    (photos / "cats" / "09.jpg").unlink()
    report = mnas.inspect_folder(photos)
    assert report.imbalance == pytest.approx(70 / 9)
    assert report.warnings[0].startswith("fewer than 10 images in cats (9)")
    assert report.warnings[1].startswith("the largest class has 7.8 times the images of the smallest")
    assert report.warnings[1].endswith("--class-weights balanced")


def test_equal_and_similar_images_are_found_wherever_they_are(photos):
    shutil.copy(photos / "cats" / "00.jpg", photos / "cats" / "copy.jpg")
    with Image.open(photos / "cats" / "01.jpg") as image:
        image.resize((300, 250)).save(photos / "dogs" / "larger.webp", quality=70)
    report = mnas.inspect_folder(photos)
    exact, similar = report.duplicates
    assert (exact.exact, exact.files, exact.classes) == (True, ("cats/00.jpg", "cats/copy.jpg"), ("cats",))
    assert (similar.exact, similar.files) == (False, ("cats/01.jpg", "dogs/larger.webp"))
    assert similar.classes == ("cats", "dogs")
    wrong, leaking = report.warnings
    assert wrong.startswith("1 group of similar images in several classes, such as cats/01.jpg and dogs/larger.webp")
    assert leaking.startswith("1 group of equal images and 1 group of similar images: as the test images are chosen")


@pytest.mark.parametrize("test", ["test", "val"])
def test_images_that_leak_into_the_test_split_are_warned_of(photos, test):
    root = photos.parent / "splits"
    for split in ("train", test):
        shutil.copytree(photos, root / split)
    for path in [*(root / test).rglob("*.jpg"), *(root / test).rglob("*.png")]:
        if path.name > "03":
            path.unlink()
    for number in range(20, 30):
        _photo(root / test / "cats" / f"{number}.jpg", number)
        _photo(root / test / "dogs" / f"{number}.jpg", 100 + number)
    report = mnas.inspect_folder(root)
    assert report.images == {"train": {"cats": 12, "dogs": 12}, test: {"cats": 13, "dogs": 13}}
    assert report.layout.startswith("train/CLASS")
    assert len(report.duplicates) == 6
    assert all(group.splits == tuple(sorted(("train", test))) for group in report.duplicates)
    (warning,) = report.warnings
    assert "6 groups of equal images in several splits, such as " in warning
    assert "the test accuracy will be too high" in warning


def test_what_training_would_refuse_is_a_problem(photos):
    root = photos.parent / "unlike"
    shutil.copytree(photos, root / "train")
    shutil.copytree(photos / "cats", root / "test" / "cats")
    _photo(root / "test" / "birds" / "0.png", 300)
    report = mnas.inspect_folder(root)
    assert report.problems == (
        "test lacks the classes dogs, which train has",
        "train lacks the classes birds, which test has",
    )


def test_an_empty_class_does_not_divide_by_zero(photos):
    (photos / "empty").mkdir()
    report = mnas.inspect_folder(photos)
    assert report.imbalance is None
    assert report.problems == ("empty has 0 readable images: two or more are needed",)


def test_refusals(tmp_path):
    with pytest.raises(InputError, match="no such folder exists"):
        mnas.inspect_folder(tmp_path / "none")
    with pytest.raises(InputError, match="digits is a data set without files"):
        mnas.inspect_folder("digits")
    with pytest.raises(InputError, match="has no class"):
        mnas.inspect_folder(tmp_path)
