"""A folder of images by class, of any sizes, modes and orientations; damaged files are skipped."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mnas.data.folder_layout import Contents, check_same_classes, find_splits, list_contents, open_folder, say_skipped
from mnas.data.image_file import Bytes, decode_picture, describe_flat
from mnas.errors import InputError
from mnas.random_streams import Stream, generator

TEST_SHARE = 0.15
_SAID = 5  # unreadable images that are named
_log = logging.getLogger(__name__)

Labels = npt.NDArray[np.int64]


def load_folder(name: str, resolution: int, *, seed: int = 0) -> tuple[Bytes, Labels, Bytes, Labels, list[str]]:
    """Read `name/CLASS/*.png` (a test split is taken from them), or `name/train/CLASS/*` with `name/test/CLASS/*`.

    Without `test`, or if no class has a folder in it, `val` (or `valid`, `validation`) is the test split, as in
    ImageNet's layout: the images that score candidates are always taken from `train`.

    Returns:
        Training images and labels, test images and labels, class names.

    Raises:
        InputError: for a missing folder, fewer than two classes, a class without a readable image, train and test
            folders with different classes, or folders that are splits and not classes.
        MnasError: for an address that cannot be copied.
    """
    root = open_folder(name)
    splits = find_splits(root)
    contents = list_contents(root, splits)
    if "test" in splits:
        check_same_classes(splits["train"], splits["test"])
    reader = _Reader(resolution)
    read = {split: reader.read(splits[split], contents.images[split], least=_least(split)) for split in splits}
    reader.say(root, contents)
    classes = list(contents.images["train"])
    if "test" in splits:
        return (*read["train"], *read["test"], classes)
    images, labels = read["train"]
    held = _held_out(labels, seed)
    return images[~held], labels[~held], images[held], labels[held], classes


def _least(split: str) -> int:
    """The smallest number of images of a class: one for testing; in training, one may be taken to test or score on."""
    return 1 if split == "test" else 2


def _held_out(labels: Labels, seed: int) -> npt.NDArray[np.bool_]:
    """Choose the same share of every class, at least one image of each and never all of them."""
    rng = generator(seed, Stream.IMAGE_FOLDER_TEST)
    held = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        own = rng.permutation(np.flatnonzero(labels == label))
        held[own[: min(max(1, round(len(own) * TEST_SHARE)), len(own) - 1)]] = True
    return held


class _Reader:
    """Reads images at one resolution, and counts what it cannot read."""

    def __init__(self, resolution: int) -> None:
        self._resolution = resolution
        self._unreadable = 0
        self._levels: list[tuple[int, int]] = []

    def read(self, folder: Path, paths: dict[str, list[Path]], *, least: int) -> tuple[Bytes, Labels]:
        """Return the images of all classes, and their labels."""
        images: list[Bytes] = []
        labels: list[int] = []
        for label, name in enumerate(paths):
            read = [image for image in map(self._image, paths[name]) if image is not None]
            if len(read) < least:
                number = f"{len(read)} readable image{'' if len(read) == 1 else 's'}"
                raise InputError(f"{folder / name} has {number}: expected {least} or more for every class")
            images += read
            labels += [label] * len(read)
        return np.stack(images), np.asarray(labels, dtype=np.int64)

    def _image(self, path: Path) -> Bytes | None:
        try:
            picture = decode_picture(path, self._resolution)
        except InputError as error:
            self._unreadable += 1
            if self._unreadable <= _SAID:
                _log.warning("skipped %s", error)
            return None
        self._levels += [] if picture.levels is None else [picture.levels]
        return picture.pixels

    def say(self, root: Path, contents: Contents) -> None:
        """Say in one line what was not read, and where grey levels are lost."""
        say_skipped(root, contents, self._unreadable)
        if flat := describe_flat(self._levels):
            _log.warning("%s: %s", root, flat)
