"""What is trained: a whole network on augmented images, or its classifier on features that are computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mnas.arch.spec import Architecture
from mnas.data.batches import Batches, plain_batches
from mnas.data.dataset import Dataset, Labels, Split
from mnas.nn.build import build_model, get_layer_weights, set_layer_weights
from mnas.train.augment import training_epoch
from mnas.train.evaluate import RECALIBRATION_IMAGES, Images, plain_images, predict, recalibrated
from mnas.train.mirroring import mirror_images
from mnas.train.pretrained import Pretrained
from mnas.train.recipe import Recipe
from mnas.train.reparameterize import merged
from mnas.train.teacher import Teacher

Features = npt.NDArray[np.float32]


class Part(Protocol):
    """The part of a network that a training changes."""

    def build(self, steps: int) -> Any:
        """Return its Keras model, which is not compiled, with initial weights."""

    def epoch(self, number: int, *, mirror: bool) -> Any:
        """Return an epoch's batches of inputs and labels as a `tf.data.Dataset`, a function of seed and number."""

    def answers(self, model: Any, *, mirrored: bool = False) -> Labels:
        """Return the classes that validation images, or their mirror images, are taken for."""

    def finish(self, model: Any, *, mirror: bool) -> Any:
        """Return the whole network, trained, with its statistics right; `mirror` as in its last epoch."""


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
        branches = self.recipe.reparameterize
        model = build_model(
            self.architecture, batch_norm_momentum=momentum, seed=self.seed, fused=True, branches=branches
        )
        self._initialize(model)
        return self.teacher.teach(model) if self.teacher else model

    def _initialize(self, model: Any) -> None:
        """Set initial weights other than Keras's."""
        from mnas.nn.functional import Network

        if self.weights is not None:
            set_layer_weights(model, self.architecture, self.weights(get_layer_weights(model, self.architecture)))
        elif self.recipe.zero_init_residual:
            set_layer_weights(model, self.architecture, Network(self.architecture).initial_layer_weights(self.seed))

    def epoch(self, number: int, *, mirror: bool) -> Any:
        """Return an epoch of augmented images in [-1, 1]."""
        recipe = replace(self.recipe, flip=mirror)
        return training_epoch(self.dataset.train, recipe, seed=self.seed, epoch=number)

    def answers(self, model: Any, *, mirrored: bool = False) -> Labels:
        """Return the classes that validation images, or their mirror images, are taken for."""
        split = self.dataset.validation
        outputs = predict(model, mirror_images(split) if mirrored else split, self.recipe.batch_size)
        return np.asarray(outputs.argmax(-1), np.int64)

    def finish(self, model: Any, *, mirror: bool) -> Any:
        """Recompute the statistics, and merge branches.

        A network that was trained on cropped images long enough loses up to two points with statistics of whole ones,
        and after a short training it is the other way round: the validation images decide.
        """
        branches = self.recipe.reparameterize
        kinds: list[Callable[[], Iterator[Images]]] = [self._whole_images]
        if self.recipe.changes_images(mirror=mirror):
            kinds.append(lambda: self._augmented_images(mirror))
        found: list[tuple[int, int, list[npt.NDArray[Any]]]] = []
        for number, images in enumerate(kinds):
            recalibrated(model, self.architecture, images(), branches=branches)
            right = int(np.sum(self.answers(model) == self.dataset.validation.labels))
            found.append((right, number, model.get_weights()))
        _, number, weights = max(found, key=lambda each: each[:2])
        model.set_weights(weights)
        return merged(model, self.architecture, kinds[number]()) if branches else model

    def _whole_images(self) -> Iterator[Images]:
        return plain_images(self.dataset.train, self.recipe.batch_size)

    def _augmented_images(self, mirror: bool) -> Iterator[Images]:
        """Images of the epoch that would follow the last one."""
        batches = self.epoch(self.recipe.epochs, mirror=mirror)
        for images, _ in islice(batches, -(-RECALIBRATION_IMAGES // self.recipe.batch_size)):
            yield images.numpy()


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

    def features(self, split: str, mirrored: bool) -> Features:
        """Return the classifier's inputs for the images of a split, or for their mirror images; computed once."""
        if (split, mirrored) not in self._features:
            images = getattr(self.dataset, split)
            self._features[split, mirrored] = self._compute(mirror_images(images) if mirrored else images)
        return self._features[split, mirrored]

    @cached_property
    def _features(self) -> dict[tuple[str, bool], Features]:
        return {}

    def _compute(self, split: Split) -> Features:
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

    def epoch(self, number: int, *, mirror: bool) -> Any:
        """Return an epoch of features; each image's are those of itself or of its mirror image."""
        import tensorflow as tf

        rng = np.random.default_rng([self.seed, number])
        order = Batches(self.dataset.train, self.recipe.batch_size, lambda _: rng).order(number)
        features = [self.features("train", mirrored) for mirrored in ([False, True] if mirror else [False])]
        chosen = np.stack(features)[rng.integers(len(features), size=order.shape), order]
        return tf.data.Dataset.from_tensor_slices((chosen, self.dataset.train.labels[order]))

    def answers(self, model: Any, *, mirrored: bool = False) -> Labels:
        """Return the classes that validation images, or their mirror images, are taken for."""
        features = self.features("validation", mirrored)
        return np.asarray(model.predict_on_batch(features)[: len(features)].argmax(-1), np.int64)

    def finish(self, model: Any, *, mirror: bool) -> Any:
        """Put the classifier in its place. The statistics belong to the features: they stay."""
        self.whole.layers[-1].set_weights(model.layers[-1].get_weights())
        return self.whole
