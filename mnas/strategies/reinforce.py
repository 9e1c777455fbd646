"""REINFORCE (Williams 1992) on the recurrent controller, as NASNet and MnasNet search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mnas.arch.spec import Architecture
from mnas.space.space import SearchSpace
from mnas.strategies.base import MAX_REFUSALS, Accept, Strategy, check_count, learnable
from mnas.strategies.controller import Controller
from mnas.trial import Trial


class ControllerStrategy(Strategy):
    """What REINFORCE and PPO share: proposals from a controller, and advantages against a moving average.

    Args:
        space: what to search.
        seed: of the controller's weights and samples.
        accept: as in `Strategy`; refused samples are drawn again in whole batches.
        learning_rate: Adam's.
        entropy_weight: of the entropy bonus, beside advantages that are scaled to unit spread.
        baseline_decay: of the moving averages of the rewards and of their squared deviations.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        seed: int,
        accept: Accept | None,
        learning_rate: float,
        entropy_weight: float,
        baseline_decay: float,
    ) -> None:
        super().__init__(space, seed=seed, accept=accept)
        counts = [len(decision.choices) for decision in space.decisions]
        self.controller = Controller(counts, seed=seed)
        self._optimizer = keras.optimizers.Adam(learning_rate)
        self._optimizer.build(self.controller.variables)
        self._entropy_weight = entropy_weight
        self._advantages = Advantages(baseline_decay)
        self._draws = 0
        rows = tf.TensorSpec([None, len(counts)], tf.int32)
        scalars = tf.TensorSpec([None], tf.float32)
        self._step = tf.function(self._step_graph, input_signature=[rows, scalars, scalars])

    def ask(self, count: int) -> list[Architecture]:
        """A batch from the policy as it is; refused candidates are replaced from further batches."""
        check_count(count)
        found: list[Architecture] = []
        refused: list[Architecture] = []
        while len(found) < count:
            for row in self.controller.sample(count, self._draws):
                candidate = self.space.decode([int(index) for index in row])
                accepted = self.accept is None or self.accept(candidate)
                (found if accepted else refused).append(candidate)
            self._draws += 1
            if len(refused) > MAX_REFUSALS:
                found.extend(refused[-count:])
        return found[:count]

    def tell(self, trials: Sequence[Trial]) -> None:
        """Update the policy; log-probabilities are computed anew from the trials' architectures."""
        pairs = learnable(self.space, trials)
        if not pairs:
            return
        indices = np.array([row for row, _ in pairs], dtype=np.int32)
        advantages = self._advantages([reward for _, reward in pairs])
        self._update(tf.constant(indices), tf.constant(advantages, tf.float32))

    def _update(self, indices: Any, advantages: Any) -> None:
        raise NotImplementedError

    def _step_graph(self, indices: Any, advantages: Any, old_log_probs: Any) -> None:
        with tf.GradientTape() as tape:
            log_probs, entropies = self.controller.log_probs(indices)
            gain = self._gain(log_probs, advantages, old_log_probs) + self._entropy_weight * entropies
            loss = -tf.reduce_mean(gain)
        variables = self.controller.variables
        gradients = [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, variables)]
        self._optimizer.apply(gradients, variables)

    def _gain(self, log_probs: Any, advantages: Any, old_log_probs: Any) -> Any:
        raise NotImplementedError


class Reinforce(ControllerStrategy):
    """REINFORCE with a moving-average baseline and an entropy bonus, one Adam step a batch.

    NASNet's figures (20 children an update, learning rate 3.5e-4, entropy weight 1e-5, baseline 0.95) belong to
    thousands of trials. The defaults here are for hundreds.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        seed: int = 0,
        accept: Accept | None = None,
        learning_rate: float = 0.01,
        entropy_weight: float = 0.01,
        baseline_decay: float = 0.95,
    ) -> None:
        super().__init__(
            space,
            seed=seed,
            accept=accept,
            learning_rate=learning_rate,
            entropy_weight=entropy_weight,
            baseline_decay=baseline_decay,
        )

    def _update(self, indices: Any, advantages: Any) -> None:
        self._step(indices, advantages, tf.zeros_like(advantages))

    def _gain(self, log_probs: Any, advantages: Any, old_log_probs: Any) -> Any:
        del old_log_probs  # one step a batch: the policy has not moved since
        return advantages * log_probs


class Advantages:
    """Rewards less their moving average, over their moving spread.

    Rewards of a good space differ in the third digit only; dividing by the spread makes one learning rate and one
    entropy weight fit accuracies, absolute rewards and MnasNet's products alike. The averages start at the first
    batch's own, not at zero, so that the first batch does not look like a triumph.

    Args:
        decay: weight of the past at each reward, 0.95 in NASNet.
    """

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self._mean: float | None = None
        self._variance = 0.0

    def __call__(self, rewards: Sequence[float]) -> Any:
        """Advantages of one batch, shape (count,); the baseline is what it was before the batch."""
        values = np.asarray(rewards, dtype=np.float64)
        if self._mean is None:
            self._mean, self._variance = float(values.mean()), float(values.var())
        advantages = (values - self._mean) / (self._variance**0.5 + 1e-8)
        for value in values:
            deviation = float(value) - self._mean
            self._mean += (1 - self._decay) * deviation
            self._variance = self._decay * (self._variance + (1 - self._decay) * deviation**2)
        return np.clip(advantages, -3, 3)
