"""Convert a Keras model to TFLite, with a fixed batch of 1.

Where the time goes (MobileNetV2 at 96 px): `TFLiteConverter.from_keras_model` traces the model five times, writes and
reads a SavedModel, and only then converts. Here the model is traced once, with batch 1, and its frozen graph goes
straight to the converter. (`from_concrete_functions` alone still takes the SavedModel route, and with Keras 3 it
silently loses the weights there.)
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.checks import check_choice
from mnas.errors import InputError, MnasError
from mnas.system.native_output import quiet
from mnas.tflite.quantized_ranges import widen_dead_ranges

_LOGGER = logging.getLogger(__name__)

DTYPES = ("float32", "float16", "dynamic", "int8")
IO_DTYPES = ("float32", "int8", "uint8")  # of an int8 file's input and output
CALIBRATION_IMAGES = 256


def to_tflite(model: Any, configure: Callable[[Any], None] | None = None) -> bytes:
    """Convert a Keras model that takes one image input to a TFLite flatbuffer with batch 1.

    Args:
        model: a built Keras model (Keras 3 or tf_keras).
        configure: sets up the converter for another data type than float32; see `quantizer`.

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
        _LOGGER.info(
            "%d tensors are always 0 on the calibration images: their scale is set to a computable one", num_dead
        )
    return content


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:500] if lines else ""


def quantizer(
    dtype: str, *, calibration: npt.NDArray[np.float32] | None = None, io: str = "float32", learned: bool = False
) -> Callable[[Any], None]:
    """Return the function that sets up a `TFLiteConverter` for one data type.

    Args:
        dtype: `float32`; `float16` halves the file, the weights are widened when the file is loaded; `dynamic` has
            int8 weights and float32 activations; `int8` computes in integers only, with one scale per channel of the
            weights and ranges of activations from the calibration images.
        calibration: for int8: a few hundred training images as the network takes them, (count, size, size, 3).
        io: type of input and output of an int8 file: `float32` (scaled inside the file), `int8` or `uint8`.
        learned: whether the model was trained quantisation-aware; int8 then takes its ranges and no calibration.

    Raises:
        InputError: for an unknown dtype, missing calibration images, or images that are not in [-1, 1].
    """
    check_dtype(dtype, io)
    images = None
    if dtype == "int8" and not learned:
        if calibration is None:
            raise InputError("int8 needs calibration images: a few hundred training images")
        check_calibration(calibration)
        images = calibration

    def configure(converter: Any) -> None:
        import tensorflow as tf

        if dtype == "float32":
            return
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if dtype == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if io != "float32":
            converter.inference_input_type = converter.inference_output_type = getattr(tf, io)
        if images is not None:
            converter.representative_dataset = lambda: ([image[None]] for image in images)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]

    return configure


def check_dtype(dtype: str, io: str) -> None:
    """Check the data types of a file.

    Raises:
        InputError: for an unknown dtype, or integer input and output of a file that is not int8.
    """
    check_choice("dtype", dtype, DTYPES)
    check_choice("io", io, IO_DTYPES)
    if dtype != "int8" and io != "float32":
        raise InputError(f"io is {io!r} for {dtype}: only an int8 file can have integer input and output")


def check_calibration(images: npt.NDArray[np.float32]) -> None:
    """Check that images give the activations useful ranges.

    Raises:
        InputError: for another shape than (count, size, size, 3), no images, NaN, values outside [-1, 1], or values
            with almost no variation.
    """
    if images.ndim != 4 or images.shape[-1] != 3 or not len(images):
        raise InputError(f"calibration images have shape {images.shape}: expected (count, size, size, 3)")
    low, high = float(images.min()), float(images.max())
    hint = "pass the images through mnas.data.dataset.normalise first (bytes / 127.5 - 1)"
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError("calibration images hold NaN or infinite values")
    if low < -1.001 or high > 1.001:
        raise InputError(f"calibration images range from {low:g} to {high:g}: expected [-1, 1]; {hint}")
    if high - low < 0.1:
        raise InputError(f"calibration images range only from {low:g} to {high:g}: expected about [-1, 1]; {hint}")
