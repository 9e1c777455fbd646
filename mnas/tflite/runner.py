"""Running a TFLite file on this machine."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.errors import MnasError
from mnas.system.native_output import quiet

Floats = npt.NDArray[np.float32]


class TFLiteRunner:
    """Runs a TFLite file on one image at a time.

    Args:
        content: the file.
        num_threads: of LiteRT's interpreter.
        open_interpreter: makes another interpreter of the file, with its tensors allocated.
    """

    def __init__(
        self, content: bytes, *, num_threads: int = 2, open_interpreter: Callable[[bytes], Any] | None = None
    ) -> None:
        self.interpreter = (open_interpreter or partial(_litert, num_threads=num_threads))(content)
        self.input = self.interpreter.get_input_details()[0]
        self.output = self.interpreter.get_output_details()[0]

    def __call__(self, images: Floats) -> Floats:
        """Return probabilities (count, classes) for images (count, size, size, 3) in [-1, 1].

        Raises:
            MnasError: for images of another size.
        """
        expected = tuple(int(side) for side in self.input["shape"][1:])
        if images.shape[1:] != expected:
            raise MnasError(f"the images have shape {images.shape[1:]}: this file expects {expected}")
        return np.stack([self._one(image) for image in images])

    def taken(self, image: Floats) -> npt.NDArray[Any]:
        """Return one image (size, size, 3) in [-1, 1] in the type of the file's input, with a batch dimension of 1."""
        quantized: npt.NDArray[Any] = _quantize(image[None], self.input)
        return quantized

    def read(self, output: bytes) -> Floats:
        """Return probabilities (classes,) from an output's bytes.

        Raises:
            ValueError: if their number is wrong.
        """
        values = np.frombuffer(output, self.output["dtype"]).reshape(self.output["shape"])
        return _dequantize(values[0], self.output)

    def _one(self, image: Floats) -> Floats:
        self.interpreter.set_tensor(self.input["index"], self.taken(image))
        self.interpreter.invoke()
        return _dequantize(self.interpreter.get_tensor(self.output["index"])[0], self.output)


def _litert(content: bytes, *, num_threads: int) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    try:
        with quiet():
            interpreter = Interpreter(model_content=content, num_threads=num_threads)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise MnasError(f"the interpreter refuses the converted file: {error}") from None
    return interpreter


def _quantize(values: Floats, tensor: dict[str, Any]) -> Any:
    if tensor["dtype"] == np.float32:
        return values
    scale, zero = tensor["quantization"]
    limits = np.iinfo(tensor["dtype"])
    return np.clip(np.round(values / scale + zero), limits.min, limits.max).astype(tensor["dtype"])


def _dequantize(values: Any, tensor: dict[str, Any]) -> Floats:
    if tensor["dtype"] == np.float32:
        return np.array(values, np.float32)
    scale, zero = tensor["quantization"]
    return np.asarray((values.astype(np.float32) - zero) * scale, np.float32)
