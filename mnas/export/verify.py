"""Compare the converted file, run in an interpreter, with the Keras model before the file is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.errors import MnasError
from mnas.tflite.runner import Floats, TFLiteRunner

Batch = tuple[Floats, npt.NDArray[np.int64] | None]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How much a file may differ from the Keras model.

    Attributes:
        max_difference: maximum difference between two probabilities. Not limited for integer weights, where a close
            decision may change; agreement and accuracy are checked there.
        min_agreement: minimum share of images on which both give the same class.
        max_accuracy_drop: maximum loss of accuracy, beyond the standard error on the images.
    """

    max_difference: float
    min_agreement: float
    max_accuracy_drop: float


TOLERANCES = {
    "float32": Tolerance(1e-3, 0.999, 0.001),
    "float16": Tolerance(0.1, 0.99, 0.005),
    "dynamic": Tolerance(1.0, 0.9, 0.01),
    "int8": Tolerance(1.0, 0.9, 0.01),
}


@dataclass(frozen=True, slots=True)
class Check:
    """Result of a comparison.

    Attributes:
        images: number of images that both classified.
        agreement: share of images on which both give the same class.
        max_difference: largest difference between two probabilities.
        mean_difference: mean difference between two probabilities.
        accuracy_keras, accuracy_tflite: share of correct predictions; None without labels.
    """

    images: int
    agreement: float
    max_difference: float
    mean_difference: float
    accuracy_keras: float | None = None
    accuracy_tflite: float | None = None


def compare(
    content: bytes, model: Any, batches: Iterable[Batch], *, progress: Callable[[int], None] = lambda done: None
) -> Check:
    """Compare the outputs of the file and of the Keras model on the same images.

    Args:
        content: the TFLite file; it returns probabilities.
        model: the Keras model that it was made from; it returns probabilities too.
        batches: images (count, size, size, 3) in [-1, 1] with their labels, or with None.
        progress: called with the number of images done.

    Raises:
        MnasError: if the file cannot be run, or there are no images.
    """
    run = TFLiteRunner(content)
    count, same, right_keras, right_tflite, labelled = 0, 0, 0, 0, 0
    largest, total = 0.0, 0.0
    for images, labels in batches:
        keras, tflite = np.asarray(model.predict_on_batch(images)), run(images)
        if keras.shape != tflite.shape:
            raise MnasError(f"the file returns {tflite.shape[1:]} values per image, the Keras model {keras.shape[1:]}")
        difference = np.abs(keras - tflite)
        largest = float(np.nan_to_num(difference, nan=np.inf).max(initial=largest))
        total += float(difference.mean()) * len(images)
        guess_keras, guess_tflite = keras.argmax(-1), tflite.argmax(-1)
        same += int((guess_keras == guess_tflite).sum())
        if labels is not None:
            right_keras += int((guess_keras == labels).sum())
            right_tflite += int((guess_tflite == labels).sum())
            labelled += len(labels)
        count += len(images)
        progress(count)
    if not count:
        raise MnasError("there are no images to check the converted file with")
    accuracies = (right_keras / labelled, right_tflite / labelled) if labelled else (None, None)
    return Check(count, same / count, largest, total / count, *accuracies)


def compare_outputs(expected: Floats, found: Floats) -> Check:
    """Compare two arrays of probabilities (count, classes) for the same images."""
    apart = np.nan_to_num(np.abs(expected - found), nan=np.inf)
    same = expected.argmax(-1) == found.argmax(-1)
    return Check(len(found), float(same.mean()), float(apart.max()), float(apart.mean()))


def check_loss(before: Any, after: Any, batches: Iterable[Batch], most: float, kind: str) -> None:
    """Check that fine-tuning for a smaller file has not cost too much accuracy.

    Args:
        before: a Keras model that returns probabilities.
        after: the same model after fine-tuning.
        batches: labelled images, not those of the test split.
        most: maximum loss in points of accuracy, beyond the standard error on the images.
        kind: kind of compression, for the message.

    Raises:
        MnasError: if more was lost.
    """
    differences: list[Floats] = []
    for images, labels in batches:
        right = [np.asarray(model.predict_on_batch(images)).argmax(-1) == labels for model in (before, after)]
        differences.append(right[0].astype(np.float32) - right[1])
    lost = 100 * np.concatenate(differences)
    if lost.mean() > most + lost.std() / np.sqrt(len(lost)):
        raise MnasError(
            f"{kind} cost {lost.mean():.1f} points of accuracy on {len(lost)} validation images (at most {most:g}): "
            "use more --fine-tune-epochs, compress less, or allow a larger loss with --max-loss"
        )


def check_tolerance(
    check: Check,
    tolerance: Tolerance,
    *,
    trained: bool = True,
    hint: str = "",
    what: str = "the converted file does not do what the Keras model does",
) -> None:
    """Check that a file agrees with the Keras model.

    Args:
        check: result of `compare`.
        tolerance: the bounds.
        trained: False for random weights, whose classes are arbitrary: then only the differences are checked.
        hint: how to fix it, added to the message.
        what: start of the message.

    Raises:
        MnasError: with the figure that is out of bounds.
    """
    problems = []
    if not check.max_difference <= tolerance.max_difference:
        problems.append(
            f"probabilities differ by up to {check.max_difference:.3g} (at most {tolerance.max_difference:g})"
        )
    if trained and check.agreement < tolerance.min_agreement:
        problems.append(f"only {check.agreement:.1%} of the predictions agree (at least {tolerance.min_agreement:.1%})")
    if trained and check.accuracy_keras is not None and check.accuracy_tflite is not None:
        drop = check.accuracy_keras - check.accuracy_tflite
        noise = (check.accuracy_keras * (1 - check.accuracy_keras) / check.images) ** 0.5
        if drop > tolerance.max_accuracy_drop + noise:
            problems.append(f"accuracy falls from {check.accuracy_keras:.1%} to {check.accuracy_tflite:.1%}")
    if problems:
        raise MnasError(f"{what}: {'; '.join(problems)}{hint}")
