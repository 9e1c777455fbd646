"""Training a supernet: every step a few paths, one update of the weights that they use, a checkpoint now and then."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mnas.arch.spec import Architecture
from mnas.data.batches import Batches
from mnas.data.dataset import Split
from mnas.errors import MnasError
from mnas.oneshot.checkpoint import read_checkpoint
from mnas.oneshot.path_sampling import PathSampler
from mnas.oneshot.recipe import SupernetRecipe
from mnas.random_streams import Stream, generator
from mnas.space.space import SearchSpace
from mnas.system.arrays import Arrays, write_arrays
from mnas.train.sgd import descend, loss_and_gradient

FORMAT = "mnas.supernet 2"


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
        shared: the layout of the weights.
        weights: all of them, one flat vector.
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
        from mnas.oneshot.shared_weights import SharedWeights

        self.shared = SharedWeights(space)
        self.recipe = recipe
        self.step = 0
        self.in_step = False
        self.companion = companion
        self._made_of = {"format": FORMAT, "space": space.fingerprint, "data": data, "recipe": recipe.to_dict()}
        if companion is not None:
            self._made_of["companion"] = companion.describe()
        self._num_classes = space.num_classes
        self._sampler = PathSampler(space, recipe.sampling, num_paths=recipe.num_paths, seed=recipe.seed)
        chance = partial(generator, recipe.seed, Stream.SUPERNET_BATCHES)
        self._batches = Batches(split, recipe.batch_size, chance)
        self.weights = self.shared.initial_weights(recipe.seed)
        self._velocity = np.zeros_like(self.weights)
        self._decay = self.shared.decay_mask() * np.float32(recipe.weight_decay)

    def advance(self) -> float:
        """One step on the paths whose turn it is; returns the mean of their losses.

        Raises:
            MnasError: if the training diverges.
        """
        self.in_step = True
        images, labels = self._batches(self.step)
        chosen = self._sampler(self.step)
        loss = self.learn(chosen, images, labels, self.recipe.rate(self.step))
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
        from mnas.nn.functional import Network

        targets = np.eye(self._num_classes, dtype=np.float32)[labels]
        gradients, losses = [], []
        for number, architecture in enumerate(architectures):
            weights = self.shared.inherit(architecture, self.weights)
            loss, answers, gradient = loss_and_gradient(Network(architecture), weights, images, targets)
            if self.recipe.sampling == "sandwich" and number == 0:
                share = np.float32(self.step / self.recipe.steps)  # who has learnt little has little to teach
                targets = (1 - share) * targets + share * answers
            gradients.append(gradient)
            losses.append(loss)
        self._check(losses)
        if len(architectures) == 1:
            self._update_one(architectures[0], weights, gradients[0], rate)
        else:
            total = np.zeros_like(self.weights)
            for architecture, gradient in zip(architectures, gradients, strict=True):
                shared = self.shared.inherit(architecture, total)
                self.shared.put(architecture, shared + gradient / np.float32(len(gradients)), total)
            self._update(architectures, total, rate)
        return float(np.mean(losses))

    def _update_one(
        self,
        architecture: Architecture,
        weights: npt.NDArray[np.float32],
        gradient: npt.NDArray[np.float32],
        rate: float,
    ) -> None:
        """As `_update`, of one architecture, without looking at all the others' weights."""
        velocity, decay = (self.shared.inherit(architecture, vector) for vector in (self._velocity, self._decay))
        descend(weights, velocity, gradient, decay, rate=rate, clip_norm=self.recipe.clip_norm)
        self.shared.put(architecture, weights, self.weights)
        self.shared.put(architecture, velocity, self._velocity)

    def _update(self, architectures: Sequence[Architecture], gradient: npt.NDArray[np.float32], rate: float) -> None:
        """Of the weights that some architecture uses: the others keep their values and their momentum."""
        used = np.zeros(len(self.weights), bool)
        for architecture in architectures:
            for view in self.shared.cut(architecture, used):
                view[...] = True
        places = np.flatnonzero(used)
        weights, velocity, decay = self.weights[places], self._velocity[places], self._decay[places]
        descend(weights, velocity, gradient[places], decay, rate=rate, clip_norm=self.recipe.clip_norm)
        self.weights[places], self._velocity[places] = weights, velocity

    def _check(self, losses: Sequence[float]) -> None:
        if not np.isfinite(losses).all():
            raise MnasError(
                f"the supernet's training diverged at step {self.step}: take a lower learning rate than "
                f"{self.recipe.learning_rate:g}"
            )

    def save(self, path: Path) -> None:
        """Write a checkpoint.

        Raises:
            MnasError: if it cannot be written.
        """
        arrays = {"step": np.array(self.step), "weights": self.weights, "velocity": self._velocity}
        if self.companion is not None:
            arrays |= {f"companion_{name}": array for name, array in self.companion.state().items()}
        write_arrays(path, arrays, self._made_of)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            MnasError: if it is damaged.
            InputError: if it is of another space, other data or another recipe; it says which.
        """
        whole = self.weights.shape
        arrays = read_checkpoint(path, self._made_of, {"step": (), "weights": whole, "velocity": whole})
        self.weights[...] = arrays["weights"]
        self._velocity[...] = arrays["velocity"]
        self.step = int(arrays["step"])
        if self.companion is not None:
            names = [name for name in arrays if name.startswith("companion_")]
            self.companion.restore({name.removeprefix("companion_"): arrays[name] for name in names})
