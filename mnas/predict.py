"""Classes of images from a `.tflite` file, with the preprocessing of the training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mnas.checks import check_integer
from mnas.data.dataset import normalise
from mnas.data.folder_layout import image_paths
from mnas.data.image_file import decode_image
from mnas.devices.local import Runtime
from mnas.errors import InputError, MnasError
from mnas.system.files import decode_text, read_bytes, read_json
from mnas.system.permissions import names_what_is_not_permitted
from mnas.tflite.description import FORMAT, check_description
from mnas.tflite.metadata import LABELS, has_own_metadata, read_labels
from mnas.tflite.runner import TFLiteRunner


@dataclass(frozen=True, slots=True)
class ClassProbability:
    """One class of an image.

    Attributes:
        index: of the class in the file's output.
        label: its name; the index as text where the names are not known.
        probability: from 0 to 1.
    """

    index: int
    label: str
    probability: float


@dataclass(frozen=True, slots=True)
class ImagePrediction:
    """The most probable classes of an image, most probable first.

    Attributes:
        image: its path.
        classes: none for an image that cannot be read.
        error: why it cannot be read; None for one that was.
    """

    image: str
    classes: tuple[ClassProbability, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a file predicts for images.

    Attributes:
        file: the `.tflite` file.
        resolution: side of the images as the network takes them, in pixels.
        labels_from: where the names of the classes come from; None if they are not known.
        notes: what a reader of the probabilities should know.
        images: in the order of the arguments, a folder's sorted by name.
    """

    file: str
    resolution: int
    labels_from: str | None
    notes: tuple[str, ...]
    images: tuple[ImagePrediction, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


@names_what_is_not_permitted
def predict_images(
    file: str | Path,
    images: Sequence[str | Path],
    *,
    top: int = 3,
    runtime: str = "litert",
    threads: int = 1,
    note: Callable[[str], None] = lambda text: None,
    show: Callable[[ImagePrediction], None] = lambda prediction: None,
) -> Predictions:
    """Predict the classes of images with a `.tflite` classifier, on this machine.

    Images are read as `mnas train` reads folders of images: rotated by their EXIF, transparency on white, the centre
    square resized with antialiasing, then byte / 127.5 - 1, quantised where the file's input is int8. Labels come from
    the file's metadata, else from `NAME.json`, `NAME.labels.txt` or `labels.txt` beside it.

    Args:
        file: float32 or integer, with an input of shape (1, size, size, 3) and an output of shape (1, classes).
        images: images, or folders of them.
        top: how many classes of each image.
        runtime: litert or tflite-runtime.
        threads: of the runtime.
        note: is told each of `Predictions.notes`, before the first image.
        show: is given each image's prediction as soon as it is there.

    Raises:
        InputError: for no images, a folder without images, or a file that is no image classifier.
        MnasError: if the file cannot be read, or the runtime is not installed or refuses it.
    """
    check_integer("--top", top, 1, 1_000_000)
    paths = _find_images(images)
    classifier = _Classifier(Path(file), Runtime(runtime, threads=threads))
    for text in classifier.notes:
        note(text)
    predictions = []
    for path in paths:
        predictions.append(classifier.predict(path, top))
        show(predictions[-1])
    return Predictions(
        str(file), classifier.resolution, classifier.labels_from, tuple(classifier.notes), tuple(predictions)
    )


def _find_images(images: Sequence[str | Path]) -> list[Path]:
    if not images:
        raise InputError("no image was given: expected images, or folders of them")
    paths = []
    for path in map(Path, images):
        found = image_paths(path) if path.is_dir() else [path]
        if not found:
            raise InputError(f"{path} contains no image: expected .jpg, .png, .gif, .bmp, .webp or .tif files in it")
        paths += found
    return paths


class _Classifier:
    """A `.tflite` file with an interpreter, and its labels."""

    def __init__(self, file: Path, runtime: Runtime) -> None:
        content = read_bytes(file, "a .tflite file")
        if content[4:8] != b"TFL3":
            raise InputError(f"{file} is not a .tflite file: make one with mnas export")
        try:
            self._runner = TFLiteRunner(content, open_interpreter=runtime.interpreter)
        except MnasError as error:
            raise MnasError(f"{file}: {error}") from None
        self.resolution, classes = _shape(file, self._runner)
        labels, self.labels_from = _find_labels(file, content, classes)
        self._labels = labels or [str(index) for index in range(classes)]
        self.notes = []
        if self.labels_from is None:
            self.notes.append(
                f"{file} has no labels for its {classes} classes, and there is no {LABELS} with as many lines beside "
                "it: classes are shown by their index"
            )
        if not has_own_metadata(content):
            self.notes.append(
                f"{file} was not exported by mnas: its input is assumed to be RGB, byte / 127.5 - 1, and its output "
                "is shown as it is"
            )

    def predict(self, path: Path, top: int) -> ImagePrediction:
        try:
            if not path.is_file():
                raise InputError(f"{path}: no such file")
            image = decode_image(path, self.resolution)
        except InputError as error:
            return ImagePrediction(str(path), error=str(error))
        probabilities = self._runner(normalise(image[None]))[0]
        order = np.argsort(-probabilities, kind="stable")[:top]
        classes = (ClassProbability(int(index), self._labels[index], float(probabilities[index])) for index in order)
        return ImagePrediction(str(path), tuple(classes))


def _shape(file: Path, runner: TFLiteRunner) -> tuple[int, int]:
    """Return side of the input in pixels and number of classes."""
    taken, given = (tuple(map(int, tensor["shape"])) for tensor in (runner.input, runner.output))
    if len(taken) != 4 or taken[0] != 1 or taken[1] != taken[2] or taken[3] != 3 or len(given) != 2 or given[0] != 1:
        raise InputError(
            f"{file} takes {taken} and gives {given}: expected an image classifier, which takes (1, size, size, 3) "
            "and gives (1, classes). Networks for images that are not square, or have one channel, can be measured "
            "with mnas bench; to predict, use the program that they were made for"
        )
    return taken[1], given[1]


def _find_labels(file: Path, content: bytes, classes: int) -> tuple[list[str], str | None]:
    """Return labels and where they are from: the first source that has one for every class."""
    if len(labels := read_labels(content)) == classes:
        return labels, str(file)
    described = file.with_suffix(".json")
    if described.is_file() and len(labels := _described_labels(described, file, content)) == classes:
        return labels, str(described)
    for path in (file.with_suffix(f".{LABELS}"), file.with_name(LABELS)):
        if path.is_file() and len(labels := _read_lines(path)) == classes:
            return labels, str(path)
    return [], None


def _described_labels(path: Path, file: Path, content: bytes) -> list[str]:
    """Return the class names in the JSON file that mnas wrote for a file; none from any other JSON file."""
    document = read_json(path, "the description of a .tflite file")
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        return []
    check_description(document, file, content)
    names = document.get("class_names")
    return [str(name) for name in names] if isinstance(names, list) else []


def _read_lines(path: Path) -> list[str]:
    try:
        return decode_text(read_bytes(path, "labels")).splitlines()
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{path} is not UTF-8 text: expected one class a line ({error})") from None
