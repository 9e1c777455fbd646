"""TensorFlow's runtime starts once in a process."""

import pytest

from mnas.errors import InputError
from mnas.system.native_output import load_tensorflow

pytestmark = pytest.mark.tensorflow


def test_another_number_of_threads_comes_too_late():
    load_tensorflow()
    import tensorflow as tf

    running = tf.config.threading.get_intra_op_parallelism_threads()
    if running:
        load_tensorflow(threads=running)
    with pytest.raises(InputError, match=f"threads is {running + 1}, and TensorFlow runs in this process already"):
        load_tensorflow(threads=running + 1)
