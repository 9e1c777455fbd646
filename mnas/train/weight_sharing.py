"""Training a supernet: every step a few paths, one update of the weights that they use, a checkpoint now and then."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mnas.arch.spec import Architecture
from mnas.errors import MnasError
from mnas.space.space import SearchSpace
from mnas.train.batches import Batches
from mnas.train.checkpoint import Arrays, read_checkpoint, write_checkpoint
from mnas.train.data import Split
from mnas.train.sampling import PathSampler
from mnas.train.supernet_recipe import SupernetRecipe

MOMENTUM = 0.9
WARM_UP_SHARE = 0.25  # of the steps: TuNAS's
FORMAT = "mnas.supernet 1"


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
        in_step: whether a step was begun and not finished: what an interruption leaves then is not worth keeping.
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
        self.in_step = False
        self.companion = companion
        self._made_of = {"format": FORMAT, "space": space.fingerprint, "data": data, "recipe": asdict(recipe)}
        if companion is not None:
            self._made_of["companion"] = companion.describe()
        self._num_classes = space.num_classes
        self._warm_up = warm_up = round(recipe.steps * WARM_UP_SHARE)
        self._sampler = PathSampler(
            space, recipe.sampling, num_paths=recipe.num_paths, seed=recipe.seed, warm_up_steps=warm_up
        )
        self._batches = Batches(split, recipe.batch_size, recipe.seed)
        self.weights = tf.Variable(self.supernet.shared.initial_weights(recipe.seed))
        self._velocity = tf.Variable(tf.zeros_like(self.weights))
        self._decay = tf.constant(self.supernet.shared.decay_mask() * np.float32(recipe.weight_decay))
        self._mixture: Any = None
        self._mixture_gradient: Any = None
        self._gradient = tf.function(self._gradient_graph, autograph=False)
        vector, scalar = tf.TensorSpec([None], tf.float32), tf.TensorSpec([], tf.float32)
        self._apply = tf.function(
            self._apply_graph, input_signature=[vector, tf.TensorSpec([None], tf.int32), scalar], autograph=False
        )

    def _gradient_graph(self, corners: Any, flags: Any, images: Any, targets: Any) -> tuple[Any, Any, Any]:
        """Loss, probabilities of the classes, and the gradient with respect to the whole vector."""
        return self._differentiate(lambda weights: self.supernet.train(weights, corners, flags, images), targets)

    def _differentiate(self, network: Callable[[Any], Any], targets: Any) -> tuple[Any, Any, Any]:
        """The same three of any network that is a function of the weights."""
        import tensorflow as tf

        weights = self.weights.read_value()
        with tf.GradientTape() as tape:
            tape.watch(weights)
            logits = network(weights)
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

        self.in_step = True
        images, labels = self._batches(self.step)
        with light_graphs():
            chosen = self._sampler(self.step)
            everything = self.recipe.operation_warm_up and self._warming(self.step)
            learn = self.learn_all_operations if everything else self.learn
            loss = learn(chosen, images, labels, self.recipe.rate(self.step))
            if self.companion is not None:
                self.companion.after_step(self, self.step)
        self.step += 1
        self.in_step = False
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
            architectures: of the space; with the sandwich rule those after the first learn from its answers too.
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
                    share = self.step / self.recipe.steps  # who has learnt little has little to teach
                    targets = (1 - share) * targets + share * answers
                gradients.append(gradient)
                losses.append(float(loss))
            return self._update(tf.add_n(gradients) / len(gradients), used, rate, float(np.mean(losses)))

    def _update(self, gradient: Any, used: npt.NDArray[np.bool_], rate: float, loss: float) -> float:
        import tensorflow as tf

        if not math.isfinite(loss):
            raise MnasError(
                f"the supernet's training diverged at step {self.step}: take a lower learning rate than "
                f"{self.recipe.learning_rate:g}"
            )
        active = np.flatnonzero(used).astype(np.int32)
        self._apply(gradient, tf.constant(active), tf.constant(rate, tf.float32))
        return loss

    def _warming(self, step: int) -> bool:
        """Whether this step is one of the operations' warm-up."""
        chance = 1 - step / self._warm_up if step < self._warm_up else 0.0
        return bool(np.random.default_rng([self.recipe.seed, 8, step]).random() < chance)

    def learn_all_operations(
        self,
        architectures: Sequence[Architecture],
        images: npt.NDArray[np.float32],
        labels: npt.NDArray[np.int64],
        rate: float,
    ) -> float:
        """As `learn`, on the first architecture with every operation in the place of its own, averaged.

        Raises:
            InputError: if the space's stages are whole blocks.
            MnasError: if the training diverges.
        """
        import tensorflow as tf

        from mnas.nn.mixture import Mixture, every_operation
        from mnas.nn.supernet import light_graphs

        if self._mixture is None:
            self._mixture = Mixture(self.supernet.shared)
            self._mixture_gradient = tf.function(self._mixture_graph, autograph=False)
        shared = self.supernet.shared
        shares, variants = every_operation(shared.space, architectures[0])
        used = np.zeros(shared.num_weights, bool)
        for variant in variants:
            used |= shared.active(shared.path(variant)) > 0
        targets = tf.one_hot(labels, self._num_classes)
        with light_graphs():
            loss, gradient = self._mixture_gradient(tf.constant(shares), tf.constant(images), targets)
            return self._update(gradient, used, rate, float(loss))

    def _mixture_graph(self, shares: Any, images: Any, targets: Any) -> tuple[Any, Any]:
        loss, _, gradient = self._differentiate(lambda weights: self._mixture.train(weights, shares, images), targets)
        return loss, gradient

    def save(self, path: Path) -> None:
        """Write a checkpoint.

        Raises:
            MnasError: if it cannot be written.
        """
        arrays = {"step": np.array(self.step), "weights": self.weights.numpy(), "velocity": self._velocity.numpy()}
        if self.companion is not None:
            arrays |= {f"companion_{name}": array for name, array in self.companion.state().items()}
        write_checkpoint(path, self._made_of, arrays)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            MnasError: if it is damaged.
            InputError: if it is of another space, other data or another recipe; it says which.
        """
        whole = (self.supernet.shared.num_weights,)
        arrays = read_checkpoint(path, self._made_of, {"step": (), "weights": whole, "velocity": whole})
        self.weights.assign(arrays["weights"])
        self._velocity.assign(arrays["velocity"])
        self.step = int(arrays["step"])
        if self.companion is not None:
            names = [name for name in arrays if name.startswith("companion_")]
            self.companion.restore({name.removeprefix("companion_"): arrays[name] for name in names})
