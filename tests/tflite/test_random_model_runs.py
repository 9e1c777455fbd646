"""The skeleton runs, without TensorFlow."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from mnas.arch.zoo import ZOO
from mnas.errors import InputError
from mnas.space import load_space
from mnas.tflite.random_model import write_random_model


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("seed", range(4))
def test_random_networks_give_probabilities(dtype: str, seed: int) -> None:
    network = load_space("mnasnet-16").sample(np.random.default_rng(seed))
    interpreter = Interpreter(model_content=write_random_model(network, dtype=dtype), num_threads=1)
    interpreter.allocate_tensors()
    (image,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert list(image["shape"]) == [1, 16, 16, 3]
    assert image["dtype"] == answer["dtype"] == np.float32
    interpreter.set_tensor(image["index"], np.random.default_rng(1).uniform(-1, 1, (1, 16, 16, 3)).astype(np.float32))
    interpreter.invoke()
    probabilities = interpreter.get_tensor(answer["index"])
    assert probabilities.shape == (1, 10)
    assert np.isfinite(probabilities).all()
    assert probabilities.sum() == pytest.approx(1, abs=0.05)


def test_size_is_that_of_the_parameters() -> None:
    data = write_random_model(ZOO["mnasnet-small"])
    assert 4 * 2_030_264 * 0.98 < len(data) < 4 * 2_030_264 * 1.05  # float32, batch norms folded


def test_unknown_dtype_is_refused() -> None:
    with pytest.raises(InputError, match=r"float64.*float32, int8"):
        write_random_model(ZOO["mnasnet-small"], dtype="float64")
