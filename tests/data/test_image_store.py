"""Images are chosen before they are read, read once, and kept in a file where they are too many for the memory."""

import os

import numpy as np
import pytest
from PIL import Image

from mnas.data import image_folder, image_store
from mnas.data.dataset import load_dataset
from mnas.errors import InputError, MnasError


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.setenv("MNAS_CACHE", str(tmp_path / "cache"))
    for number, name in enumerate(("cat", "dog", "eel")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for image in range(40):
            colour = (60 * number, 6 * image, 100)
            Image.new("RGB", (9, 8), colour).save(tmp_path / "photos" / name / f"{image:02}.png")
    return tmp_path / "photos"


@pytest.fixture
def reads(monkeypatch):
    """The images that were read."""
    found = []
    decode = image_folder.decode_picture
    monkeypatch.setattr(image_folder, "decode_picture", lambda path, px: found.append(path.name) or decode(path, px))
    return found


def _small_memory(monkeypatch):
    monkeypatch.setattr(image_store, "physical_memory", lambda: 1)


def _splits(dataset):
    return (dataset.train, dataset.validation, dataset.test)


def _damage(photos, *names):
    for name in names:
        (photos / name).write_bytes(b"")


# Of the version that read all images first.
@pytest.mark.parametrize(
    ("limit", "damaged", "fingerprint"),
    [
        (None, (), "024470523efcd4c1d0c363c21875e7e1390eff3d0aad4a629c1969df0a41bf2b"),
        (30, (), "dfa05fe76bbb289e1962ca88f345e1bfc4b03ec3abfd0e7848ef573201e1ff41"),
        (None, ("cat/03.png", "eel/20.png"), "61d2a9a8b0b01785a07d19ecc5f739c4835f49f8609c2f02656ce1e3752ef25a"),
    ],
)
def test_the_choice_of_images_is_the_same_as_when_all_were_read_first(photos, limit, damaged, fingerprint):
    _damage(photos, *damaged)
    assert load_dataset(str(photos), resolution=8, limit=limit, seed=3).fingerprint == fingerprint


def test_only_the_images_within_the_limit_are_read_once(photos, reads):
    dataset = load_dataset(str(photos), resolution=8, limit=20)
    assert len(reads) == 20 + 18 == sum(map(len, _splits(dataset)))


def test_unreadable_images_are_replaced_and_few_others_change(photos, reads):
    before = load_dataset(str(photos), resolution=8, limit=60)
    known = {image.tobytes() for split in _splits(before) for image in split.images}
    _damage(photos, *(f"{name}/{image}.png" for name in ("cat", "dog") for image in range(20, 26)))
    reads.clear()
    dataset = load_dataset(str(photos), resolution=8, limit=60)
    assert len(dataset.train) + len(dataset.validation) == 60
    assert len(reads) <= 60 + 18 + 12
    kept = {image.tobytes() for split in _splits(dataset) for image in split.images} & known
    assert len(kept) >= 60 + 18 - 2 * 12
    assert len({image.tobytes() for split in _splits(dataset) for image in split.images}) == 60 + len(dataset.test)


def test_what_began_with_the_choice_of_earlier_versions_keeps_it(photos):
    _damage(photos, "cat/03.png", "dog/07.png", "eel/30.png")
    begun = "a73a0881297c205fbdbcb384beba5f1ef0e7f62d8b7fbe2af8c847949cce0da3"
    assert load_dataset(str(photos), resolution=8, limit=30, seed=3, fingerprint=begun).fingerprint == begun


@pytest.mark.parametrize("limit", [None, 30])
@pytest.mark.parametrize("damaged", [(), ("cat/03.png", "dog/07.png", "eel/30.png")])
def test_images_in_a_file_are_those_in_memory(photos, monkeypatch, caplog, limit, damaged, reads):
    _damage(photos, *damaged)
    expected = load_dataset(str(photos), resolution=8, limit=limit)
    _small_memory(monkeypatch)
    dataset = load_dataset(str(photos), resolution=8, limit=limit)
    assert dataset.fingerprint == expected.fingerprint
    assert "they are kept in" in caplog.text
    reads.clear()
    again = load_dataset(str(photos), resolution=8, limit=limit)
    assert again.fingerprint == expected.fingerprint
    assert not reads
    assert not again.train.images.flags.writeable
    (file,) = image_store.cache_folder("images").glob("*.npy")
    assert np.load(file, mmap_mode="r").shape[1:] == (8, 8, 3)


def test_an_image_whose_name_is_not_utf_8_is_kept_in_a_file_too(photos, monkeypatch):
    os.rename(os.fsencode(photos / "cat" / "00.png"), os.fsencode(photos / "cat") + b"/caf\xe9.png")
    expected = load_dataset(str(photos), resolution=8).fingerprint
    _small_memory(monkeypatch)
    assert load_dataset(str(photos), resolution=8).fingerprint == expected


def test_a_changed_image_is_read_again(photos, monkeypatch):
    _small_memory(monkeypatch)
    before = load_dataset(str(photos), resolution=8).fingerprint
    Image.new("RGB", (30, 20), "white").save(photos / "cat" / "00.png")
    assert load_dataset(str(photos), resolution=8).fingerprint != before


def test_what_is_not_finished_is_removed(photos, monkeypatch):
    _small_memory(monkeypatch)
    folder = image_store.cache_folder("images")
    folder.mkdir(parents=True)
    (folder / "killed.part").write_bytes(b"x")

    def interrupt(path, px):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(image_folder, "decode_picture", interrupt)
        with pytest.raises(KeyboardInterrupt):
            load_dataset(str(photos), resolution=8)
    assert not [path for path in folder.iterdir() if path.suffix in (".part", ".npy")]
    load_dataset(str(photos), resolution=8)
    assert len(list(folder.glob("*.npy"))) == 1


def test_a_full_disk_is_said_with_the_way_out_and_older_files_make_room(photos, monkeypatch):
    _small_memory(monkeypatch)
    load_dataset(str(photos), resolution=8)
    monkeypatch.setattr(image_store.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 0}))
    load_dataset(str(photos), resolution=8, seed=1)
    assert len(list(image_store.cache_folder("images").glob("*.npy"))) == 1
    with pytest.raises(MnasError, match=r"has no room for them: set MNAS_CACHE .*--max-train-images"):
        load_dataset(str(photos), resolution=9)


def test_a_class_of_unreadable_images_is_refused_with_a_limit_too(photos):
    _damage(photos, *(f"dog/{image:02}.png" for image in range(39)))
    with pytest.raises(InputError, match=r"dog has 1 readable image: expected 2 or more"):
        load_dataset(str(photos), resolution=8, limit=30)


def test_a_long_reading_says_how_far_it_is(photos, monkeypatch, caplog):
    load_dataset(str(photos), resolution=8)
    assert "left" not in caplog.text
    monkeypatch.setattr(image_store, "_FIRST_SAID_S", 0)
    load_dataset(str(photos), resolution=8)
    assert caplog.text.count(" of 120 images are read; about ") == 1
