"""The common part of REINFORCE and PPO: the recurrent controller, advantages, and one gradient step."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from mnas.arch.spec import Architecture
from mnas.space.space import SearchSpace
from mnas.strategies.base import MAX_REJECTIONS, Feasible, Strategy, check_count, encode_successful
from mnas.strategies.controller import Controller
from mnas.trial import Trial

_FRESH_ROUNDS = 10  # batches drawn to find candidates that were not evaluated before


class PolicyGradient(Strategy):
    """A strategy that samples from a controller and trains it by policy gradient.

    Evaluators are pure functions, so a candidate that was evaluated before is drawn again, a few times. Otherwise a
    search of a few hundred trials stops exploring early. Infeasible samples are drawn again in whole batches.
    See `Strategy` for the other arguments.

    Args:
        learning_rate: Adam's.
        entropy_weight: of the entropy bonus, relative to advantages scaled to unit spread.
        baseline_decay: of the moving averages of the rewards and of their squared deviations.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        seed: int,
        feasible: Feasible | None,
        learning_rate: float,
        entropy_weight: float,
        baseline_decay: float,
    ) -> None:
        super().__init__(space, seed=seed, feasible=feasible)
        counts = [len(decision.choices) for decision in space.decisions]
        self.controller = Controller(counts, seed=seed)
        self._optimizer = keras.optimizers.Adam(learning_rate)
        self._optimizer.build(self.controller.variables)
        self._entropy_weight = entropy_weight
        self._advantages = Advantages(baseline_decay)
        self._seen: set[Architecture] = set()
        self._draws = 0
        self._diagnostics: dict[str, float] = {}
        rows = tf.TensorSpec([None, len(counts)], tf.int32)
        scalars = tf.TensorSpec([None], tf.float32)
        self._step = tf.function(self._step_graph, input_signature=[rows, scalars, scalars], autograph=False)

    def ask(self, count: int) -> list[Architecture]:
        """A batch from the current policy; infeasible and known candidates are replaced by further draws."""
        check_count(count)
        found: list[Architecture] = []
        refused: list[Architecture] = []
        for round_number in range(MAX_REJECTIONS):
            for candidate in self._draw(count):
                known = round_number < _FRESH_ROUNDS and (candidate in self._seen or candidate in found)
                if known or not (self.feasible is None or self.feasible(candidate)):
                    refused.append(candidate)
                else:
                    found.append(candidate)
            if len(found) >= count or len(refused) > MAX_REJECTIONS * count:
                break
        return [*found, *reversed(refused)][:count]

    def tell(self, trials: Sequence[Trial]) -> None:
        """Update the policy; log-probabilities are computed from the trials' architectures."""
        pairs = encode_successful(self.space, trials)
        self._seen.update(trial.architecture for trial in trials if trial.reward is not None)
        if not pairs:
            return
        indices = np.array([row for row, _ in pairs], dtype=np.int32)
        advantages = self._advantages([reward for _, reward in pairs])
        entropy = self._update(tf.constant(indices), tf.constant(advantages, tf.float32))
        self._diagnostics = {"entropy": float(entropy)}

    def diagnostics(self) -> dict[str, float]:
        """The policy's mean `entropy` in nats over the last batch, before its update."""
        return dict(self._diagnostics)

    @abstractmethod
    def _update(self, indices: Any, advantages: Any) -> Any:
        """Learn from one batch: an int32 tensor (count, decisions) and a float32 tensor (count,).

        Returns:
            The policy's mean entropy over these rows before the update.
        """

    @abstractmethod
    def _gain(self, log_probs: Any, advantages: Any, old_log_probs: Any) -> Any:
        """The value to maximise for each row, without the entropy bonus; called inside the graph."""

    def _draw(self, count: int) -> list[Architecture]:
        rows = self.controller.sample(count, self._draws)
        self._draws += 1
        return [self.space.decode([int(index) for index in row]) for row in rows]

    def _step_graph(self, indices: Any, advantages: Any, old_log_probs: Any) -> Any:
        with tf.GradientTape() as tape:
            log_probs, entropies = self.controller.log_probs(indices)
            gain = self._gain(log_probs, advantages, old_log_probs) + self._entropy_weight * entropies
            loss = -tf.reduce_mean(gain)
        variables = self.controller.variables
        gradients = [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, variables)]
        self._optimizer.apply(gradients, variables)
        return tf.reduce_mean(entropies)


class Advantages:
    """Rewards minus their moving average, divided by their moving standard deviation.

    Rewards of a good space differ in the third digit only. With this scaling one learning rate and one entropy weight
    fit accuracies, absolute rewards and MnasNet's products. The averages start at the first batch's own, not at zero.

    Args:
        decay: weight of the past at each reward, 0.95 in NASNet.
    """

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self._mean: float | None = None
        self._variance = 0.0

    def __call__(self, rewards: Sequence[float]) -> npt.NDArray[np.float64]:
        """Advantages of one batch, shape (count,), within +-3, against the baseline before the batch."""
        values = np.asarray(rewards, dtype=np.float64)
        if self._mean is None:
            self._mean, self._variance = float(values.mean()), float(values.var())
        advantages = (values - self._mean) / (self._variance**0.5 + 1e-8)
        for value in values:
            deviation = float(value) - self._mean
            self._mean += (1 - self._decay) * deviation
            self._variance = self._decay * (self._variance + (1 - self._decay) * deviation**2)
        clipped: npt.NDArray[np.float64] = np.clip(advantages, -3, 3)
        return clipped
