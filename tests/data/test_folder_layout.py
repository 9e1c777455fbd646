"""Which folders are splits, which are classes, and what in them is not read."""

import os

import pytest
from PIL import Image

import mnas
from mnas.data.dataset import count_classes, load_dataset
from mnas.data.folder_layout import image_paths
from mnas.errors import InputError


def images(folder, count=3, start=0, suffix=".png"):
    """Write images that all differ, by their folder and number."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(start, start + count):
        colour = (sum(map(ord, str(folder))) % 256, number * 7 % 256, len(str(folder)) % 256)
        Image.new("RGB", (9, 9), colour).save(folder / f"{number}{suffix}", "png" if suffix == ".png" else "jpeg")


def classes(root, *names, count=8):
    for name in names or ("cats", "dogs"):
        images(root / name, count)


def sizes(root):
    dataset = load_dataset(str(root), resolution=8)
    return dataset.class_names, len(dataset.train) + len(dataset.validation), len(dataset.test)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Training", "Testing"),
        ("training_set", "test_set"),
        ("images_train", "images_val"),
        ("TRAIN", "Valid"),
        ("train2017", "val2017"),
        ("pets-train", "pets-test"),
        ("trainset", "testset"),
    ],
)
def test_splits_are_known_by_the_usual_names(tmp_path, train, test):
    classes(tmp_path / train)
    classes(tmp_path / test, count=2)
    assert sizes(tmp_path) == (("cats", "dogs"), 16, 4)
    assert mnas.inspect_folder(tmp_path).images == {train: {"cats": 8, "dogs": 8}, test: {"cats": 2, "dogs": 2}}
    assert count_classes(str(tmp_path)) == 2


def test_classes_may_have_the_words_of_splits_in_their_names(tmp_path):
    classes(tmp_path, "train", "test tube", "bus")
    images(tmp_path / "train" / "steam")
    images(tmp_path / "test tube" / "glass")
    assert sizes(tmp_path)[0] == ("bus", "test tube", "train")


@pytest.mark.parametrize("names", [("part1", "part2"), ("images", "labels"), ("train", "val", "valid")])
def test_folders_that_all_hold_the_same_folders_are_refused(tmp_path, names):
    for name in names:
        classes(tmp_path / name)
    with pytest.raises(InputError, match=r"expected train/CLASS with test/CLASS or val/CLASS beside it"):
        load_dataset(str(tmp_path), resolution=8)


def test_classes_may_have_folders_of_their_own(tmp_path):
    for name in ("cats", "dogs"):
        images(tmp_path / name / "more")
        images(tmp_path / name / name)
    assert sizes(tmp_path)[0] == ("cats", "dogs")


def test_a_single_folder_around_the_data_is_named(tmp_path):
    classes(tmp_path / "archive")
    with pytest.raises(InputError, match=r"one class \(archive\).*or pass .*/archive"):
        load_dataset(str(tmp_path), resolution=8)


@pytest.mark.parametrize("inside", ["", "unknown"])
def test_a_test_folder_without_classes_is_not_read(tmp_path, caplog, inside):
    classes(tmp_path / "train")
    images(tmp_path / "test" / inside)
    assert sizes(tmp_path) == (("cats", "dogs"), 14, 2)
    assert "test has no folders of the classes and is not read: test images are taken from train" in caplog.text
    classes(tmp_path / "val", count=5)
    assert sizes(tmp_path) == (("cats", "dogs"), 16, 10)
    assert "the test images are those of val" in caplog.text


def test_classes_that_only_one_split_has_are_named(tmp_path):
    classes(tmp_path / "train", "cats", "dogs", "eels")
    classes(tmp_path / "test", "cats", "birds")
    with pytest.raises(InputError, match="test lacks dogs, eels, and train lacks birds"):
        load_dataset(str(tmp_path), resolution=8)


def test_a_class_may_have_a_single_test_image(tmp_path):
    classes(tmp_path / "train")
    classes(tmp_path / "test", count=1)
    assert sizes(tmp_path) == (("cats", "dogs"), 16, 2)
    assert mnas.inspect_folder(tmp_path).problems == ()


def test_what_is_hidden_or_of_a_system_is_not_read(tmp_path, caplog):
    classes(tmp_path / "plain")
    before = load_dataset(str(tmp_path / "plain"), resolution=8).fingerprint
    root = (tmp_path / "plain").rename(tmp_path / "photos")
    for folder in ("cats/.ipynb_checkpoints", "cats/@eaDir", "dogs/.trash/old", "__MACOSX/cats", ".thumbnails"):
        images(root / folder, start=50)
    (root / "cats" / "._1.png").write_bytes(b"\0\5\x16\7")
    (root / "cats" / ".DS_Store").write_bytes(b"")
    assert load_dataset(str(root), resolution=8).fingerprint == before
    report = mnas.inspect_folder(root)
    assert report.skipped == {"hidden or system folders": 5, "hidden images": 1}
    assert report.images == {"all": {"cats": 8, "dogs": 8}}
    assert "photos: not read: hidden or system folders 5, hidden images 1" in caplog.text
    load_dataset(str(root), resolution=9)
    assert caplog.text.count("not read") == 1


def test_links_to_folders_are_followed_once(tmp_path):
    classes(tmp_path / "photos")
    images(tmp_path / "elsewhere" / "deep", 4, start=20)
    cats = tmp_path / "photos" / "cats"
    (tmp_path / "elsewhere" / "back").symlink_to(cats)
    (tmp_path / "elsewhere" / "itself").symlink_to(tmp_path / "elsewhere")
    for name, target in (("more", tmp_path / "elsewhere"), ("up", tmp_path), ("dogs", "../dogs"), ("round", "round")):
        (cats / name).symlink_to(target)
    (cats / "gone.png").symlink_to("nowhere.png")
    report = mnas.inspect_folder(tmp_path / "photos")
    assert report.images == {"all": {"cats": 12, "dogs": 8}}
    assert report.skipped == {"links to folders that are read anyway": 4, "links that lead nowhere": 2}


def test_files_of_other_kinds_are_counted_by_their_endings(tmp_path, caplog):
    classes(tmp_path)
    for name in ("a.HEIC", "b.heic", "c.txt"):
        (tmp_path / "cats" / name).write_bytes(b"")
    images(tmp_path, 2)
    os.mkfifo(tmp_path / "dogs" / "pipe.png")
    load_dataset(str(tmp_path), resolution=8)
    assert "not read: images in no class's folder 2, pipes and devices 1, .heic 2, .txt 1" in caplog.text


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".JFIF"])
def test_jpeg_files_with_unusual_endings_are_read(tmp_path, suffix):
    for name in ("cats", "dogs"):
        images(tmp_path / name, 5, suffix=suffix)
    assert sizes(tmp_path) == (("cats", "dogs"), 8, 2)


def test_an_archive_is_not_a_missing_folder(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"x\.zip is a file: expected a folder"):
        load_dataset(str(tmp_path / "x.zip"), resolution=8)


@pytest.mark.parametrize(("name", "why"), [(b"caf\xe9", "not UTF-8"), (b"two\nlines", "line break")])
def test_a_class_whose_name_cannot_be_a_label_is_refused(tmp_path, name, why):
    classes(tmp_path)
    os.mkdir(os.path.join(os.fsencode(tmp_path), name))
    with pytest.raises(InputError, match=why):
        load_dataset(str(tmp_path), resolution=8)


def test_a_folder_without_permission_is_named(tmp_path, monkeypatch):
    classes(tmp_path)
    scandir = os.scandir

    def locked(path):
        if str(path).endswith("dogs"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)
    for refuse in (lambda: load_dataset(str(tmp_path), resolution=8), lambda: image_paths(tmp_path)):
        with pytest.raises(InputError, match=r"cannot read the folder .*dogs: Permission denied"):
            refuse()


def test_images_of_both_splits_are_warned_of(tmp_path, caplog):
    classes(tmp_path / "train")
    classes(tmp_path / "test", count=2)
    (tmp_path / "test" / "cats" / "copy.png").write_bytes((tmp_path / "train" / "cats" / "3.png").read_bytes())
    load_dataset(str(tmp_path), resolution=8)
    assert "equal images are in several splits: 1 of 5 test images and 0 of 2 validation images" in caplog.text
