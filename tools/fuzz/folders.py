"""Folders of images as people have them, for `tools.fuzz`: each is made from the bytes of its input, as from a seed."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import random
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mnas.errors import InputError
from tools.fuzz.scenario import Scenario

_SPLITS = (
    *(("train", "test"), ("Training", "Testing"), ("images_train", "images_val"), ("TRAIN", "valid")),
    *(("training_set", "test_set"), ("train", "validation"), ("pets-train", "pets-test"), ("train2017", "val2017")),
)
_NAMES = (
    *("cat", "Dog", "zebra crossing", "caf\u00e9", "\u732b", "-n", "$(id)", "'", '"', "#1", "x" * 120, "train", "n.o."),
    "\U0001f431",
)
_WRONG_NAMES = ("two\nlines", os.fsdecode(b"caf\xe9"))
_FOREIGN = (".ipynb_checkpoints", "__MACOSX", "@eaDir", ".trash")
_KINDS = (
    *(("PNG", "RGB"), ("PNG", "L"), ("PNG", "P"), ("PNG", "RGBA"), ("PNG", "LA"), ("PNG", "1"), ("PNG", "I;16")),
    *(("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("GIF", "P"), ("BMP", "RGB"), ("WEBP", "RGB")),
    *(("TIFF", "RGB"), ("TIFF", "F"), ("TIFF", "I;16"), ("PPM", "RGB")),
)
_ENDINGS = {
    "JPEG": (".jpg", ".JPG", ".jpeg", ".jfif", ".jpe", ".png"),
    "PPM": (".ppm", ".pnm"),
    "TIFF": (".tif", ".TIFF"),
}
_PX = 8


class WrongError(Exception):
    """What is wrong with how a folder was read."""


@dataclass
class Plan:
    """What a folder was made to hold.

    Attributes:
        images: numbers of readable images, by split and class; `test` is absent where mnas takes it from `train`.
        refused: whether it cannot be used.
        others: number of files, folders and links that are not read.
        damaged: number of images that cannot be read.
    """

    root: Path
    images: dict[str, dict[str, int]] = field(default_factory=dict)
    refused: bool = False
    others: int = 0
    damaged: int = 0


class _Maker:
    """Makes a folder by chance."""

    def __init__(self, folder: Path, data: bytes) -> None:
        self._rng = random.Random(data)
        self.plan = Plan(folder / "photos")
        self._outside = folder / "outside"
        self._known: list[bytes] = []

    def make(self) -> Plan:
        """Make one."""
        chance, rng, root = self._rng.random(), self._rng, self.plan.root
        names = rng.sample(_NAMES, rng.randint(2, 4))
        if chance < 0.4:
            self._split("train", root, names)
        elif chance < 0.75:
            train, test = rng.choice(_SPLITS)
            self._split("train", root / train, names)
            self._split("test", root / test, names)
        elif chance < 0.85:  # unlabelled test images
            self._split("train", root / "train", names)
            self._fill(root / "test", rng.randint(1, 3))
            if rng.random() < 0.5:
                self._split("test", root / "val", names)
            self.plan.others += 1
        elif chance < 0.95:
            for part in rng.choice((("part1", "part2"), ("a", "b", "c"), ("train", "val", "valid"))):
                self._split("train", root / part, names)
            self.plan.refused = True
        else:
            self._split("train", root / "archive", names)
            self.plan.refused = True
        self._litter(root)
        return self.plan

    def _split(self, split: str, folder: Path, names: list[str]) -> None:
        names = [*names]
        if self._rng.random() < 0.05:
            names.append(self._rng.choice(_WRONG_NAMES))
            self.plan.refused = True
        self.plan.images[split] = {name: self._class(folder / name, split) for name in names}

    def _class(self, folder: Path, split: str) -> int:
        least = 1 if split == "test" else 2
        count = self._rng.choice((least, 3, 4, 9)) if self._rng.random() < 0.97 else least - 1
        self._fill(folder, count)
        inner = folder / "more" if self._rng.random() < 0.3 else folder
        inner.mkdir(exist_ok=True)
        for _ in range(self._rng.choice((0, 0, 1))):
            self._damaged(inner)
        self._litter(inner)
        count += self._linked(inner) if self._rng.random() < 0.1 else 0
        self.plan.refused |= count < least
        return count

    def _fill(self, folder: Path, count: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            content, ending = self._image()
            (folder / f"{number}{ending}").write_bytes(content)

    def _image(self) -> tuple[bytes, str]:
        """Return an image as a file, sometimes one that is there already, and an ending."""
        if self._known and self._rng.random() < 0.05:
            return self._rng.choice(self._known), ".png"
        from PIL import Image

        kind, mode = self._rng.choice(_KINDS)
        chance = np.random.default_rng(self._rng.getrandbits(32))
        shape = tuple(chance.integers(_PX, 40, 2))
        if mode in ("I;16", "F"):
            kind_of_number = np.uint16 if mode == "I;16" else np.float32
            image = Image.fromarray(chance.integers(0, 65536, shape).astype(kind_of_number))
        else:
            image = Image.fromarray(chance.integers(0, 256, (*shape, 3), dtype=np.uint8)).convert(mode)
        file = io.BytesIO()
        exif = {"exif": self._exif()} if kind in ("PNG", "JPEG", "WEBP") and self._rng.random() < 0.4 else {}
        image.save(file, kind, **exif)
        self._known.append(file.getvalue())
        return file.getvalue(), self._rng.choice(_ENDINGS.get(kind, (f".{kind.lower()}", ".png")))

    def _exif(self) -> bytes:
        """EXIF with an orientation, or something like it, and tags of any type and value."""
        tags = [struct.pack("<HHIHH", 0x0112, 3, 1, self._rng.randint(0, 9), 0)]
        for _ in range(self._rng.randint(0, 3)):
            tag, kind = self._rng.choice((0x010F, 0x011A, 0x0132, 0x8769, 0x8825, 0xA005)), self._rng.randint(0, 13)
            tags.append(struct.pack("<HHII", tag, kind, self._rng.choice((0, 1, 4, 9999)), self._rng.getrandbits(32)))
        return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + b"".join(tags) + bytes(4)

    def _damaged(self, folder: Path) -> None:
        content = self._rng.choice((b"", b"\xff\xd8\xff\xe0", b"<html>", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"GIF89a"))
        (folder / f"damaged{self._rng.getrandbits(32)}.jpg").write_bytes(content)
        self.plan.damaged += 1

    def _linked(self, folder: Path) -> int:
        """Link to a folder elsewhere with one image."""
        target = self._outside / str(self._rng.getrandbits(32))
        self._fill(target, 1)
        (target / "back").symlink_to(self._rng.choice((target, self.plan.root, self.plan.root.parent)))
        self.plan.others += 1
        (folder / "linked").symlink_to(target)
        return 1

    def _litter(self, folder: Path) -> None:
        """Add what is not to be read."""
        for number in range(self._rng.choice((0, 0, 1, 2))):
            kind, path = self._rng.randrange(6), folder / f"other{number}"
            if kind == 0:
                self._fill(folder / self._rng.choice(_FOREIGN), 1)
            elif kind == 1:
                (folder / f"._{number}.jpg").write_bytes(b"\0\5\x16\7")
            elif kind == 2:
                path.with_suffix(self._rng.choice((".heic", ".txt", ".JSON", ""))).write_bytes(b"x")
            elif kind == 3:
                path.with_suffix(".png").symlink_to(self._outside / "nowhere")
            elif kind == 4:
                path.with_suffix(".png").symlink_to(path.with_suffix(".png"))
            else:
                os.mkfifo(path.with_suffix(".png"))
            self.plan.others += 1


def _make(path: Path, data: bytes) -> Plan:
    folder = path.parent / hashlib.sha256(data).hexdigest()[:16]
    return Plan(folder) if folder.exists() else _Maker(folder, data).make()


@contextmanager
def _heard() -> Iterator[list[str]]:
    """Collect what is logged, although `tools.fuzz` shows no logs."""
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger, before = logging.getLogger("mnas"), logging.root.manager.disable
    logging.disable(logging.NOTSET)
    logger.addHandler(handler)
    try:
        yield said
    finally:
        logger.removeHandler(handler)
        logging.disable(before)


def _read(path: Path) -> None:
    """Load and inspect the folder that the input makes.

    Raises:
        InputError: if it is refused, and should be.
        WrongError: if anything was not as it should be.
    """
    from mnas.data.dataset import load_dataset
    from mnas.data.inspection import inspect_folder

    data = path.read_bytes()
    plan, limit = _make(path, data), random.Random(data[::-1]).choice((None, None, 12, 20))
    if not plan.images:  # the same input once more
        return
    refused = plan.refused or _is_too_few(plan, limit)
    with _heard() as said:
        try:
            dataset = load_dataset(str(plan.root), resolution=_PX, limit=limit)
        except InputError as error:
            if refused:
                raise
            raise WrongError(f"refused, and nothing is wrong: {error}") from None
        report = inspect_folder(plan.root)
    if refused:
        raise WrongError("accepted, and it cannot be used")
    if faults := list(_faults(plan, dataset, report, "\n".join(said), limit)):
        raise WrongError("; ".join(faults))


def _is_too_few(plan: Plan, limit: int | None) -> bool:
    """Whether a class could not have an image in training."""
    counts = list(plan.images["train"].values())
    if "test" not in plan.images:
        counts = [count - min(max(1, round(count * 0.15)), count - 1) for count in counts]
    total = min(limit or 10**6, sum(counts))
    return total - max(1, round(total * 0.15)) < len(counts)


def _faults(plan: Plan, dataset: Any, report: Any, said: str, limit: int | None) -> Iterator[str]:
    splits = (dataset.train, dataset.validation, dataset.test)
    train, validation, test = ({image.tobytes() for image in split.images} for split in splits)
    every = set(range(len(plan.images["train"])))
    if list(dataset.class_names) != sorted(plan.images["train"]):
        yield f"other classes: {dataset.class_names}"
    if {*dataset.train.labels} != every or {*dataset.test.labels} != every:
        yield "a class is lost"
    if {*dataset.validation.labels} != every and "no validation image" not in said:
        yield "a class is silently not scored"
    if ((train | validation) & test or train & validation) and "in several splits" not in said:
        yield "an image is silently in two splits"
    if limit is None and sum(map(len, splits)) != sum(sum(counts.values()) for counts in plan.images.values()):
        yield "another number of images"
    if [*report.images.values()] != [dict(sorted(counts.items())) for counts in plan.images.values()]:
        yield f"counted otherwise: {report.images}"
    if len(report.unreadable) != plan.damaged:
        yield f"unreadable: {report.unreadable}"
    if (plan.others or (plan.damaged and limit is None)) and "not read" not in said:
        yield "something is silently not read"


FOLDERS: dict[str, Scenario] = {"folders as people have them": Scenario(lambda folder: [b"0", b"folder"], _read)}
