"""A trained network on its test split in detail: confusion matrix, results by class, worst mistakes.

A training tests its network once, and writes this as test.json beside the weights.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta, Struct

from mnas.checks import AnyText, Share, convert
from mnas.data.dataset import Bytes, Labels, Split
from mnas.errors import InputError
from mnas.system.files import is_document, read_json, write_json

FORMAT, VERSION = "mnas.test", 1
FILE = "test.json"
MOST_MISTAKES = 12
PRECISION = 0.95
_PICTURE_SIDE = 96  # px, at most

Count = Annotated[int, Meta(ge=0, le=10**9)]
Base64 = Annotated[str, Meta(max_length=1 << 20, pattern=r"\A[A-Za-z0-9+/]*=*\Z", title="base64")]
_Floats = npt.NDArray[np.float64]


class ClassResult(Struct, frozen=True):
    """One class on the test split.

    Attributes:
        name: of the class.
        images: number of its images.
        recall: share of its images that were recognised, which is the accuracy on this class; None without images.
        precision: share of its own images among those that were taken for it; None if none was.
    """

    name: AnyText
    images: Count
    recall: Share | None
    precision: Share | None


class Mistake(Struct, frozen=True):
    """A test image that got a wrong class.

    Attributes:
        image: its place in the test split, from 0.
        label: place of its own class.
        predicted: place of the class that it got.
        probability: of the class that it got.
        jpeg: the image as the network saw it, at most 96 px, as JPEG in base64.
    """

    image: Count
    label: Count
    predicted: Count
    probability: Share
    jpeg: Base64


class RecallAtPrecision(Struct, frozen=True):
    """For two classes: how many images of the second one are found if few others may be taken for it.

    Attributes:
        positive: name of the second class.
        precision: that is asked for.
        recall: the highest share of its images that is found with this precision; 0 if the precision is not reached.
        threshold: images with at least this probability are taken for it; None if the precision is not reached.
    """

    positive: AnyText
    precision: Share
    recall: Share
    threshold: Share | None


class Confusion(NamedTuple):
    """Images of one class that got another one: `images` of the `of` images of `label` were taken for `predicted`."""

    label: str
    predicted: str
    images: int
    of: int


class Assessment(Struct, frozen=True):
    """What a trained network did on its test split.

    Attributes:
        accuracy: share of the images that got their own class.
        classes: in the order of their labels.
        confusion: number of images by their own class (rows) and the class that they got (columns).
        mistakes: those with the highest probability for a wrong class, highest first.
        recall_at_precision: for exactly two classes.
    """

    accuracy: Share
    classes: tuple[ClassResult, ...]
    confusion: tuple[tuple[Count, ...], ...]
    mistakes: tuple[Mistake, ...]
    recall_at_precision: RecallAtPrecision | None = None

    def confusions(self, count: int) -> list[Confusion]:
        """Return the `count` pairs of classes that are confused most often, by number of images."""
        found = [
            Confusion(own.name, self.classes[place].name, images, own.images)
            for own, row in zip(self.classes, self.confusion, strict=True)
            for place, images in enumerate(row)
            if images and self.classes[place] is not own
        ]
        return sorted(found, key=lambda each: (-each.images, each.of))[:count]


def assess(
    logits: npt.NDArray[np.floating], split: Split, class_names: Sequence[str], *, precision: float = PRECISION
) -> Assessment:
    """Assess predictions.

    Args:
        logits: the network's outputs before softmax, shape (images, classes).
        split: the images, with their labels.
        class_names: in the order of their labels.
        precision: of `Assessment.recall_at_precision`.
    """
    numbers = np.nan_to_num(logits.astype(np.float64))
    powers = np.exp(numbers - numbers.max(axis=1, keepdims=True))
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    guesses, count = numbers.argmax(axis=1), len(class_names)
    confusion = np.bincount(split.labels * count + guesses, minlength=count * count).reshape(count, count)
    return Assessment(
        accuracy=float(np.mean(guesses == split.labels)),
        classes=tuple(
            ClassResult(name, int(images), _share(right, images), _share(right, guessed))
            for name, images, right, guessed in zip(
                class_names, confusion.sum(axis=1), confusion.diagonal(), confusion.sum(axis=0), strict=True
            )
        ),
        confusion=tuple(map(tuple, confusion.tolist())),
        mistakes=tuple(_worst_mistakes(probabilities, guesses, split)),
        recall_at_precision=_find_threshold(probabilities, split.labels, class_names, precision),
    )


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None


def _worst_mistakes(probabilities: _Floats, guesses: Labels, split: Split) -> list[Mistake]:
    certainty = probabilities.max(axis=1)
    wrong = np.flatnonzero(guesses != split.labels)
    worst = wrong[np.argsort(-certainty[wrong], kind="stable")][:MOST_MISTAKES]
    return [
        Mistake(int(i), int(split.labels[i]), int(guesses[i]), float(certainty[i]), _jpeg(split.images[i]))
        for i in worst
    ]


def _jpeg(image: Bytes) -> str:
    from PIL import Image

    picture, buffer = Image.fromarray(image), io.BytesIO()
    picture.thumbnail((_PICTURE_SIDE, _PICTURE_SIDE))
    picture.save(buffer, "JPEG", quality=90)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _find_threshold(
    probabilities: _Floats, labels: Labels, class_names: Sequence[str], precision: float
) -> RecallAtPrecision | None:
    """The threshold on the second class's probability with the highest recall among those with the precision."""
    if len(class_names) != 2 or not labels.any():
        return None
    scores = probabilities[:, 1]
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(labels[order])
    taken = np.flatnonzero(np.diff(scores[order], append=-1.0))  # of equal scores, all are taken or none
    enough = taken[found[taken] >= precision * (taken + 1)]
    if not len(enough):
        return RecallAtPrecision(class_names[1], precision, 0.0, None)
    best = enough[np.argmax(found[enough])]
    return RecallAtPrecision(class_names[1], precision, float(found[best] / found[-1]), float(scores[order[best]]))


def write_assessment(assessment: Assessment, folder: Path) -> None:
    """Write it into a trained folder.

    Raises:
        MnasError: if it cannot be written.
    """
    write_json(folder / FILE, {"format": FORMAT, "version": VERSION, **msgspec.to_builtins(assessment)})


def read_assessment(folder: Path) -> Assessment | None:
    """Read it from a trained folder; None for one of a version of mnas that did not write it.

    Raises:
        InputError: if the file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    document = read_json(path, "a network's test results")
    if not is_document(document, FORMAT, VERSION):
        raise InputError(f"{path} is not of this version of mnas: expected {FORMAT} {VERSION}")
    found = convert(document, Assessment, str(path))
    count = len(found.classes)
    if [len(row) for row in found.confusion] != [count] * count:
        raise InputError(f"{path}: confusion is not a square for {count} classes: was it edited?")
    if any(max(mistake.label, mistake.predicted) >= count for mistake in found.mistakes):
        raise InputError(f"{path}: a mistake names a class beyond the {count} classes: was it edited?")
    return found
