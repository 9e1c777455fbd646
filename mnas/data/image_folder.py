"""A folder of images by class, of any sizes, modes and orientations; damaged files are skipped."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Generator
from pathlib import Path

import numpy as np

from mnas.data.folder_layout import check_same_classes, find_splits, list_contents, open_folder, say_once, say_skipped
from mnas.data.image_file import Bytes, Greys, Picture, decode_picture, describe_greys, refuse_bombs
from mnas.data.splitting import Mask, Places
from mnas.errors import InputError
from mnas.system.threads import map_in_order

_SAID = 5  # unreadable images that are named
_log = logging.getLogger(__name__)


class FolderImages:
    """The images of `name/CLASS/*.png`, or of `name/train/CLASS/*` with `name/test/CLASS/*`; see `ImageSource`.

    Without `test`, or if no class has a folder in it, `val` (or `valid`, `validation`) is the test split, as in
    ImageNet's layout: the images that score candidates are always taken from `train`.

    Args:
        name: the folder, or its address.
        resolution: side of the images in pixels.

    Raises:
        InputError: for a missing folder, fewer than two classes, train and test folders with different classes, or
            folders that are splits and not classes.
        MnasError: for an address that cannot be copied.
    """

    def __init__(self, name: str, resolution: int) -> None:
        self._root, self._resolution = open_folder(name), resolution
        splits = find_splits(self._root)
        self._contents = list_contents(self._root, splits)
        if "test" in splits:
            check_same_classes(splits["train"], splits["test"])
        self.classes = list(self._contents.images["train"])
        self._folders: list[tuple[Path, int, int, int]] = []  # of a class: folder, smallest number, start, stop
        self._paths: list[Path] = []
        labels: list[int] = []
        for split in splits:
            for label, (kind, paths) in enumerate(self._contents.images[split].items()):
                # In training two: one may be taken to test or to score on.
                start, least = len(self._paths), 1 if split == "test" else 2
                self._paths += paths
                labels += [label] * len(paths)
                self._folders.append((splits[split] / kind, least, start, len(self._paths)))
        self.labels = np.asarray(labels, dtype=np.int64)
        tested = sum(map(len, self._contents.images.get("test", {}).values()))
        self.num_test = tested if "test" in splits else None
        self._said = 0
        self._greys: list[Greys] = []

    def read(self, places: Places) -> Generator[Bytes | None, None, None]:
        """See `ImageSource`."""
        pictures = map_in_order(self._decode, (self._paths[place] for place in places))
        with refuse_bombs(), contextlib.closing(pictures):
            for picture in pictures:
                yield self._pixels(picture)

    def _decode(self, path: Path) -> Picture | InputError:
        try:
            return decode_picture(path, self._resolution)
        except InputError as error:
            return error

    def _pixels(self, picture: Picture | InputError) -> Bytes | None:
        if isinstance(picture, InputError):
            self._said += 1
            if self._said <= _SAID:
                _log.warning("skipped %s", picture)
            return None
        self._greys += [] if picture.greys is None else [picture.greys]
        return picture.pixels

    def check(self, readable: Mask) -> None:
        """See `ImageSource`.

        Raises:
            InputError: for a class with too few readable images.
        """
        for folder, least, start, stop in self._folders:
            count = int(readable[start:stop].sum())
            if count < least:
                number = f"{count} readable image{'' if count == 1 else 's'}"
                raise InputError(f"{folder} has {number}: expected {least} or more for every class")

    def say(self, readable: Mask) -> None:
        """Say in one line what was not read, and where grey levels are lost."""
        say_skipped(self._root, self._contents, int((~readable).sum()))
        if lost := describe_greys(self._greys):
            say_once(f"{self._root}: {lost}")

    def fingerprint(self) -> str:
        """See `ImageSource`: names, sizes and times of all files."""
        digest = hashlib.sha256()
        for path in self._paths:
            found = os.stat(path)
            text = f"{path.relative_to(self._root)}\0{found.st_size}\0{found.st_mtime_ns}\0"
            digest.update(text.encode(errors="surrogateescape"))  # a name need not be UTF-8
        return digest.hexdigest()
