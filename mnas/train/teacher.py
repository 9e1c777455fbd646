"""A trained network whose answers are soft targets for another one (Hinton et al. 2015)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnas.checks import check_number
from mnas.data.classes import match_classes
from mnas.train.pretrained import open_pretrained
from mnas.train.trained_network import Trained, open_trained

SHARE = 0.5


@dataclass(frozen=True)
class Teacher:
    """A teacher for the classes of some data.

    Attributes:
        trained: the network.
        share: the weight of its answers in the loss; the labels have the rest.
        places: of the data's classes among the teacher's outputs; empty where both have the same order.
    """

    trained: Trained
    share: float = SHARE
    places: tuple[int, ...] = ()

    @classmethod
    def open(cls, folder: Path, class_names: tuple[str, ...], share: float = SHARE) -> Teacher:
        """Open a folder that `mnas train` wrote; classes are matched by name.

        Args:
            folder: the folder.
            class_names: the classes of the data, in the order of their labels.
            share: the weight of the teacher's answers in the loss, 0 to 1.

        Raises:
            InputError: if it is not such a folder, knows other classes, or the share is out of range.
        """
        check_number("--distill", share, 0, 1)
        trained = open_trained(folder)
        known = trained.training["class_names"]
        match_classes(known, class_names, network=f"--teacher {folder}", data="the data")
        if known == list(class_names):
            return cls(trained, share)
        return cls(trained, share, tuple(known.index(name) for name in class_names))

    @property
    def description(self) -> dict[str, Any]:
        """What determines the result of a training with it."""
        weights = open_pretrained(str(self.trained.folder), self.trained.architecture)
        return {"weights": weights.sha256, "resolution": self.trained.architecture.resolution, "share": self.share}

    def teach(self, model: Any) -> Any:
        """Return a Keras model of the same layers, whose loss takes this share from the teacher's answers.

        The teacher sees the same augmented images, resized to its own resolution. Weights of the images hold for both
        parts of the loss.
        """
        import keras

        teacher, share, places = self.trained.build(fused=True), self.share, self.places
        size = self.trained.architecture.resolution

        class Student(keras.Model):  # type: ignore[misc]
            def compute_loss(
                self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
            ) -> Any:
                hard = super().compute_loss(x, y, y_pred, sample_weight, training)
                images = x if x.shape[1] == size else keras.ops.image.resize(x, (size, size), antialias=True)
                answers = keras.ops.cast(teacher(images, training=False), "float32")
                if places:
                    answers = keras.ops.take(answers, places, axis=-1)
                logits = keras.ops.cast(y_pred, "float32")
                soft = keras.losses.categorical_crossentropy(answers, logits, from_logits=True)
                if sample_weight is not None:
                    soft = soft * sample_weight
                return (1 - share) * hard + share * keras.ops.mean(soft)

        return Student(model.inputs, model.outputs, name=model.name)
