"""Learning an architecture by gradient, beside a supernet's weights: what the differentiable strategy draws from.

Every decision has one logit a choice. An update draws Gumbel noise, runs the mixture of all choices on images that the
weights are not trained on, and moves the logits along the gradient of its loss and of the expected latency by the table
(Jang et al. 2017; FBNet, Wu et al. 2019). The two halves of the training split are DARTS's two levels, first order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.checks import check_integer, check_number
from mnas.data.dataset import Split
from mnas.oneshot.architecture_learner import Logits, LogitsLearner, Target
from mnas.oneshot.trainer import SupernetTrainer
from mnas.random_streams import Stream, generator
from mnas.space.costs import SpaceCosts
from mnas.space.space import SearchSpace


@dataclass(frozen=True, slots=True)
class RelaxationRecipe:
    """How the logits learn.

    Attributes:
        steps: of the supernet's training.
        begin: the share of them before the logits begin to learn, so that the weights mean something first.
        every: steps of the weights between two updates of the logits; an update costs several steps.
        batch_size: images an update.
        learning_rate: Adam's.
        hot, cold: the temperature of the Gumbel softmax at the first and the last update, falling exponentially.
        latency_weight: of |expected latency / budget - 1| beside the cross-entropy.
        seed: of noise and images.
    """

    steps: int
    begin: float = 0.25
    every: int = 5
    batch_size: int = 48
    learning_rate: float = 0.05
    hot: float = 5.0
    cold: float = 0.5
    latency_weight: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_integer("steps", self.steps, 1, 100_000_000)
        check_integer("every", self.every, 1, 1_000_000)
        check_number("begin", self.begin, 0, 1)
        check_number("latency_weight", self.latency_weight, 0, 1e6)

    def due(self, step: int) -> bool:
        """Whether the logits learn after this step of the weights."""
        first = int(self.begin * self.steps)
        return step >= first and (step - first) % self.every == 0

    def temperature(self, step: int) -> float:
        """The temperature after this step."""
        share = min(1.0, max(0.0, step / self.steps - self.begin) / max(1e-9, 1 - self.begin))
        return float(self.hot * (self.cold / self.hot) ** share)


class RelaxationLearner(LogitsLearner[RelaxationRecipe]):
    """Moves the logits along the gradient of a mixture of all choices; the arguments are `LogitsLearner`'s.

    Raises:
        InputError: if the space has stages of whole blocks, before anything is trained.
    """

    kind = "relaxation"
    traced = ("_graph", "_mixture")

    def __init__(
        self, space: SearchSpace, split: Split, recipe: RelaxationRecipe, targets: Sequence[Target] = ()
    ) -> None:
        from mnas.oneshot.mixture import mixable_stages

        mixable_stages(space)
        super().__init__(space, split, recipe, targets, Logits(space, learning_rate=recipe.learning_rate))
        self._targets = [(ExpectedCost(costs), budget) for costs, budget in targets]
        self._graph: Any = None
        self._mixture: Any = None

    def after_step(self, trainer: SupernetTrainer, step: int) -> None:
        """One update of the logits, where one is due.

        Raises:
            MnasError: if it diverges.
        """
        if not self.recipe.due(step):
            return
        images, labels = self._batches(self._logits.updates)
        rng = generator(self.recipe.seed, Stream.RELAXATION_NOISE, step)
        noise = rng.gumbel(size=len(self._logits.values)).astype(np.float32)
        self._logits.descend(self._gradient(trainer, step, noise, images, labels))

    def _rehearse(self, trainer: SupernetTrainer) -> None:
        images, labels = self._batches(0)
        self._gradient(trainer, 0, np.zeros_like(self._logits.values), images, labels)

    def _gradient(
        self,
        trainer: SupernetTrainer,
        step: int,
        noise: npt.NDArray[np.float32],
        images: npt.NDArray[np.float32],
        labels: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.float32]:
        import tensorflow as tf

        from mnas.oneshot.mixture import Mixture, light_graphs

        if self._graph is None:
            self._mixture = Mixture(trainer.shared)
            self._graph = tf.function(self._loss_and_gradient, autograph=False)
        temperature = tf.constant(self.recipe.temperature(step), tf.float32)
        arguments = map(tf.constant, (self._logits.values, noise, images, labels))
        with light_graphs():
            _, gradient = self._graph(tf.constant(trainer.weights), temperature, *arguments)
        found: npt.NDArray[np.float32] = gradient.numpy()
        return found

    def _loss_and_gradient(
        self, weights: Any, temperature: Any, logits: Any, noise: Any, images: Any, labels: Any
    ) -> tuple[Any, Any]:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(logits)
            noisy = tf.split((logits + noise) / temperature, self._logits.counts)
            drawn = tf.concat([tf.nn.softmax(own) for own in noisy], 0)
            answers = self._mixture.train(weights, drawn, images)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, answers))
            shares = [tf.nn.softmax(own) for own in tf.split(logits, self._logits.counts)]
            for expected, budget in self._targets:
                loss += self.recipe.latency_weight * tf.abs(expected(shares) / budget - 1)
        return loss, tape.gradient(loss, logits)


class ExpectedCost:
    """A cost's expectation over independent decisions: a stage depends on its own and the filters before.

    Exact for what adds up over blocks. Where the costs have a factor for the whole network, it is the factor at the
    expected amount: exact where every decision is sure, to first order elsewhere.
    """

    def __init__(self, costs: SpaceCosts) -> None:
        self._costs = costs

    def __call__(self, shares: Sequence[Any]) -> Any:
        """A scalar tensor, differentiable in the decisions' probabilities.

        Args:
            shares: one vector of probabilities a decision.
        """
        total = _expected_sum(self._costs, shares)
        if self._costs.scaling is None:
            return total
        amounts, curve = self._costs.scaling
        return total * _on_curve(curve, _expected_sum(amounts, shares))


def _expected_sum(costs: SpaceCosts, shares: Sequence[Any]) -> Any:
    import tensorflow as tf

    remaining = list(shares)
    stem, stages, head = costs.factors()
    total, before = tf.constant(stem, tf.float32), tf.ones(1)
    for stage in stages:
        own = [remaining.pop(0) for _ in range(stage.ndim - 1)]
        left = tf.constant(stage, tf.float32)
        for probabilities in reversed(own):
            left = tf.tensordot(left, probabilities, 1)
        total += tf.tensordot(before, left, 1)
        before = own[-2]  # of the six decisions the last but one is the filters
    return total + tf.tensordot(before, tf.constant(head, tf.float32), 1)


def _on_curve(curve: Sequence[tuple[float, float]], amount: Any) -> Any:
    """`np.interp` that can be differentiated: linear between the points, constant outside them."""
    import tensorflow as tf

    value = tf.constant(curve[0][1], tf.float32)
    for (low, at_low), (high, at_high) in pairwise(curve):
        value += (at_high - at_low) / (high - low) * tf.clip_by_value(amount - low, 0.0, high - low)
    return value
