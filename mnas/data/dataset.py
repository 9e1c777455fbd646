"""Data sets: those of installed packages, those that Keras downloads, or a folder of images by class.

Every data set becomes square RGB images of one resolution as bytes, in three splits. The search scores on `validation`,
which is taken from the training images; `test` is used once, for the accuracy of a finished network.
"""

from __future__ import annotations

import gzip
import hashlib
import sys
import zlib
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.checks import check_integer, check_number
from mnas.data.folder_layout import class_names, find_splits, listed, open_folder, say_once
from mnas.data.image_folder import FolderImages
from mnas.data.image_store import ImageSource, read_images
from mnas.data.splitting import Choice, Mask, Places, Splitter
from mnas.errors import MnasError
from mnas.system.native_output import downloading, load_tensorflow
from mnas.system.permissions import names_what_is_not_permitted

Bytes = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

MOST_IDX_BYTES = 1 << 28
_CHUNK = 256  # images that are resized at a time
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
FASHION_CLASSES = ["t-shirt/top", "trouser", "pullover", "dress", "coat"]
FASHION_CLASSES += ["sandal", "shirt", "sneaker", "bag", "ankle-boot"]
CIFAR10_CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


@dataclass(frozen=True, eq=False)
class Split:
    """Images, uint8 of shape (count, size, size, 3), and labels, int64 of shape (count,)."""

    images: Bytes
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, chosen: npt.NDArray[np.intp] | slice) -> Split:
        """Return the chosen images, in that order."""
        return Split(self.images[chosen], self.labels[chosen])


@dataclass(frozen=True, eq=False)
class Dataset:
    """Three splits that share no image, and the names of the classes in the order of their labels."""

    name: str
    class_names: tuple[str, ...]
    train: Split
    validation: Split
    test: Split

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @cached_property
    def fingerprint(self) -> str:
        """A hash over every pixel and label of every split: equal data, equal fingerprints."""
        digest = hashlib.sha256()
        for split in (self.train, self.validation, self.test):
            for array in (split.images, split.labels):
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    @property
    def labels_sha256(self) -> str:
        """A hash over the labels of every split, in order: the same images at any resolution have the same."""
        digest = hashlib.sha256()
        for split in (self.train, self.validation, self.test):
            digest.update(np.ascontiguousarray(split.labels).data)
            digest.update(str(len(split)).encode())
        return digest.hexdigest()

    def describe(self) -> dict[str, Any]:
        """Return a description as plain data for a study."""
        return {"name": self.name, "classes": self.num_classes, "fingerprint": self.fingerprint}


def normalise(images: Bytes) -> npt.NDArray[np.float32]:
    """Convert bytes to the input of mnas's networks: float32 in [-1, 1]."""
    return images.astype(np.float32) / np.float32(127.5) - np.float32(1)


Raw = tuple[Bytes, Labels, Bytes, Labels, list[str]]  # images of any size to train and to test on


@names_what_is_not_permitted
def load_dataset(
    name: str,
    *,
    resolution: int,
    validation_share: float = 0.15,
    seed: int = 0,
    limit: int | None = None,
    fingerprint: str | None = None,
) -> Dataset:
    """Load a data set at one resolution.

    Validation images, and those within the limit, are chosen at random; class by class where a class would otherwise
    be missing among the training or the validation images.

    Args:
        name: digits, fashion_mnist, cifar10, cifar100, or the path of a folder with one folder of images a class
            (or `train` and `test` folders of such); or such a folder's address, see `mnas.system.remote`.
        resolution: side of the images in pixels; images of another size are resized, others than RGB converted.
        validation_share: the share of the training images set aside for scoring candidates.
        seed: decides which images are set aside.
        limit: maximum number of images for training and validation together, chosen by the seed.
        fingerprint: of data that a study or a training began with. mnas 0.1.0 lost classes: its choice of images is
            returned if it has this fingerprint, and so is one on which unreadable images had an influence that were not
            chosen.

    Raises:
        InputError: for an unknown name, a missing folder, a single class, or too few images.
        MnasError: if a download fails.
    """
    check_integer("resolution", resolution, 4, 4096)
    check_number("validation_share", validation_share, 0.01, 0.9)
    if limit is not None:
        check_integer("limit", limit, 1, 1_000_000_000)
    source: ImageSource
    source = ArrayImages(*LOADERS[name](), resolution) if name in LOADERS else FolderImages(name, resolution)
    splitter = Splitter(
        name, len(source.classes), source.labels, source.num_test, limit, validation_share=validation_share, seed=seed
    )
    pixels, choice, readable = read_images(name, source, splitter.choose, resolution)
    dataset = _dataset(name, source, pixels, choice)
    if fingerprint not in (None, dataset.fingerprint):
        dataset = _as_begun(source, splitter, (choice, readable), resolution, fingerprint) or dataset
    _warn_of_missing(dataset)
    if name not in LOADERS:
        _warn_of_shared(dataset)
    return dataset


def _dataset(name: str, source: ImageSource, pixels: Bytes, choice: Choice) -> Dataset:
    """Cut the array of all images into splits, which share its memory."""
    splits, start = [], 0
    for places in (choice.train, choice.validation, choice.test):
        splits.append(Split(pixels[start : start + len(places)], source.labels[places]))
        start += len(places)
    return Dataset(name, tuple(source.classes), *splits)


def _as_begun(
    source: ImageSource, splitter: Splitter, found: tuple[Choice, Mask], resolution: int, fingerprint: str | None
) -> Dataset | None:
    """Return the choice of images of an earlier mnas if it has this fingerprint.

    All images were read before some were chosen, and unreadable ones had an influence on which.
    """
    choice, readable = found
    unread = np.setdiff1d(np.flatnonzero(readable), choice.places)
    for place, image in zip(unread, source.read(unread), strict=True):
        readable[place] = image is not None
    for former in (False, True):
        choose = partial(splitter.choose, is_known=True, former=former)
        if not np.array_equal(choose(readable).places, choice.places):
            pixels, earlier, _ = read_images(splitter.name, source, choose, resolution, readable=readable)
            dataset = _dataset(splitter.name, source, pixels, earlier)
            if dataset.fingerprint == fingerprint:
                return dataset
    return None


@dataclass
class ArrayImages:
    """The images of a data set that was loaded as arrays, at another size; see `ImageSource`."""

    train: Bytes
    train_labels: Labels
    test: Bytes
    test_labels: Labels
    classes: list[str]
    resolution: int

    @cached_property
    def labels(self) -> Labels:
        """The labels of all images."""
        return np.concatenate([self.train_labels, self.test_labels])

    @property
    def num_test(self) -> int | None:
        """The number of test images."""
        return len(self.test_labels)

    def read(self, places: Places) -> Generator[Bytes | None, None, None]:
        """See `ImageSource`."""
        for images, own in ((self.train, places), (self.test, places - len(self.train))):
            chosen = own[(own >= 0) & (own < len(images))]
            for start in range(0, len(chosen), _CHUNK):
                yield from to_square_rgb(images[chosen[start : start + _CHUNK]], self.resolution)

    def check(self, readable: Mask) -> None:
        """All are readable."""

    def say(self, readable: Mask) -> None:
        """All are readable."""

    def fingerprint(self) -> str:
        """See `ImageSource`."""
        digest = hashlib.sha256()
        for array in (self.train, self.train_labels, self.test, self.test_labels):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def _warn_of_missing(dataset: Dataset) -> None:
    """Warn of classes that no validation image is left for; their accuracy has no influence on what is chosen."""
    counts = np.bincount(dataset.validation.labels, minlength=dataset.num_classes)
    missing = [name for name, count in zip(dataset.class_names, counts, strict=True) if not count]
    if missing:
        say_once(
            f"{dataset.name}: {len(missing)} of {dataset.num_classes} classes have no validation image, as there are "
            f"{len(dataset.validation)} validation and {len(dataset.train)} training images: "
            f"{listed(missing)}. Candidates are not scored on them; add images of these classes"
        )


def _warn_of_shared(dataset: Dataset) -> None:
    """Warn of images that are in several splits: their accuracies would be too high."""
    train, validation, test = (
        [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in split.images]
        for split in (dataset.train, dataset.validation, dataset.test)
    )
    validated, tested = len(set(train) & set(validation)), len({*train, *validation} & set(test))
    if validated or tested:
        say_once(
            f"{dataset.name}: equal images are in several splits: {tested} of {len(test)} test images and {validated} "
            f"of {len(validation)} validation images, so accuracies will be too high. "
            f"mnas data {dataset.name} names them"
        )


def to_square_rgb(images: npt.NDArray[np.uint8], resolution: int) -> Bytes:
    """Convert grey or RGB images (count, height, width[, 3]) to RGB squares of one size, bilinear.

    Images smaller by up to a seventh are padded with their edges instead of being resized: 28 px becomes 32 by a border
    of 2, as is usual for (Fashion-)MNIST.
    """
    if images.ndim == 3:
        images = np.repeat(images[..., None], 3, axis=-1)
    height, width = images.shape[1:3]
    if height == width == resolution:
        return images
    if height == width and height < resolution <= height * 8 / 7:
        before = (resolution - height) // 2
        after = resolution - height - before
        return np.pad(images, ((0, 0), (before, after), (before, after), (0, 0)), mode="edge")
    from PIL import Image

    size = (resolution, resolution)
    resized = [np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)) for image in images]
    return np.stack(resized)


def _digits() -> Raw:
    """scikit-learn's 1,797 handwritten digits of 8x8 pixels; the last fifth is the test split."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)
    labels = digits.target.astype(np.int64)
    cut = len(labels) * 4 // 5
    return images[:cut], labels[:cut], images[cut:], labels[cut:], [str(n) for n in range(10)]


def _fashion_mnist() -> Raw:
    """Debian's package dataset-fashion-mnist if it is installed, else Keras's download."""
    folder = DEBIAN_FASHION_MNIST
    if (folder / "train-images-idx3-ubyte.gz").is_file():
        train, test = (read_idx(folder / f"{name}-images-idx3-ubyte.gz") for name in ("train", "t10k"))
        train_labels, test_labels = (read_idx(folder / f"{name}-labels-idx1-ubyte.gz") for name in ("train", "t10k"))
    else:
        (train, train_labels), (test, test_labels) = _keras_download("fashion_mnist")
    labels, held = train_labels.astype(np.int64), test_labels.astype(np.int64)
    return train, labels, test, held, FASHION_CLASSES


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Read a gzipped IDX file of bytes: a magic number that ends in the rank, then the sizes, then the data.

    Raises:
        MnasError: if it is not such a file, is truncated, or unpacks to more than `MOST_IDX_BYTES`.
    """
    try:
        with gzip.open(path) as file:
            raw = file.read(MOST_IDX_BYTES + 1)
        if len(raw) > MOST_IDX_BYTES:
            raise ValueError(f"it unpacks to more than {MOST_IDX_BYTES >> 20} MiB")
        rank = raw[3]
        shape = np.frombuffer(raw, ">u4", rank, 4).astype(int)
        return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise MnasError(f"cannot read {path}: {error}") from None


def _cifar(name: str) -> Callable[[], Raw]:
    def load() -> Raw:
        (train, train_labels), (test, test_labels) = _keras_download(name)
        classes = CIFAR10_CLASSES if name == "cifar10" else [str(number) for number in range(100)]
        labels, held = (array.reshape(-1).astype(np.int64) for array in (train_labels, test_labels))
        return train, labels, test, held, classes

    return load


def _keras_download(name: str) -> tuple[tuple[Bytes, Bytes], tuple[Bytes, Bytes]]:
    """Return Keras's images and labels, for training and for testing."""
    if "tensorflow" not in sys.modules:  # or it would be loaded with its messages, and without oneDNN
        load_tensorflow()
    import keras

    try:
        with downloading():
            return getattr(keras.datasets, name).load_data()  # type: ignore[no-any-return]
    except Exception as error:  # Keras raises a bare Exception when a download fails
        hint = "; on Debian: apt-get install dataset-fashion-mnist" if name == "fashion_mnist" else ""
        if Path(name).is_dir():
            hint += f"; {name} is the name of a data set: pass the folder as ./{name}"
        raise MnasError(f"cannot download {name}: {error}{hint}") from None


LOADERS: dict[str, Callable[[], Raw]] = {
    "digits": _digits,
    "fashion_mnist": _fashion_mnist,
    "cifar10": _cifar("cifar10"),
    "cifar100": _cifar("cifar100"),
}


@names_what_is_not_permitted
def count_classes(name: str) -> int:
    """Return the number of classes of a data set; no image of a folder is read.

    Args:
        name: as for `load_dataset`.

    Raises:
        InputError: for an unknown name, a missing folder, or a single class.
        MnasError: if a download fails.
    """
    if name in LOADERS:
        return len(LOADERS[name]()[4])
    return len(class_names(find_splits(open_folder(name))["train"]))


@dataclass(frozen=True, slots=True)
class DataSource:
    """The arguments of `load_dataset` but the resolution."""

    name: str
    seed: int = 0
    limit: int | None = None
    validation_share: float = 0.15

    def load(self, resolution: int, *, fingerprint: str | None = None) -> Dataset:
        """Load it at one resolution, with the split of earlier data as `load_dataset`.

        Raises:
            InputError: as `load_dataset`.
        """
        return load_dataset(**asdict(self), resolution=resolution, fingerprint=fingerprint)
