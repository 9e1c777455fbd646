"""Keras model to TFLite, with a fixed batch of 1, quickly and quietly.

Where the time goes (MobileNetV2 at 96 px): `TFLiteConverter.from_keras_model` traces the model five times, writes and
reads a SavedModel, and only then converts. Here the model is traced once, with batch 1, and its frozen graph goes
straight to the converter. (`from_concrete_functions` alone still takes the SavedModel route, and with Keras 3 it loses
the weights there in silence.)
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from mnas.errors import MnasError
from mnas.export.ranges import widen_dead_ranges
from mnas.quiet import quiet

_LOGGER = logging.getLogger(__name__)


def to_tflite(model: Any, configure: Callable[[Any], None] | None = None) -> bytes:
    """Convert a Keras model that takes one image input to a TFLite flatbuffer with batch 1.

    Args:
        model: a built Keras model (Keras 3 or tf_keras).
        configure: sets the converter up for a quantised file; see `mnas.export.quantize`.

    Raises:
        MnasError: if the converter fails; the message carries the end of what it printed.
    """
    import tensorflow as tf

    def infer(image: Any) -> Any:
        return model(image, training=False)

    shape = (1, *model.inputs[0].shape[1:])
    with quiet() as printed:
        try:
            traced = tf.function(infer, autograph=False, jit_compile=False).get_concrete_function(
                tf.TensorSpec(shape, tf.float32, name="image")
            )
            converter = tf.lite.TFLiteConverter.from_concrete_functions([traced], model)
            converter.experimental_lower_to_saved_model = False
            if configure is not None:
                configure(converter)
            content: bytes = converter.convert()
        except Exception as error:  # the converter raises bare Exceptions of many kinds
            raise MnasError(
                f"the TFLite converter failed: {_last_line(str(error)) or _last_line(printed())}"
            ) from error
    content, num_dead = widen_dead_ranges(content)
    if num_dead:
        _LOGGER.info("%d tensors are always 0 on the calibration images: given a scale that can be computed", num_dead)
    return content


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:500] if lines else ""
