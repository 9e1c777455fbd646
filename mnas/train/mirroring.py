"""Whether mirrored images have the same classes, checked while a network is trained.

The first quarter of a training's epochs sees no mirrored image. Then the network's answers to the validation images are
compared with its answers to their mirror images. Where images and mirror images are equally common, both are equally
often right, up to chance, whatever the network. A network that recognises clearly fewer mirror images says that these
are other images, or have other classes (arrows, digits, letters): they are not trained on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.data.dataset import Labels, Split

SHARE = 0.25  # of the epochs, before the check
MIRRORED, MIRRORING = "mirrored_accuracy", "mirroring"  # in the history: accuracy, and 1 or 0 for the decision
_FEWEST_IMAGES = 10
_LOST, _DEVIATIONS = 0.1, 2.0  # of all images that are recognised
_LOST_OF_CLASS, _DEVIATIONS_OF_CLASS = 0.5, 3.0  # of one class's; there are many classes


@dataclass(frozen=True, slots=True)
class MirrorCheck:
    """What a network makes of mirrored validation images.

    Attributes:
        accuracy: on the validation images, 0 to 1.
        mirrored_accuracy: on their mirror images.
        confusing: whether mirroring confuses classes.
    """

    accuracy: float
    mirrored_accuracy: float
    confusing: bool


def mirror_images(split: Split) -> Split:
    """Return the mirror images of a split, left and right exchanged."""
    return Split(split.images[:, :, ::-1], split.labels)


def first_check(epochs: int) -> int:
    """Return the number of epochs after which a training is checked first."""
    return max(1, math.ceil(SHARE * epochs))


def check_mirroring(labels: Labels, answers: Labels, mirrored: Labels) -> MirrorCheck | None:
    """Compare a network's answers to images with those to their mirror images.

    Mirroring confuses classes if more than a tenth of all recognised images is lost, or more than half of those of one
    class, and chance does not explain it: images that only one of both answers gets right are equally often of either
    kind where mirroring changes nothing.

    Args:
        labels: of the images.
        answers: to the images.
        mirrored: to their mirror images.

    Returns:
        None where nothing can be said yet: the network does not clearly beat the most frequent class, or there are
        fewer than ten images.
    """
    count = len(labels)
    if count < _FEWEST_IMAGES:
        return None
    right, still = answers == labels, mirrored == labels
    chance = float(np.bincount(labels).max() / count)
    if right.mean() <= chance + 2 * math.sqrt(chance * (1 - chance) / count):
        return None
    confusing = _loses(right, still, _LOST, _DEVIATIONS) or any(
        _loses(right[own], still[own], _LOST_OF_CLASS, _DEVIATIONS_OF_CLASS)
        for own in (labels == label for label in np.unique(labels))
    )
    return MirrorCheck(float(right.mean()), float(still.mean()), confusing)


def _loses(right: npt.NDArray[np.bool_], still: npt.NDArray[np.bool_], share: float, deviations: float) -> bool:
    lost, gained = int((right & ~still).sum()), int((still & ~right).sum())
    return lost - gained > max(share * int(right.sum()), deviations * math.sqrt(lost + gained))


def decision(history: Sequence[Mapping[str, float]]) -> bool | None:
    """Return whether a training mirrors images after these epochs; None before it is decided."""
    return next((bool(epoch[MIRRORING]) for epoch in history if MIRRORING in epoch), None)


def is_mirrored(training: Mapping[str, Any]) -> bool:
    """Return whether a finished training mirrored images in the end.

    Args:
        training: its record, training.json.
    """
    return bool(training.get(MIRRORING, training["configuration"]["recipe"]["flip"]))


def describe_augmentation(training: Mapping[str, Any]) -> str:
    """Return a sentence on the augmentation of a finished training.

    Args:
        training: its record, training.json.
    """
    recipe = training["configuration"]["recipe"]
    parts = []
    if recipe["shift"]:
        parts.append(f"moved by up to {recipe['shift']:.0%} of their side")
    if recipe.get("crop", 1) < 1:
        parts.append(f"cropped to at least {recipe['crop']:.0%} of their area")
    if recipe["rand_augment"]:
        parts.append(f"changed by {recipe['rand_augment']} operations of RandAugment")
    parts.append("mirrored" if is_mirrored(training) else "not mirrored")
    return f"images are {', '.join(parts)}{_why(training)}"


def _why(training: Mapping[str, Any]) -> str:
    """The reason for a checked decision, as the end of a sentence."""
    if MIRRORING not in training:
        return ""
    for number, epoch in enumerate(training["history"], 1):
        if MIRRORING in epoch:
            return (
                f" (after epoch {number}, {epoch[MIRRORED]:.1%} of mirrored validation images were recognised, and "
                f"{epoch['validation_accuracy']:.1%} as they are)"
            )
    if "teacher" in training["configuration"]:
        return " (as for the teacher)"
    return " (nothing could be said about mirrored validation images)"
