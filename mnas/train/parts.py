"""What is trained: a whole network on augmented images, or its classifier on features that are computed once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mnas.arch.spec import Architecture
from mnas.data.batches import Batches, plain_batches
from mnas.data.dataset import Dataset, Split
from mnas.nn.build import build_model, get_layer_weights, set_layer_weights
from mnas.train.augment import training_epoch
from mnas.train.evaluate import evaluate, recalibrated
from mnas.train.pretrained import Pretrained
from mnas.train.recipe import Recipe
from mnas.train.teacher import Teacher

Features = npt.NDArray[np.float32]


class Part(Protocol):
    """The part of a network that a training changes."""

    def build(self, steps: int) -> Any:
        """Return its Keras model, which is not compiled, with initial weights."""

    def epoch(self, number: int) -> Any:
        """Return an epoch's batches of inputs and labels as a `tf.data.Dataset`, a function of seed and number."""

    def validation_accuracy(self, model: Any) -> float:
        """Return the accuracy on the validation split, 0 to 1."""

    def finish(self, model: Any) -> Any:
        """Return the whole network, trained, with its statistics right."""


@dataclass
class WholeNetwork:
    """All weights are trained."""

    architecture: Architecture
    dataset: Dataset
    recipe: Recipe
    seed: int
    weights: Pretrained | None
    teacher: Teacher | None = None

    def build(self, steps: int) -> Any:
        """Return the network, with a loss that knows the teacher if there is one."""
        momentum = self.recipe.momentum(steps)
        model = build_model(self.architecture, batch_norm_momentum=momentum, seed=self.seed, fused=True)
        self._initialize(model)
        return self.teacher.teach(model) if self.teacher else model

    def _initialize(self, model: Any) -> None:
        """Set initial weights other than Keras's."""
        from mnas.nn.functional import Network

        if self.weights is not None:
            set_layer_weights(model, self.architecture, self.weights(get_layer_weights(model, self.architecture)))
        elif self.recipe.zero_init_residual:
            set_layer_weights(model, self.architecture, Network(self.architecture).initial_layer_weights(self.seed))

    def epoch(self, number: int) -> Any:
        """Return an epoch of augmented images in [-1, 1]."""
        return training_epoch(self.dataset.train, self.recipe, seed=self.seed, epoch=number)

    def validation_accuracy(self, model: Any) -> float:
        """Return the accuracy on the validation split, 0 to 1."""
        return evaluate(model, self.dataset.validation, self.recipe.batch_size)

    def finish(self, model: Any) -> Any:
        """Recompute the statistics."""
        return recalibrated(model, self.architecture, self.dataset.train, self.recipe.batch_size)


@dataclass
class ClassifierOnly:
    """The classifier is trained, on the features of every image and of its mirror image; the rest stays as it is."""

    architecture: Architecture
    dataset: Dataset
    recipe: Recipe
    seed: int
    weights: Pretrained

    @cached_property
    def whole(self) -> Any:
        """The network with its initial weights."""
        model = build_model(self.architecture, seed=self.seed, fused=True)
        set_layer_weights(model, self.architecture, self.weights(get_layer_weights(model, self.architecture)))
        return model

    @cached_property
    def features(self) -> list[Features]:
        """The classifier's inputs for the training images; for their mirror images too, if the recipe flips."""
        train = self.dataset.train
        mirrored = Split(train.images[:, :, ::-1], train.labels)
        return [self._features(split) for split in ([train, mirrored] if self.recipe.flip else [train])]

    @cached_property
    def validation(self) -> Features:
        """The classifier's inputs for the validation images."""
        return self._features(self.dataset.validation)

    def _features(self, split: Split) -> Features:
        import keras

        classifier = self.whole.layers[-1]
        before = keras.Model(self.whole.input, classifier.input)
        return np.concatenate([before.predict_on_batch(images) for images, _ in plain_batches(split, 64)])

    def build(self, steps: int) -> Any:
        """Return dropout and classifier."""
        import keras

        kernel, bias = self.whole.layers[-1].get_weights()
        layers = [keras.Input(kernel.shape[:1]), keras.layers.Dropout(self.architecture.dropout, seed=self.seed)]
        model = keras.Sequential([*layers, keras.layers.Dense(len(bias))])
        model.layers[-1].set_weights([kernel, bias])
        return model

    def epoch(self, number: int) -> Any:
        """Return an epoch of features; each image's are those of itself or of its mirror image."""
        import tensorflow as tf

        rng = np.random.default_rng([self.seed, number])
        order = Batches(self.dataset.train, self.recipe.batch_size, lambda _: rng).order(number)
        mirrored = rng.integers(len(self.features), size=order.shape)
        chosen = np.stack(self.features)[mirrored, order]
        return tf.data.Dataset.from_tensor_slices((chosen, self.dataset.train.labels[order]))

    def validation_accuracy(self, model: Any) -> float:
        """Return the accuracy on the validation split, 0 to 1."""
        answers = model.predict_on_batch(self.validation).argmax(-1)
        return float(np.mean(answers[: len(self.validation)] == self.dataset.validation.labels))

    def finish(self, model: Any) -> Any:
        """Put the classifier in its place. The statistics belong to the features: they stay."""
        self.whole.layers[-1].set_weights(model.layers[-1].get_weights())
        return self.whole
