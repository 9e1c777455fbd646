"""The recurrent controller: a policy over a space's decisions in sequence.

It is NASNet's (Zoph et al. 2018), which MnasNet also uses: one LSTM layer of 100 units, weights drawn uniformly from
-0.1 to 0.1. Each step reads the previous choice and returns the logits of the next one, so the probability of an
architecture is a product of conditionals. Decisions differ in their number of choices: tables are padded to the largest
and the padding is masked, so that one graph loop serves every step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from mnas.random_streams import Stream, generator

Indices = npt.NDArray[np.int32]
_IMPOSSIBLE = -1e9  # the logit of a choice that is only padding: its probability is exactly 0 in float32


class Controller:
    """Samples indices, and computes the probability of given indices.

    Args:
        num_choices: the number of choices of each decision, in order.
        seed: of the initial weights and the samples.
        units: width of the LSTM.
    """

    def __init__(self, num_choices: Sequence[int], *, seed: int = 0, units: int = 100) -> None:
        steps, widest = len(num_choices), max(num_choices)
        self.seed = seed
        self.num_decisions = steps
        self._units = units
        self._mask = tf.constant(
            [[0.0 if choice < count else _IMPOSSIBLE for choice in range(widest)] for count in num_choices]
        )
        rng = generator(seed, Stream.CONTROLLER_WEIGHTS)
        seeds = [int(s) for s in rng.integers(2**31 - 1, size=4)]
        self._cell = keras.layers.LSTMCell(
            units,
            kernel_initializer=keras.initializers.RandomUniform(-0.1, 0.1, seed=seeds[0]),
            recurrent_initializer=keras.initializers.RandomUniform(-0.1, 0.1, seed=seeds[1]),
            unit_forget_bias=False,
        )
        self._cell.build((None, units))
        self._layer = keras.layers.RNN(self._cell, return_sequences=True)
        self._layer.build((None, steps, units))
        # _embedding[d, c] is what step d reads when step d - 1 chose c; step 0 reads [0, 0].
        self._embedding = _uniform((steps, widest, units), seeds[2])
        self._kernel = _uniform((steps, units, widest), seeds[3])
        self._bias = tf.Variable(tf.zeros((steps, widest)))
        count, draw = tf.TensorSpec([], tf.int32), tf.TensorSpec([2], tf.int32)
        rows = tf.TensorSpec([None, steps], tf.int32)
        self._sample = tf.function(self._sample_graph, input_signature=[count, draw], autograph=False)
        self._evaluate = tf.function(self.log_probs, input_signature=[rows], autograph=False)

    @property
    def variables(self) -> list[Any]:
        """The trainable variables."""
        return [*self._cell.trainable_variables, self._embedding, self._kernel, self._bias]

    def sample(self, count: int, draw: int) -> Indices:
        """Sample a batch of index rows.

        Args:
            count: number of rows.
            draw: the number of this draw; the same weights, seed, count and draw give the same indices.

        Returns:
            Shape (count, decisions).
        """
        seed = tf.constant([self.seed % (2**31), draw], tf.int32)
        result: Indices = self._sample(tf.constant(count, tf.int32), seed).numpy()
        return result

    def evaluate(self, indices: npt.ArrayLike) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """`log_probs` for a batch, as arrays: log-probabilities and entropies in nats, each of shape (count,)."""
        log_probs, entropies = self._evaluate(np.asarray(indices, dtype=np.int32).reshape(-1, self.num_decisions))
        return log_probs.numpy(), entropies.numpy()

    def _sample_graph(self, count: Any, seed: Any) -> Any:
        steps, widest = self._mask.shape
        uniform = tf.random.stateless_uniform([steps, count, widest], seed, minval=1e-20)
        noise = -tf.math.log(-tf.math.log(uniform))  # Gumbel: the argmax below is then a draw from the softmax

        def decide(step: Any, previous: Any, hidden: Any, memory: Any, chosen: Any) -> Any:
            inputs = tf.gather(self._embedding[step], previous)
            _, (hidden, memory) = self._cell(inputs, [hidden, memory])
            logits = tf.matmul(hidden, self._kernel[step]) + self._bias[step] + self._mask[step]
            choice = tf.argmax(logits + noise[step], axis=1, output_type=tf.int32)
            return step + 1, choice, hidden, memory, chosen.write(step, choice)

        state = tf.zeros([count, self._units])
        chosen = tf.TensorArray(tf.int32, size=steps, element_shape=[None])
        start = (tf.constant(0), tf.zeros([count], tf.int32), state, state, chosen)
        *_, chosen = tf.while_loop(lambda step, *_: step < steps, decide, start)
        return tf.transpose(chosen.stack())

    def log_probs(self, indices: Any) -> tuple[Any, Any]:
        """Log-probability and entropy of index rows, differentiable with respect to `variables`.

        Args:
            indices: an int32 tensor, shape (count, decisions).

        Returns:
            Two tensors of shape (count,): the log-probability of each row, and the sum of the entropies of its
            decisions, each given the choices before it, in nats.
        """
        before = tf.transpose(tf.pad(indices[:, :-1], [[0, 0], [1, 0]]))
        inputs = tf.gather(self._embedding, before, batch_dims=1)  # (decisions, count, units)
        hidden = self._layer(tf.transpose(inputs, [1, 0, 2]))
        logits = tf.einsum("bdu,duc->bdc", hidden, self._kernel) + self._bias + self._mask
        log_p = tf.nn.log_softmax(logits)
        chosen = tf.gather(log_p, indices, batch_dims=2)
        entropy = -tf.reduce_sum(tf.exp(log_p) * log_p, axis=[1, 2])
        return tf.reduce_sum(chosen, axis=1), entropy


def _uniform(shape: tuple[int, ...], seed: int) -> Any:
    return tf.Variable(tf.random.stateless_uniform(shape, [seed, 0], minval=-0.1, maxval=0.1))
