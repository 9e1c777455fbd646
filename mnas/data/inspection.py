"""What a folder of images holds, looked at before anything runs on it."""

from __future__ import annotations

import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mnas.data.dataset import LOADERS
from mnas.data.duplicates import Hash, difference_hash, group_similar
from mnas.data.folder_layout import Contents, find_splits, list_contents, open_folder
from mnas.data.image_file import (
    Greys,
    describe_failure,
    describe_greys,
    find_greys,
    formats,
    refuse_bombs,
    room_for,
    shrink_or_refuse,
    to_rgb,
    upright_size,
)
from mnas.errors import InputError
from mnas.system.files import read_bytes
from mnas.system.permissions import names_what_is_not_permitted
from mnas.system.threads import map_in_order

if TYPE_CHECKING:
    from PIL import Image

FEW_IMAGES = 10
HIGH_IMBALANCE = 5.0
_MANY = 10_000  # images, of which is said that they are compared
_AS_LONG = 300_000  # images that take as long to compare as to read
_THUMBNAIL = 72  # px, to which JPEG files are decoded: 8 pixels for each grey value of the hash


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """One readable image.

    Attributes:
        path: of the file, relative to the folder.
        split, label: the split and class it is in.
        width, height: in pixels, upright.
        mode: Pillow's, such as RGB, L, RGBA, CMYK.
        greys: as in `mnas.data.image_file.Picture`.
        digest: of the file's bytes.
        hash: the difference hash; None for an image with too little detail for it.
    """

    path: str
    split: str
    label: str
    width: int
    height: int
    mode: str
    greys: Greys | None
    digest: bytes
    hash: Hash | None


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Images that are the same, or nearly.

    Attributes:
        exact: whether the files are equal byte by byte; else they look alike, see `mnas.data.duplicates`.
        files: relative to the folder, sorted.
        splits, classes: the different ones that the files are in, sorted.
    """

    exact: bool
    files: tuple[str, ...]
    splits: tuple[str, ...]
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FolderReport:
    """What a folder of images holds.

    Attributes:
        folder: as it was passed.
        layout: which folders are splits and which are classes, in words.
        classes: their names, in the order of their labels.
        images: number of readable images by split and class.
        sizes: (width, height) in pixels of the `smallest`, `median` and `largest` image, by area; empty without images.
        modes: number of images by Pillow's mode.
        unreadable: the error by file, relative to the folder; mnas skips these.
        other_files: number of files that are not read, by suffix.
        skipped: number of what else is not read, by kind, such as hidden images.
        imbalance: images of the largest class over those of the smallest, in training; None if a class has none.
        duplicates: groups of equal and of similar images.
        problems: what `mnas train` and `mnas search` would refuse.
        warnings: what makes accuracies worse or wrong.
    """

    folder: str
    layout: str
    classes: tuple[str, ...]
    images: dict[str, dict[str, int]]
    sizes: dict[str, tuple[int, int]]
    modes: dict[str, int]
    unreadable: dict[str, str]
    other_files: dict[str, int]
    skipped: dict[str, int]
    imbalance: float | None
    duplicates: tuple[DuplicateGroup, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


@names_what_is_not_permitted
def inspect_folder(
    name: str | Path, *, progress: Callable[[float, str], None] = lambda share, what: None
) -> FolderReport:
    """Look at every image of a folder: counts, sizes, modes, unreadable files, small classes, duplicates.

    Each image is read once, JPEG files at a reduced size.

    Args:
        name: a folder as `mnas.data.dataset.load_dataset` takes it, or its address.
        progress: is told the share of the work that is done, and the number of images that were read or that all are
            compared.

    Raises:
        InputError: for a missing folder, fewer than two classes, or folders that are splits and not classes.
        MnasError: for an address that cannot be copied.
    """
    if name in LOADERS:
        raise InputError(f"{name} is a data set without files to look at: expected a folder of images, or its address")
    root = open_folder(str(name))
    splits = _name_splits(root, find_splits(root))
    contents = list_contents(root, splits)
    classes = {split: list(paths) for split, paths in contents.images.items()}
    listed = [
        (path, split, label)
        for split, labels in contents.images.items()
        for label, paths in labels.items()
        for path in paths
    ]
    facts, unreadable = _read_all(root, listed, progress)
    counts = {split: dict.fromkeys(labels, 0) for split, labels in classes.items()}
    for image in facts:
        counts[image.split][image.label] += 1
    duplicates = _find_duplicates(facts, progress)
    train = next(iter(counts.values()))
    smallest, largest = min(train.values()), max(train.values())
    imbalance = largest / smallest if smallest else None
    return FolderReport(
        folder=str(name),
        layout=_describe_layout(splits),
        classes=tuple(next(iter(classes.values()))),
        images=counts,
        sizes=_sizes(facts),
        modes=dict(Counter(image.mode for image in facts).most_common()),
        unreadable=unreadable,
        other_files=contents.other_files,
        skipped=contents.skipped,
        imbalance=imbalance,
        duplicates=tuple(duplicates),
        problems=tuple(_problems(classes, counts)),
        warnings=tuple(_warnings(contents, counts, imbalance, duplicates, facts, len(unreadable))),
    )


def _name_splits(root: Path, splits: dict[str, Path]) -> dict[str, Path]:
    """Name splits as their folders are; `all` where mnas makes the splits."""
    return {"all" if folder == root else folder.name: folder for folder in splits.values()}


def _describe_layout(splits: dict[str, Path]) -> str:
    if len(splits) == 1:
        (only,) = splits
        return f"{'' if only == 'all' else f'in {only}, '}one folder a class; mnas sets test images aside"
    train, test = splits
    return f"{train}/CLASS to train and validate on, {test}/CLASS to test on"


def _read_all(
    root: Path, listed: list[tuple[Path, str, str]], progress: Callable[[float, str], None]
) -> tuple[list[ImageFacts], dict[str, str]]:
    facts: list[ImageFacts] = []
    unreadable: dict[str, str] = {}
    with refuse_bombs(), closing(map_in_order(_read, listed)) as found:
        for done, ((path, split, label), read) in enumerate(zip(listed, found, strict=True), 1):
            relative = path.relative_to(root).as_posix()
            if isinstance(read, str):
                unreadable[relative] = read
            else:
                facts.append(ImageFacts(relative, split, label, *read))
            progress(done / len(listed) * _reading_share(len(listed)), f"{done} of {len(listed)} images")
    return facts, unreadable


def _reading_share(count: int) -> float:
    """The share of the time that is for reading, before images are compared."""
    return 1 / (1 + count / _AS_LONG) if count > _MANY else 1.0


_Read = tuple[int, int, str, "Greys | None", bytes, "Hash | None"]


def _read(listed: tuple[Path, str, str]) -> _Read | str:
    """Return width, height, mode, greys, digest and hash of an image; or why it cannot be read."""
    from PIL import Image

    try:
        content = read_bytes(listed[0], "an image")
        with Image.open(io.BytesIO(content), formats=formats()) as file:
            size, whole, mode = upright_size(file), file.size, file.mode
            shrink_or_refuse(file, _THUMBNAIL)
            file.draft("RGB", (_THUMBNAIL, _THUMBNAIL))
            with room_for(file, whole):
                greys, similar = _greys_and_hash(file)
            return *size, mode, greys, hashlib.sha256(content).digest(), similar
    except Exception as error:  # Pillow raises many kinds of errors for damaged files
        return describe_failure(error)


def _greys_and_hash(file: Image.Image) -> tuple[Greys | None, Hash | None]:
    image = to_rgb(file)
    return find_greys(file, image), difference_hash(image)


def _sizes(facts: list[ImageFacts]) -> dict[str, tuple[int, int]]:
    sizes = sorted(((image.width, image.height) for image in facts), key=lambda size: (size[0] * size[1], size))
    if not sizes:
        return {}
    return {"smallest": sizes[0], "median": sizes[len(sizes) // 2], "largest": sizes[-1]}


def _find_duplicates(facts: list[ImageFacts], progress: Callable[[float, str], None]) -> list[DuplicateGroup]:
    by_digest: dict[bytes, list[ImageFacts]] = defaultdict(list)
    for image in facts:
        by_digest[image.digest].append(image)
    exact = [_group(same, exact=True) for same in by_digest.values() if len(same) > 1]
    different = [same[0] for same in by_digest.values() if same[0].hash is not None]
    if not different:
        return exact
    hashes = np.stack([image.hash for image in different if image.hash is not None])
    read = _reading_share(len(facts))

    def report(share: float) -> None:
        if read < 1:
            progress(read + (1 - read) * share, f"comparing {len(hashes)} images")

    groups = group_similar(hashes, progress=report)
    similar = ([image for index in group for image in by_digest[different[index].digest]] for group in groups)
    return exact + [_group(images, exact=False) for images in similar]


def _group(images: list[ImageFacts], *, exact: bool) -> DuplicateGroup:
    files, splits, classes = (
        tuple(sorted({getattr(image, name) for image in images})) for name in ("path", "split", "label")
    )
    return DuplicateGroup(exact, files, splits, classes)


def _problems(classes: dict[str, list[str]], counts: dict[str, dict[str, int]]) -> Iterator[str]:
    first, *others = classes
    for other in others:
        for one, two in ((first, other), (other, first)):
            if missing := sorted(set(classes[one]) - set(classes[two])):
                yield f"{two} lacks the classes {', '.join(missing)}, which {one} has"
    for split, labels in counts.items():
        for label, count in labels.items():
            least = 2 if split == first else 1
            if count < least:
                needed = "two or more are" if least == 2 else "one or more is"
                yield f"{_place(split, label)} has {_plural(count, 'readable image')}: {needed} needed"


def _warnings(
    contents: Contents,
    counts: dict[str, dict[str, int]],
    imbalance: float | None,
    duplicates: list[DuplicateGroup],
    facts: list[ImageFacts],
    unreadable: int,
) -> Iterator[str]:
    if contents.loose:
        yield f"not read, as they are in no class's folder: {_plural(contents.loose, 'image')}"
    if unreadable:
        yield f"unreadable and skipped: {_plural(unreadable, 'file')}"
    if lost := describe_greys([image.greys for image in facts if image.greys is not None]):
        yield lost
    for split, labels in counts.items():
        if few := [f"{label} ({count})" for label, count in labels.items() if count < FEW_IMAGES]:
            yield f"fewer than {FEW_IMAGES} images in {_place(split, ', '.join(few))}: their accuracy is mostly chance"
    if imbalance is not None and imbalance > HIGH_IMBALANCE:
        yield (
            f"the largest class has {imbalance:.1f} times the images of the smallest: a network that prefers large "
            "classes gets a good accuracy, so look at the accuracy of each class, and try --class-weights balanced"
        )
    across_classes = [group for group in duplicates if len(group.classes) > 1]
    across_splits = [group for group in duplicates if len(group.splits) > 1]
    if across_classes:
        yield (
            f"{_count(across_classes)} in several classes, such as {_example(across_classes[0])}: one of the labels "
            "is wrong"
        )
    if across_splits:
        yield (
            f"{_count(across_splits)} in several splits, such as {_example(across_splits[0])}: the test accuracy "
            "will be too high; remove them from one of the splits"
        )
    if len(counts) == 1 and duplicates:
        yield (
            f"{_count(duplicates)}: as the test images are chosen at random, some may be among the training images "
            "too, and the test accuracy too high; keep one of each, or make the folders train and test"
        )


def _place(split: str, text: str) -> str:
    return text if split == "all" else f"{split}: {text}"


def _count(groups: list[DuplicateGroup]) -> str:
    exact = sum(group.exact for group in groups)
    counts = {"equal": exact, "similar": len(groups) - exact}
    return " and ".join(f"{_plural(count, 'group')} of {kind} images" for kind, count in counts.items() if count)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _example(group: DuplicateGroup) -> str:
    return " and ".join(group.files[:2])
