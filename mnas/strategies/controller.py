"""The recurrent controller: a policy over a space's decisions in sequence.

It is NASNet's (Zoph et al. 2018), which MnasNet also uses: one LSTM layer of 100 units, weights drawn uniformly from
-0.1 to 0.1. Each step reads the previous choice and returns the logits of the next one, so the probability of an
architecture is a product of conditionals. Decisions differ in their number of choices: tables are padded to the largest
and the padding is masked, so that one graph loop serves every step.

Graphs are functions of the weights, and are traced once for all controllers of the same decisions: tracing takes
seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from mnas.random_streams import Stream, generator

Indices = npt.NDArray[np.int32]
Weights = list[Any]  # float32 tensors: the LSTM's kernel, recurrent kernel and bias; embedding, kernel and bias
_IMPOSSIBLE = -1e9  # the logit of a choice that is only padding: its probability is exactly 0 in float32
_NUM_LSTM = 3  # of the weights


class Controller:
    """Samples indices, and computes the probability of given indices.

    Args:
        num_choices: the number of choices of each decision, in order.
        seed: of the initial weights and the samples.
        units: width of the LSTM.

    Attributes:
        graphs: the policy as functions of the weights.
        weights: the trainable weights; assign others to change the policy.
    """

    def __init__(self, num_choices: Sequence[int], *, seed: int = 0, units: int = 100) -> None:
        self.seed = seed
        self.num_decisions = len(num_choices)
        self.graphs = policy_graphs(tuple(num_choices), units)
        self.weights = self.graphs.initial_weights(seed)

    def sample(self, count: int, draw: int) -> Indices:
        """Sample a batch of index rows.

        Args:
            count: number of rows.
            draw: the number of this draw; the same weights, seed, count and draw give the same indices.

        Returns:
            Shape (count, decisions).
        """
        seed = tf.constant([self.seed % (2**31), draw], tf.int32)
        result: Indices = self.graphs.sample(self.weights, tf.constant(count, tf.int32), seed).numpy()
        return result

    def evaluate(self, indices: npt.ArrayLike) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return the log-probabilities and entropies of index rows, in nats, each of shape (count,)."""
        rows = np.asarray(indices, dtype=np.int32).reshape(-1, self.num_decisions)
        log_probs, entropies = self.graphs.evaluate(self.weights, rows)
        return log_probs.numpy(), entropies.numpy()


@cache
def policy_graphs(num_choices: tuple[int, ...], units: int) -> PolicyGraphs:
    """Return the graphs for these decisions, which all controllers of them share."""
    return PolicyGraphs(num_choices, units)


class PolicyGraphs:
    """The policy as functions of its weights.

    Args:
        num_choices: the number of choices of each decision, in order.
        units: width of the LSTM.

    Attributes:
        signature: of the weights.
        sample: of weights, a number of rows and a seed of shape (2,): index rows.
        evaluate: `log_probs`, traced.
    """

    def __init__(self, num_choices: tuple[int, ...], units: int) -> None:
        steps, widest = len(num_choices), max(num_choices)
        self._units = units
        self._mask = tf.constant(
            [[0.0 if choice < count else _IMPOSSIBLE for choice in range(widest)] for count in num_choices]
        )
        self._cell = keras.layers.LSTMCell(units)
        self._cell.build((None, units))
        self._layer = keras.layers.RNN(self._cell, return_sequences=True)
        self._layer.build((None, steps, units))
        self._state = [tf.constant(variable.numpy()) for variable in self._cell.non_trainable_variables]  # no dropout
        # embedding[d, c] is what step d reads when step d - 1 chose c; step 0 reads [0, 0].
        lstm = [(units, 4 * units), (units, 4 * units), (4 * units,)]
        self._shapes = [*lstm, (steps, widest, units), (steps, units, widest), (steps, widest)]
        self.signature = [tf.TensorSpec(shape, tf.float32) for shape in self._shapes]
        count, draw = tf.TensorSpec([], tf.int32), tf.TensorSpec([2], tf.int32)
        self.rows = tf.TensorSpec([None, steps], tf.int32)
        self.sample = tf.function(self._sample, input_signature=[self.signature, count, draw], autograph=False)
        self.evaluate = tf.function(self.log_probs, input_signature=[self.signature, self.rows], autograph=False)

    def initial_weights(self, seed: int) -> Weights:
        """Draw weights; biases are 0."""
        kernel, recurrent, bias, embedding, head, head_bias = self._shapes
        rng = generator(seed, Stream.CONTROLLER_WEIGHTS)
        seeds = [int(s) for s in rng.integers(2**31 - 1, size=4)]
        lstm = [
            keras.initializers.RandomUniform(-0.1, 0.1, seed=own)(shape)
            for own, shape in zip(seeds, (kernel, recurrent), strict=False)
        ]
        own = [_uniform(shape, each) for shape, each in zip((embedding, head), seeds[2:], strict=True)]
        return [*lstm, tf.zeros(bias), *own, tf.zeros(head_bias)]

    def _sample(self, weights: Weights, count: Any, seed: Any) -> Any:
        lstm, (embedding, kernel, bias) = weights[:_NUM_LSTM], weights[_NUM_LSTM:]
        steps, widest = self._mask.shape
        uniform = tf.random.stateless_uniform([steps, count, widest], seed, minval=1e-20)
        noise = -tf.math.log(-tf.math.log(uniform))  # Gumbel: the argmax below is then a draw from the softmax

        def decide(step: Any, previous: Any, hidden: Any, memory: Any, chosen: Any) -> Any:
            inputs = tf.gather(embedding[step], previous)
            (_, (hidden, memory)), _ = self._cell.stateless_call(lstm, self._state, inputs, [hidden, memory])
            logits = tf.matmul(hidden, kernel[step]) + bias[step] + self._mask[step]
            choice = tf.argmax(logits + noise[step], axis=1, output_type=tf.int32)
            return step + 1, choice, hidden, memory, chosen.write(step, choice)

        state = tf.zeros([count, self._units])
        chosen = tf.TensorArray(tf.int32, size=steps, element_shape=[None])
        start = (tf.constant(0), tf.zeros([count], tf.int32), state, state, chosen)
        *_, chosen = tf.while_loop(lambda step, *_: step < steps, decide, start)
        return tf.transpose(chosen.stack())

    def log_probs(self, weights: Weights, indices: Any) -> tuple[Any, Any]:
        """Log-probability and entropy of index rows, differentiable with respect to the weights.

        Args:
            weights: of the policy.
            indices: an int32 tensor, shape (count, decisions).

        Returns:
            Two tensors of shape (count,): the log-probability of each row, and the sum of the entropies of its
            decisions, each given the choices before it, in nats.
        """
        lstm, (embedding, kernel, bias) = weights[:_NUM_LSTM], weights[_NUM_LSTM:]
        before = tf.transpose(tf.pad(indices[:, :-1], [[0, 0], [1, 0]]))
        inputs = tf.gather(embedding, before, batch_dims=1)  # (decisions, count, units)
        hidden, _ = self._layer.stateless_call(lstm, self._state, tf.transpose(inputs, [1, 0, 2]))
        logits = tf.einsum("bdu,duc->bdc", hidden, kernel) + bias + self._mask
        log_p = tf.nn.log_softmax(logits)
        chosen = tf.gather(log_p, indices, batch_dims=2)
        entropy = -tf.reduce_sum(tf.exp(log_p) * log_p, axis=[1, 2])
        return tf.reduce_sum(chosen, axis=1), entropy


def _uniform(shape: tuple[int, ...], seed: int) -> Any:
    return tf.random.stateless_uniform(shape, [seed, 0], minval=-0.1, maxval=0.1)
