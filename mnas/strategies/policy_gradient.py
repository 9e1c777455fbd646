"""The common part of REINFORCE and PPO: the recurrent controller, advantages, and one gradient step.

A step is Adam's (Kingma and Ba 2015), as Keras does it, but as a function of weights and averages: strategies of the
same decisions and options share the traced graph.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from mnas.arch.spec import Architecture
from mnas.space.space import SearchSpace
from mnas.strategies.base import MAX_REJECTIONS, Feasible, Strategy, check_count, encode_successful
from mnas.strategies.controller import Controller, PolicyGraphs, Weights
from mnas.strategies.dual_ascent import DualAscent
from mnas.trial import Trial

# The value to maximise for each row, of its log-probability, its advantage and its log-probability before the update.
Gain = Callable[[Any, Any, Any], Any]
_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-7  # Adam's
_FRESH_ROUNDS = 10  # batches drawn to find candidates that were not evaluated before


class PolicyGradient(Strategy):
    """A strategy that samples from a controller and trains it by policy gradient.

    Evaluators are pure functions, so a candidate that was evaluated before is drawn again, a few times. Otherwise a
    search of a few hundred trials stops exploring early. Infeasible samples are drawn again in whole batches.
    See `Strategy` for the other arguments.

    Args:
        gain: what a step maximises, without the entropy bonus; hashable, because equal ones share a graph.
        learning_rate: Adam's.
        entropy_weight: of the entropy bonus, relative to advantages scaled to unit spread.
        baseline_decay: of the moving averages of the rewards and of their squared deviations.
        budgets_ms: one for each latency of the trials, where accuracies cost next to nothing: the policy then learns by
            `DualAscent`, and another one begins when it has settled. With None, the default, there is one policy, which
            learns from the rewards as they are.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        seed: int,
        feasible: Feasible | None,
        gain: Gain,
        learning_rate: float,
        entropy_weight: float,
        baseline_decay: float,
        budgets_ms: Sequence[float] | None,
    ) -> None:
        super().__init__(space, seed=seed, feasible=feasible)
        counts = [len(decision.choices) for decision in space.decisions]
        max_entropy = math.fsum(math.log(count) for count in counts)
        self._dual_ascent = None if budgets_ms is None else DualAscent(budgets_ms, max_entropy)
        self._num_policies = 0
        self.controller = Controller(counts, seed=seed)
        self._step_graph = _adam_step(self.controller.graphs, gain, learning_rate, entropy_weight)
        self._baseline_decay = baseline_decay
        self._begin_policy()
        self._seen: set[Architecture] = set()
        self._draws = 0
        self._diagnostics: dict[str, float] = {}

    def _begin_policy(self) -> None:
        """Forget what was learned, but not which candidates were seen."""
        self.controller.weights = self.controller.graphs.initial_weights(self.seed + self._num_policies)
        self._averages = [tf.zeros_like(weight) for _ in range(2) for weight in self.controller.weights]
        self._steps = 0
        self._advantages = Advantages(self._baseline_decay)
        self._num_policies += 1

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
        successful = [trial for trial in trials if trial.reward is not None]
        self._seen.update(trial.architecture for trial in successful)
        if not pairs:
            return
        indices = np.array([row for row, _ in pairs], dtype=np.int32)
        rewards = [reward for _, reward in pairs]
        if self._dual_ascent is not None:
            rewards = [self._dual_ascent.reward(trial) for trial in successful]
        advantages = self._advantages(rewards)
        entropy = float(self._update(tf.constant(indices), tf.constant(advantages, tf.float32)))
        self._diagnostics = {"entropy": entropy}
        if self._dual_ascent is not None:
            self._diagnostics["latency_weight"] = self._dual_ascent.weight
            if self._dual_ascent.update(successful, entropy):
                self._begin_policy()

    def diagnostics(self) -> dict[str, float]:
        """The policy's mean `entropy` in nats over the last batch, before its update; and `DualAscent`'s weight."""
        return dict(self._diagnostics)

    @abstractmethod
    def _update(self, indices: Any, advantages: Any) -> Any:
        """Learn from one batch: an int32 tensor (count, decisions) and a float32 tensor (count,).

        Returns:
            The policy's mean entropy over these rows before the update.
        """

    def _step(self, indices: Any, advantages: Any, old_log_probs: Any) -> Any:
        """Do one step on a batch; return the mean entropy before it."""
        self._steps += 1
        weights, self._averages, entropy = self._step_graph(
            self.controller.weights,
            self._averages,
            tf.constant(self._steps, tf.float32),
            indices,
            advantages,
            old_log_probs,
        )
        self.controller.weights = weights
        return entropy

    def _draw(self, count: int) -> list[Architecture]:
        rows = self.controller.sample(count, self._draws)
        self._draws += 1
        return [self.space.decode([int(index) for index in row]) for row in rows]


@cache
def _adam_step(graphs: PolicyGraphs, gain: Gain, learning_rate: float, entropy_weight: float) -> Any:
    """Return a traced step: of weights, averages, the step's number and a batch; it returns the first two anew."""

    def step(
        weights: Weights, averages: Weights, number: Any, indices: Any, advantages: Any, old_log_probs: Any
    ) -> tuple[Weights, Weights, Any]:
        with tf.GradientTape() as tape:
            tape.watch(weights)
            log_probs, entropies = graphs.log_probs(weights, indices)
            gained = gain(log_probs, advantages, old_log_probs) + entropy_weight * entropies
            loss = -tf.reduce_mean(gained)
        gradients = [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, weights)]
        first, second = averages[: len(weights)], averages[len(weights) :]
        first = [m + (g - m) * (1 - _BETA_1) for m, g in zip(first, gradients, strict=True)]
        second = [v + (tf.square(g) - v) * (1 - _BETA_2) for v, g in zip(second, gradients, strict=True)]
        rate = learning_rate * tf.sqrt(1 - _BETA_2**number) / (1 - _BETA_1**number)
        weights = [w - m * rate / (tf.sqrt(v) + _EPSILON) for w, m, v in zip(weights, first, second, strict=True)]
        return weights, [*first, *second], tf.reduce_mean(entropies)

    scalars = tf.TensorSpec([None], tf.float32)
    signature = [graphs.signature, [*graphs.signature, *graphs.signature], tf.TensorSpec([], tf.float32)]
    return tf.function(step, input_signature=[*signature, graphs.rows, scalars, scalars], autograph=False)


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
