"""The images of a data set in one array: in memory, or in a file where they would fill the memory.

The file is mapped into memory: what is used is read, and the system drops what it needs the room of.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import os
import shutil
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mnas.arch.memory import physical_memory
from mnas.data.folder_layout import say_once
from mnas.data.splitting import Choice, Labels, Mask, Places
from mnas.errors import MnasError
from mnas.system.cache import cache_folder
from mnas.system.files import is_document, read_json, write_json
from mnas.system.lock import hold, is_held

MEMORY_SHARE = 0.25  # of the memory, above which images are in a file: several processes may have the same images
_LARGE = 1 << 30  # bytes, of which is said that they are read
_FIRST_SAID_S, _SAID_EVERY_S = 10.0, 60.0  # how far a long reading is
_FORMAT, _VERSION = "mnas.images", 1

_log = logging.getLogger(__name__)

Bytes = npt.NDArray[np.uint8]
Chooser = Callable[[Mask], Choice]


class ImageSource(Protocol):
    """Images that can be read in any order."""

    @property
    def classes(self) -> list[str]:
        """Their names, in the order of the labels."""

    @property
    def labels(self) -> Labels:
        """Of all images; those of a test split, if there is one, at the end."""

    @property
    def num_test(self) -> int | None:
        """The number of images of the test split; None if there is none."""

    def read(self, places: Places) -> Generator[Bytes | None, None, None]:
        """Read images, at ascending places, of shape (resolution, resolution, 3); None for one that is not readable."""

    def check(self, readable: Mask) -> None:
        """Refuse images of which too few are readable."""

    def say(self, readable: Mask) -> None:
        """Say what was not read."""

    def fingerprint(self) -> str:
        """Return a hash of what the pixels depend on, without reading them."""


def read_images(
    name: str, source: ImageSource, choose: Chooser, resolution: int, *, readable: Mask | None = None
) -> tuple[Bytes, Choice, Mask]:
    """Choose images and read them, each once.

    Args:
        name: of the data, for messages.
        source: the images.
        choose: chooses among those that are readable; called again if some turn out not to be.
        resolution: of the images, in pixels.
        readable: what is known before; all by default.

    Returns:
        The images in the order of `Choice.places`, of shape (count, resolution, resolution, 3); the choice; and which
        images may be readable. The array cannot be written to if it is in a file.

    Raises:
        InputError: for too few images.
        MnasError: if neither the memory nor the disk has enough room.
    """
    readable = np.ones(len(source.labels), bool) if readable is None else readable.copy()
    source.check(readable)
    shape = (len(choose(readable).places), resolution, resolution, 3)
    size, memory = math.prod(shape), physical_memory()
    what = f"{name}: {shape[0]:,} images of {resolution} px take {size / 2**30:,.1f} GiB"
    if size > MEMORY_SHARE * memory:
        path = _path(source, choose(readable), shape)
        if path.is_file() or _make_room(path.parent, size):
            say_once(f"{what}, and this machine has {memory / 2**30:,.1f} GiB of memory: they are kept in {path}")
            return _in_file(path, what, source, choose, shape, readable)
        if size > memory / 2:
            raise MnasError(
                f"{what}, too much for {memory / 2**30:,.1f} GiB of memory, and {path.parent} has no room for them: "
                "set MNAS_CACHE to a folder on another disk, or use fewer images (--max-train-images) or a "
                "smaller resolution"
            )
    if size > _LARGE:
        say_once(f"{what} of memory")
    pixels = np.empty(shape, np.uint8)
    choice = _fill(pixels, source, choose, readable)
    source.say(readable)
    return pixels[: len(choice.places)], choice, readable


def _fill(pixels: Bytes, source: ImageSource, choose: Chooser, readable: Mask) -> Choice:
    """Read the chosen images into the first rows, in their order; note in `readable` which cannot be read."""
    row_of = np.full(len(readable), -1)
    while True:
        places = choose(readable).places
        kept = row_of[places] >= 0
        missing = places[~kept]
        if not len(missing):
            _arrange(pixels, row_of[places])
            return choose(readable)
        others = np.ones(len(readable), bool)
        others[places[kept]] = False
        row_of[others] = -1
        free = np.setdiff1d(np.arange(len(pixels)), row_of)[: len(missing)]
        order = np.argsort(missing)  # neighbours on the disk are read one after the other
        pace = _Pace(len(order))
        with contextlib.closing(source.read(missing[order])) as images:
            for place, row, image in zip(missing[order], free[order], images, strict=True):
                if image is None:
                    readable[place] = False
                else:
                    pixels[row], row_of[place] = image, row
                pace.one_more()
        source.check(readable)


class _Pace:
    """Says how far a long reading is, and how long the rest will take."""

    def __init__(self, count: int) -> None:
        self._count, self._done = count, 0
        self._started = time.monotonic()
        self._said = self._started + _FIRST_SAID_S - _SAID_EVERY_S

    def one_more(self) -> None:
        """One image was read."""
        self._done += 1
        now = time.monotonic()
        if now - self._said >= _SAID_EVERY_S:
            self._said = now
            left = (now - self._started) * (self._count / self._done - 1)
            about = f"{left / 60:.0f} min" if left >= 90 else f"{left:.0f} s"
            _log.warning("%s of %s images are read; about %s left", f"{self._done:,}", f"{self._count:,}", about)


def _arrange(pixels: Bytes, rows: npt.NDArray[np.intp]) -> None:
    """Bring these rows to the front, in their order. They are moved in place, as there may be no memory for a copy."""
    comes_from = np.concatenate([rows, np.setdiff1d(np.arange(len(pixels)), rows)])
    done = comes_from == np.arange(len(pixels))
    for start in np.flatnonzero(~done):
        if done[start]:
            continue
        first, row = pixels[start].copy(), start
        while comes_from[row] != start:
            pixels[row] = pixels[comes_from[row]]
            done[row], row = True, comes_from[row]
        pixels[row], done[row] = first, True


def _path(source: ImageSource, choice: Choice, shape: tuple[int, ...]) -> Path:
    """The file of a choice of images; others if an image is changed."""
    made_from = [_VERSION, source.fingerprint(), shape, choice.places.tolist()]
    return cache_folder("images") / f"{hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:32]}.npy"


def _in_file(
    path: Path, what: str, source: ImageSource, choose: Chooser, shape: tuple[int, ...], readable: Mask
) -> tuple[Bytes, Choice, Mask]:
    part, record = path.with_suffix(".part"), path.with_suffix(".json")
    with hold(path.with_suffix(".lock"), what, wait=True):
        unreadable = _recorded(record) if path.is_file() else None
        if unreadable is None:
            _remove_unfinished(path.parent)
            try:
                _write(part, source, choose, shape, readable)
                found = np.flatnonzero(~readable).tolist()
                write_json(record, {"format": _FORMAT, "version": _VERSION, "unreadable": found})
                os.replace(part, path)
            except OSError as error:
                raise MnasError(f"{what}, and {part} cannot be written: {error.strerror or error}") from None
            finally:
                part.unlink(missing_ok=True)
        else:
            readable[unreadable] = False
            os.utime(path)  # see `_make_room`
    source.say(readable)
    choice = choose(readable)
    pixels = np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)
    return pixels[: len(choice.places)], choice, readable


def _write(part: Path, source: ImageSource, choose: Chooser, shape: tuple[int, ...], readable: Mask) -> None:
    pixels = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=shape)
    if hasattr(os, "posix_fallocate"):  # writing to a mapped file on a full disk would end the process
        with open(part, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, part.stat().st_size)
    _fill(pixels, source, choose, readable)
    pixels.flush()


def _recorded(record: Path) -> list[int] | None:
    """The places of images that could not be read; None if the record is damaged."""
    with contextlib.suppress(MnasError):
        document = read_json(record, "a record of images")
        if is_document(document, _FORMAT, _VERSION):
            return list(document["unreadable"])
    return None


def _remove_unfinished(folder: Path) -> None:
    """Remove what killed processes left."""
    for part in folder.glob("*.part"):
        if not is_held(part.with_suffix(".lock")):
            part.unlink(missing_ok=True)


def _make_room(folder: Path, size: int) -> bool:
    """Whether there is room for a file of this size; files that were not used for longest are removed for it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = sorted(folder.glob("*.npy"), key=lambda path: path.stat().st_mtime)
        free, sizes = shutil.disk_usage(folder).free, [path.stat().st_size for path in others]
        if free + sum(sizes) < size:
            return False
        for path, freed in zip(others, sizes, strict=True):
            if free >= size:
                break
            path.unlink()
            path.with_suffix(".json").unlink(missing_ok=True)
            free += freed
        return free >= size
    except OSError:  # no permission, or a file is in use on a system that does not allow this
        return False
