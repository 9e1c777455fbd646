"""Training a supernet: every step a few paths, one update of the weights that they use, a checkpoint now and then."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mnas.arch.spec import Architecture, check_integer, check_number
from mnas.errors import InputError, MnasError
from mnas.space.space import SearchSpace
from mnas.train.batches import Batches
from mnas.train.data import Split
from mnas.train.sampling import PathSampler

MOMENTUM = 0.9
WARM_UP_SHARE = 0.25  # of the steps, for the filters: TuNAS's
FORMAT = "mnas.supernet 1"
Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class SupernetRecipe:
    """How a supernet is trained: SGD with Nesterov momentum, warm-up over a tenth of the steps, cosine decay to zero.

    Attributes:
        steps: updates.
        batch_size: images a step.
        num_paths: architectures a step, all on the same images; their gradients are averaged.
        sampling: uniform, fair or sandwich; see `PathSampler`. With the sandwich rule the smaller paths learn from the
            largest one's answers instead of the labels (in-place distillation).
        learning_rate: at its peak, for a batch of 96; scaled linearly with the batch size.
        weight_decay: on the kernels that a step uses.
        clip_norm: the gradient is scaled down to this norm.
        seed: of the weights, the paths and the order of images.
    """

    steps: int = 1000
    batch_size: int = 96
    num_paths: int = 1
    sampling: str = "fair"
    learning_rate: float = 0.1
    weight_decay: float = 1e-4
    clip_norm: float = 5.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_integer("steps", self.steps, 1, 100_000_000)
        check_integer("batch_size", self.batch_size, 2, 65536)
        check_number("learning_rate", self.learning_rate, 1e-8, 100)
        check_number("clip_norm", self.clip_norm, 1e-6, 1e9)

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        peak = self.learning_rate * self.batch_size / 96
        warm_up = max(1, self.steps // 10)
        if step < warm_up:
            return peak * (step + 1) / warm_up
        return peak * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, self.steps - warm_up)))


class Companion(Protocol):
    """Something that learns beside the weights, one update a step, and is part of the checkpoint."""

    def after_step(self, trainer: SupernetTrainer, step: int) -> None:
        """Called after each update of the weights with its number, from 0."""

    def describe(self) -> dict[str, Any]:
        """What it was made with, as plain data."""

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """All that it needs to go on."""

    def restore(self, arrays: Arrays) -> None:
        """Put back what `state` gave."""


class SupernetTrainer:
    """A supernet in training.

    Args:
        space: whose architectures share weights.
        split: what is trained on.
        recipe: how.
        data: the fingerprint of the data, so that a checkpoint is not gone on with on other data.
        companion: learns beside the weights.

    Attributes:
        supernet: the graph and the layout.
        step: how many steps are done.
    """

    def __init__(
        self,
        space: SearchSpace,
        split: Split,
        recipe: SupernetRecipe,
        *,
        data: str = "",
        companion: Companion | None = None,
    ) -> None:
        import tensorflow as tf

        from mnas.nn.supernet import Supernet

        self.supernet = Supernet(space)
        self.recipe = recipe
        self.step = 0
        self.companion = companion
        self._made_of = {"format": FORMAT, "space": space.fingerprint, "data": data, "recipe": asdict(recipe)}
        if companion is not None:
            self._made_of["companion"] = companion.describe()
        self._num_classes = space.num_classes
        warm_up = round(recipe.steps * WARM_UP_SHARE)
        self._sampler = PathSampler(
            space, recipe.sampling, num_paths=recipe.num_paths, seed=recipe.seed, warm_up_steps=warm_up
        )
        self._batches = Batches(split, recipe.batch_size, recipe.seed)
        self.weights = tf.Variable(self.supernet.shared.initial_weights(recipe.seed))
        self._velocity = tf.Variable(tf.zeros_like(self.weights))
        self._decay = tf.constant(self.supernet.shared.decay_mask() * np.float32(recipe.weight_decay))
        self._gradient = tf.function(self._gradient_graph, autograph=False)
        vector, scalar = tf.TensorSpec([None], tf.float32), tf.TensorSpec([], tf.float32)
        self._apply = tf.function(
            self._apply_graph, input_signature=[vector, tf.TensorSpec([None], tf.int32), scalar], autograph=False
        )

    def _gradient_graph(self, corners: Any, flags: Any, images: Any, targets: Any) -> tuple[Any, Any, Any]:
        """Loss, probabilities of the classes, and the gradient with respect to the whole vector."""
        import tensorflow as tf

        weights = self.weights.read_value()
        with tf.GradientTape() as tape:
            tape.watch(weights)
            logits = self.supernet.train(weights, corners, flags, images)
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, logits))
        return loss, tf.nn.softmax(logits), tape.gradient(loss, weights)

    def _apply_graph(self, gradient: Any, active: Any, rate: Any) -> None:
        """SGD with Nesterov momentum on the active weights only: the others keep their values and their momentum."""
        import tensorflow as tf

        weights, velocity = tf.gather(self.weights, active), tf.gather(self._velocity, active)
        own = tf.clip_by_norm(tf.gather(gradient, active), self.recipe.clip_norm)
        own += tf.gather(self._decay, active) * weights
        velocity = MOMENTUM * velocity - rate * own
        self._velocity.scatter_update(tf.IndexedSlices(velocity, active))
        self.weights.scatter_update(tf.IndexedSlices(weights + MOMENTUM * velocity - rate * own, active))

    def advance(self) -> float:
        """One step on the paths whose turn it is; returns the mean of their losses.

        Raises:
            MnasError: if the training diverges.
        """
        from mnas.nn.supernet import light_graphs

        images, labels = self._batches(self.step)
        with light_graphs():
            loss = self.learn(self._sampler(self.step), images, labels, self.recipe.rate(self.step))
            if self.companion is not None:
                self.companion.after_step(self, self.step)
        self.step += 1
        return loss

    def learn(
        self,
        architectures: Sequence[Architecture],
        images: npt.NDArray[np.float32],
        labels: npt.NDArray[np.int64],
        rate: float,
    ) -> float:
        """One update of the weights that some architectures use; returns the mean of their losses.

        Args:
            architectures: of the space; with the sandwich rule those after the first learn from its answers.
            images: float32 (batch, resolution, resolution, 3).
            labels: int64 (batch,).
            rate: the learning rate.

        Raises:
            MnasError: if the training diverges.
        """
        import tensorflow as tf

        from mnas.nn.supernet import light_graphs

        targets = tf.one_hot(labels, self._num_classes)
        shared, gradients, losses = self.supernet.shared, [], []
        used = np.zeros(shared.num_weights, bool)
        with light_graphs():
            for number, architecture in enumerate(architectures):
                path = shared.path(architecture)
                used |= shared.active(path) > 0
                constants = map(tf.constant, (path.corners, path.flags, images))
                loss, answers, gradient = self._gradient(*constants, targets)
                if self.recipe.sampling == "sandwich" and number == 0:
                    targets = answers
                gradients.append(gradient)
                losses.append(float(loss))
            if not all(map(math.isfinite, losses)):
                raise MnasError(
                    f"the supernet's training diverged at step {self.step}: take a lower learning rate than "
                    f"{self.recipe.learning_rate:g}"
                )
            active = np.flatnonzero(used).astype(np.int32)
            mean = tf.add_n(gradients) / len(gradients)
            self._apply(mean, tf.constant(active), tf.constant(rate, tf.float32))
        return float(np.mean(losses))

    def save(self, path: Path) -> None:
        """Write a checkpoint: numbers only, whole or not at all.

        Raises:
            MnasError: if it cannot be written.
        """
        from mnas.train.trained import write_arrays

        made_of = np.frombuffer(json.dumps(self._made_of, sort_keys=True).encode(), np.uint8)
        arrays: dict[str, npt.NDArray[Any]] = {"made_of": made_of, "step": np.array(self.step)}
        arrays |= {"weights": self.weights.numpy(), "velocity": self._velocity.numpy()}
        if self.companion is not None:
            arrays |= {f"companion_{name}": array for name, array in self.companion.state().items()}
        write_arrays(path, arrays)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            MnasError: if it is damaged.
            InputError: if it is of another space, other data or another recipe; it says which.
        """
        from mnas.train.trained import read_arrays

        try:
            arrays = read_arrays(path)
        except MnasError as error:
            raise MnasError(f"{path} is no supernet's checkpoint, or a damaged one: delete it ({error})") from None
        self._check(path, arrays)
        self.weights.assign(arrays["weights"])
        self._velocity.assign(arrays["velocity"])
        self.step = int(arrays["step"])
        if self.companion is not None:
            names = [name for name in arrays if name.startswith("companion_")]
            self.companion.restore({name.removeprefix("companion_"): arrays[name] for name in names})

    def _check(self, path: Path, arrays: Arrays) -> None:
        try:
            made_of = json.loads(arrays["made_of"].tobytes())
            shapes = {arrays[name].shape for name in ("weights", "velocity")}
            step = int(arrays["step"])
        except (KeyError, ValueError, TypeError):
            raise MnasError(f"{path} is no supernet's checkpoint: delete it, or name another file") from None
        for name, value in self._made_of.items():
            if not isinstance(made_of, dict) or made_of.get(name) != value:
                raise InputError(
                    f"the supernet in {path} was trained for another {name}: delete the file to train anew, or search "
                    "with what it was trained for"
                )
        if shapes != {(self.supernet.shared.num_weights,)} or not 0 <= step <= self.recipe.steps:
            raise MnasError(f"{path} is a damaged checkpoint of a supernet: delete it to train anew")
