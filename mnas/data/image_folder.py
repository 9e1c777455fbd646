"""A folder of images by class, of any sizes, modes and orientations; damaged files are skipped."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mnas.errors import InputError
from mnas.random_streams import Stream, generator
from mnas.system.remote import is_remote, local_copy

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff")
# Pillow recognises formats by content, and some start other programs (EPS): these do not.
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")
TEST_SHARE = 0.15
_VALIDATION = ("val", "valid", "validation")
_SPLITS = ("train", "test", *_VALIDATION)
_log = logging.getLogger(__name__)

Bytes = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


def load_folder(name: str, resolution: int, *, seed: int = 0) -> tuple[Bytes, Labels, Bytes, Labels, list[str]]:
    """Read `name/CLASS/*.png` (a test split is taken from them), or `name/train/CLASS/*` with `name/test/CLASS/*`.

    Without `test`, `val` (or `valid`, `validation`) is the test split, as in ImageNet's layout: the images that score
    candidates are always taken from `train`.

    Returns:
        Training images and labels, test images and labels, class names.

    Raises:
        InputError: for a missing folder, fewer than two classes, a class without a readable image, train and test
            folders with different classes, or folders that are splits and not classes.
        MnasError: for an address that cannot be copied.
    """
    root = open_folder(name)
    splits = find_splits(root)
    classes = class_names(splits["train"])
    if "test" in splits:
        if class_names(splits["test"]) != classes:
            raise InputError(f"{splits['train']} and {splits['test']} do not have the same classes")
        train, test = (_read_all(splits[split], classes, resolution) for split in ("train", "test"))
        return (*train, *test, classes)
    images, labels = _read_all(root, classes, resolution)
    held = _held_out(labels, seed)
    return images[~held], labels[~held], images[held], labels[held], classes


def open_folder(name: str) -> Path:
    """Return a folder of images; one at an address is copied first.

    Raises:
        InputError: for a missing folder.
        MnasError: for an address that cannot be copied.
    """
    root = local_copy(name, is_image) if is_remote(name) else Path(name)
    if not root.is_dir():
        raise InputError(
            f"no data set is called {name!r} and no such folder exists: expected digits, fashion_mnist, cifar10, "
            "cifar100, a folder with one folder of images a class, or its address (s3://...)"
        )
    return root


def find_splits(root: Path) -> dict[str, Path]:
    """Return the folders that hold the classes: `train` and `test`, or only `train` (the root itself).

    Raises:
        InputError: for folders that have the names of splits, but in no known layout.
    """
    test = _test_folder(root)
    return {"train": root} if test is None else {"train": root / "train", "test": test}


def _test_folder(root: Path) -> Path | None:
    """Return the folder of test images beside `train`; None if the folders are classes.

    Raises:
        InputError: for folders that have the names of splits, but in no known layout: they would be taken for classes,
            and the accuracy would be meaningless.
    """
    found = {path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")}
    validation = [name for name in _VALIDATION if name in found]
    if {"train", "test"} <= found:
        if validation:
            _log.warning("%s/%s is not read: validation images are taken from train", root, validation[0])
        return root / "test"
    if "train" in found and len(validation) == 1:
        return root / validation[0]
    if found and all(name.lower() in _SPLITS for name in found):
        raise InputError(
            f"{root} has the folders {', '.join(sorted(found))}, which are not classes: expected train/CLASS with "
            "test/CLASS or val/CLASS beside it, or one folder of images a class"
        )
    return None


def is_image(name: str) -> bool:
    """Whether a file's name ends as those of images do."""
    return name.lower().endswith(SUFFIXES)


def class_names(root: Path) -> list[str]:
    """Return the names of a split's classes, in the order of their labels.

    Raises:
        InputError: for fewer than two.
    """
    classes = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(classes) < 2:
        found = f"one class ({classes[0]})" if classes else "no class"
        raise InputError(f"{root} has {found}: expected two or more folders of images, one a class")
    return classes


def _held_out(labels: Labels, seed: int) -> npt.NDArray[np.bool_]:
    """Choose the same share of every class, at least one image of each and never all of them."""
    rng = generator(seed, Stream.IMAGE_FOLDER_TEST)
    held = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        own = rng.permutation(np.flatnonzero(labels == label))
        held[own[: min(max(1, round(len(own) * TEST_SHARE)), len(own) - 1)]] = True
    return held


def _read_all(root: Path, classes: list[str], resolution: int) -> tuple[Bytes, Labels]:
    images: list[Bytes] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        paths = image_paths(root / name)
        read = [image for image in (read_image(path, resolution) for path in paths) if image is not None]
        if len(read) < 2:
            raise InputError(f"{root / name} has {len(read)} readable images: expected several for every class")
        images += read
        labels += [label] * len(read)
    return np.stack(images), np.asarray(labels, dtype=np.int64)


def image_paths(folder: Path) -> list[Path]:
    """Return the images in a folder and its folders, by their names, sorted."""
    found = (path for path in folder.rglob("*") if is_image(path.name))
    return sorted(path for path in found if path.is_file())  # reading a pipe called x.png would not end


def read_image(path: Path, resolution: int) -> Bytes | None:
    """As `decode_image`, but None (with a warning in the log) for a file that is not an image."""
    try:
        return decode_image(path, resolution)
    except InputError as error:
        _log.warning("skipped %s", error)
        return None


def decode_image(path: Path, resolution: int) -> Bytes:
    """Read an image as an RGB square: rotated by its EXIF, transparency on white, the centre square, antialiased.

    Returns:
        uint8 of shape (resolution, resolution, 3).

    Raises:
        InputError: for a file that is not an image, or is damaged.
    """
    from PIL import Image, ImageOps

    try:
        with refuse_bombs(), Image.open(path, formats=FORMATS) as file:
            square = ImageOps.fit(to_rgb(file), (resolution, resolution), Image.Resampling.LANCZOS)
            return np.asarray(square)
    except Exception as error:  # Pillow raises many kinds of errors for damaged files
        raise InputError(f"{path}: not a readable image ({error})") from None


@contextmanager
def refuse_bombs() -> Iterator[None]:
    """Make Pillow refuse images of so many pixels that they are likely meant to fill the memory."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def to_rgb(file: Image.Image) -> Image.Image:
    """Return an image as the networks see it: rotated by its EXIF, transparency on white, 16 bits stretched to 8."""
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(file)
    if image.mode.startswith(("I", "F")):  # 16-bit and float greys: stretch to bytes, do not clip
        image = Image.fromarray(_stretch(np.asarray(image)))
    if image.mode in ("LA", "PA", "RGBA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image.convert("RGB")


def _stretch(values: npt.NDArray[np.generic]) -> Bytes:
    numbers = np.nan_to_num(values.astype(np.float64))
    low, high = float(numbers.min()), float(numbers.max())
    if high <= 255 and low >= 0:
        return numbers.astype(np.uint8)
    top = 65535.0 if low >= 0 and high <= 65535 else high
    bottom = 0.0 if low >= 0 else low
    return np.round((numbers - bottom) * (255 / max(top - bottom, 1e-9))).astype(np.uint8)
