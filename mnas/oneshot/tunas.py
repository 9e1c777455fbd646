"""Reinforcement learning while a supernet is trained: TuNAS (Bender et al. 2020).

Every decision has independent logits. After a step of the weights one architecture is drawn from them, scored on images
that the weights are not trained on, and rewarded for its accuracy and its latency by the table; REINFORCE with a moving
average as the baseline moves the logits. An update costs one forward pass, however large the space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.checks import check_integer, check_number
from mnas.data.dataset import Split
from mnas.oneshot.architecture_learner import Logits, LogitsLearner, Target
from mnas.oneshot.trainer import SupernetTrainer
from mnas.random_streams import Stream, generator
from mnas.space.space import SearchSpace
from mnas.system.arrays import Arrays


@dataclass(frozen=True, slots=True)
class TunasRecipe:
    """How the logits learn.

    Attributes:
        steps: of the supernet's training.
        begin: the share of them before the logits begin to learn: TuNAS's quarter.
        batch_size: images an update.
        learning_rate: Adam's. TuNAS's 3e-4 to 3e-3 belong to hundreds of thousands of updates.
        baseline_decay: of the moving average of rewards.
        beta: of the absolute reward, accuracy + beta * |latency / budget - 1|.
        seed: of draws and images.
    """

    steps: int
    begin: float = 0.25
    batch_size: int = 96
    learning_rate: float = 0.03
    baseline_decay: float = 0.95
    beta: float = -0.10
    seed: int = 0

    def __post_init__(self) -> None:
        check_integer("steps", self.steps, 1, 100_000_000)
        check_number("begin", self.begin, 0, 1)
        check_number("beta", self.beta, -100, -1e-9)

    def due(self, step: int) -> bool:
        """Whether the logits learn after this step of the weights."""
        return step >= int(self.begin * self.steps)


class TunasLearner(LogitsLearner[TunasRecipe]):
    """Moves the logits by REINFORCE; the arguments are `LogitsLearner`'s."""

    kind = "tunas"

    def __init__(self, space: SearchSpace, split: Split, recipe: TunasRecipe, targets: Sequence[Target] = ()) -> None:
        logits = Logits(space, learning_rate=recipe.learning_rate, first_decay=0.0)
        super().__init__(space, split, recipe, targets, logits)
        self._targets = list(targets)
        self._baseline = np.float64(0.0)  # means nothing before the first update

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """The logits' state and the baseline."""
        return {**super().state(), "baseline": np.array(self._baseline)}

    def restore(self, arrays: Arrays) -> None:
        """Put back what `state` gave.

        Raises:
            MnasError: if it is something else.
        """
        super().restore(arrays)
        self._baseline = np.float64(arrays.get("baseline", 0.0))

    def after_step(self, trainer: SupernetTrainer, step: int) -> None:
        """One draw, one reward, one update of the logits, once they may learn."""
        if not self.recipe.due(step):
            return
        rng = generator(self.recipe.seed, Stream.TUNAS_PATHS, step)
        shares = self.policy()
        indices = [int(rng.choice(len(own), p=own)) for own in shares]
        reward = self._reward(trainer, indices, self._logits.updates)
        decay = self.recipe.baseline_decay if self._logits.updates else 0.0
        advantage = reward - self._baseline if self._logits.updates else 0.0
        self._baseline = np.float64(decay * self._baseline + (1 - decay) * reward)
        # the gradient of -advantage * log p(indices) with respect to independent logits
        gradient = [own - np.eye(len(own))[index] for own, index in zip(shares, indices, strict=True)]
        self._logits.descend(advantage * np.concatenate(gradient))

    def _reward(self, trainer: SupernetTrainer, indices: list[int], update: int) -> float:
        """TuNAS's absolute reward of one architecture on one batch."""
        from mnas.nn.functional import Network

        images, labels = self._batches(update)
        architecture = self.space.decode(indices)
        network, weights = Network(architecture), trainer.shared.inherit(architecture, trainer.weights)
        logits = network.train(network.cut(weights), images)[0].numpy()
        accuracy = float(np.mean(logits.argmax(1) == labels))
        misses = [abs(float(costs(indices)[0]) / budget - 1) for costs, budget in self._targets]
        return accuracy + self.recipe.beta * sum(misses)

    def _rehearse(self, trainer: SupernetTrainer) -> None:
        self._reward(trainer, [0] * len(self.space.decisions), 0)
