"""The Keras optimizer, loss and precision of a recipe."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from mnas.train.recipe import Recipe

log = logging.getLogger(__name__)


def make_optimizer(recipe: Recipe, steps: int) -> Any:
    """Return the recipe's Keras optimizer with its learning rate schedule; biases and batch norms do not decay.

    With `ema` it keeps an average of the weights; see `hold_average`.
    """
    import keras

    values = [recipe.learning_rate_at(step, steps) for step in range(steps)]
    average = {"use_ema": True, "ema_momentum": recipe.ema_momentum(steps)} if recipe.ema else {}
    common: dict[str, Any] = {"global_clipnorm": recipe.clip_norm, **average}
    rate = _schedule(values)
    if recipe.optimizer == "adam":
        return _fused_adam()(rate, recipe.weight_decay, **common)
    common["weight_decay"] = recipe.weight_decay or None
    if recipe.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, **common)
    else:
        optimizer = keras.optimizers.RMSprop(rate, rho=0.9, momentum=0.9, epsilon=1e-3, **common)
    if recipe.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer


@cache
def _fused_adam() -> Any:
    """Return a class for Keras's Adam with decoupled weight decay of kernels, as TensorFlow's one operator a variable.

    Keras writes it as thirty operators a variable: half of the time that tracing a network takes. The results are the
    same.
    """
    import keras
    import tensorflow as tf

    class FusedAdam(keras.optimizers.Adam):  # type: ignore[misc]
        def __init__(self, learning_rate: Any, kernel_decay: float = 0.0, **common: Any) -> None:
            super().__init__(learning_rate, **common)
            self.kernel_decay = kernel_decay

        def apply(self, grads: Any, trainable_variables: Any = None) -> Any:
            step = tf.cast(self.iterations + 1, tf.float32)
            self.powers = self.beta_1**step, self.beta_2**step
            return super().apply(grads, trainable_variables)

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            if self.kernel_decay and len(variable.shape) > 1:
                variable.assign_sub(variable * (self.kernel_decay * learning_rate))
            if tf.distribute.has_strategy():
                super().update_step(gradient, variable, learning_rate)
                return
            place = self._get_variable_index(variable)
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=self._momentums[place].value.handle,
                v=self._velocities[place].value.handle,
                beta1_power=self.powers[0],
                beta2_power=self.powers[1],
                lr=learning_rate,
                beta1=self.beta_1,
                beta2=self.beta_2,
                epsilon=self.epsilon,
                grad=gradient,
            )

    return FusedAdam


def hold_average(model: Any) -> Callable[[], None]:
    """Stop Keras from replacing the weights by their average after every `fit`: one epoch is one `fit` here.

    Returns:
        A function that replaces them at the end; it does nothing for an optimizer without an average.
    """
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    finalize = optimizer.finalize_variable_values
    optimizer.finalize_variable_values = lambda variables: None
    return lambda: finalize(model.trainable_variables)


def smoothed_loss(num_classes: int, smoothing: float) -> Callable[[Any, Any], Any]:
    """Return the cross-entropy of logits and integer labels, with label smoothing."""
    import keras

    def loss(labels: Any, logits: Any) -> Any:
        target = keras.ops.one_hot(keras.ops.reshape(labels, (-1,)), num_classes)
        logits = keras.ops.cast(logits, "float32")  # float16 logits overflow in the exponential
        return keras.losses.categorical_crossentropy(target, logits, from_logits=True, label_smoothing=smoothing)

    return loss


def _schedule(values: list[float]) -> Any:
    """Return a schedule that takes the learning rate of each step from a list.

    Keras's schedules give other rates: `CosineDecay` warms up from a rate of 0, and `ExponentialDecay` has no warm-up.
    """
    import keras

    class Listed(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
        def __call__(self, step: Any) -> Any:
            table = keras.ops.convert_to_tensor(values, "float32")
            return keras.ops.take(table, keras.ops.minimum(keras.ops.cast(step, "int32"), len(values) - 1))

        def get_config(self) -> dict[str, Any]:
            return {"values": values}

    return Listed()


@contextlib.contextmanager
def accelerated(recipe: Recipe) -> Iterator[None]:
    """Build and compile in this context to use all accelerators, and mixed precision if the recipe has it.

    Several GPUs share every batch (`tf.distribute.MirroredStrategy`). Without a GPU, mixed precision is ignored with a
    warning: a CPU computes float16 more slowly than float32.
    """
    import keras
    import tensorflow as tf

    gpus = tf.config.list_logical_devices("GPU")
    before = keras.config.dtype_policy()
    if recipe.mixed_precision and not gpus:
        log.warning("there is no GPU: mixed precision is not used")
    scope = tf.distribute.MirroredStrategy().scope() if len(gpus) > 1 else contextlib.nullcontext()
    try:
        if recipe.mixed_precision and gpus:
            keras.config.set_dtype_policy("mixed_float16")
        with scope:
            yield
    finally:
        keras.config.set_dtype_policy(before)
