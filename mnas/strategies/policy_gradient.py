"""What REINFORCE and PPO share: proposals from the recurrent controller, advantages, and one gradient step."""

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

_FRESH_ROUNDS = 10  # so many batches are searched for candidates that were not judged before


class PolicyGradient(Strategy):
    """A strategy that draws from a controller and moves it along a gradient.

    Evaluators are pure functions, so a candidate that was judged before has nothing new to say: such draws are made
    again, a few times. Without this a search of a few hundred trials stops exploring as soon as its policy leans.

    Args:
        space: what to search.
        seed: of the controller's weights and samples.
        feasible: as in `Strategy`; refused samples are drawn again in whole batches.
        learning_rate: Adam's.
        entropy_weight: of the entropy bonus, beside advantages that are scaled to unit spread.
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
        """A batch from the policy as it is; what is refused or known is replaced from further draws."""
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
        """Update the policy; log-probabilities are computed anew from the trials' architectures."""
        pairs = encode_successful(self.space, trials)
        self._seen.update(trial.architecture for trial in trials if trial.reward is not None)
        if not pairs:
            return
        indices = np.array([row for row, _ in pairs], dtype=np.int32)
        advantages = self._advantages([reward for _, reward in pairs])
        entropy = self._update(tf.constant(indices), tf.constant(advantages, tf.float32))
        self._diagnostics = {"entropy": float(entropy)}

    def diagnostics(self) -> dict[str, float]:
        """The policy's entropy in nats before its last update, mean over the rows of that batch."""
        return dict(self._diagnostics)

    @abstractmethod
    def _update(self, indices: Any, advantages: Any) -> Any:
        """Learn from one batch: an int32 tensor (count, decisions) and a float32 tensor (count,).

        Returns:
            The mean entropy of the policy over these rows, as it was before.
        """

    @abstractmethod
    def _gain(self, log_probs: Any, advantages: Any, old_log_probs: Any) -> Any:
        """What to maximise for each row, beside its entropy; used inside the graph."""

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

    def __call__(self, rewards: Sequence[float]) -> npt.NDArray[np.float64]:
        """Advantages of one batch, shape (count,), within +-3; the baseline is what it was before the batch."""
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
