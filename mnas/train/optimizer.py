"""The Keras optimizer, loss and precision of a recipe."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
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
    common = {"weight_decay": recipe.weight_decay or None, "global_clipnorm": recipe.clip_norm, **average}
    rate = _schedule(values)
    if recipe.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, **common)
    elif recipe.optimizer == "rmsprop":
        optimizer = keras.optimizers.RMSprop(rate, rho=0.9, momentum=0.9, epsilon=1e-3, **common)
    else:
        optimizer = keras.optimizers.Adam(rate, **common)
    if recipe.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer


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
