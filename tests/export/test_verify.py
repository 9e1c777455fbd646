"""The comparison that stands between a converted file and the disk."""

import numpy as np
import pytest

from mnas.errors import MnasError
from mnas.export.convert import quantizer, to_tflite
from mnas.export.verify import TOLERANCES, Check, check_loss, check_tolerance, compare
from mnas.tflite.runner import TFLiteRunner


@pytest.fixture(scope="module")
def content(tiny_model):
    return to_tflite(tiny_model)


@pytest.mark.tensorflow
def test_a_faithful_file_agrees(content, tiny_model, tiny_images):
    images, labels = tiny_images
    seen = []
    check = compare(content, tiny_model, [(images[:64], labels[:64]), (images[64:], labels[64:])], progress=seen.append)
    assert (check.images, check.agreement, seen) == (96, 1.0, [64, 96])
    assert check.max_difference < 1e-5
    guesses = tiny_model.predict(images, verbose=0).argmax(-1)
    assert check.accuracy_keras == check.accuracy_tflite == np.mean(guesses == labels)
    check_tolerance(check, TOLERANCES["float32"])


@pytest.mark.tensorflow
def test_a_file_of_other_weights_is_refused(content, tiny_model, tiny_images):
    import keras

    other = keras.models.clone_model(tiny_model)
    check = compare(content, other, [tiny_images])
    with pytest.raises(MnasError, match="probabilities differ by up to"):
        check_tolerance(check, TOLERANCES["float32"])
    with pytest.raises(MnasError, match="predictions agree"):
        check_tolerance(check, TOLERANCES["int8"])


@pytest.mark.tensorflow
def test_a_corrupted_file_is_refused(content, tiny_model, tiny_images):
    with pytest.raises(MnasError, match="the interpreter refuses"):
        compare(b"\x00" * 8 + content[8:], tiny_model, [tiny_images])
    with pytest.raises(MnasError, match="the interpreter refuses"):
        compare(content[: len(content) // 4], tiny_model, [tiny_images])


@pytest.mark.tensorflow
def test_images_of_another_size_and_no_images_are_refused(content, tiny_model, tiny_images):
    images, _ = tiny_images
    with pytest.raises(MnasError, match=r"this file expects \(12, 12, 3\)"):
        TFLiteRunner(content)(images[:, :8, :8])
    with pytest.raises(MnasError, match="no images"):
        compare(content, tiny_model, [])


@pytest.mark.tensorflow
def test_integer_input_and_output_are_scaled(tiny_model, tiny_images):
    images, labels = tiny_images
    content = to_tflite(tiny_model, quantizer("int8", calibration=images[:32], io="int8"))
    runner = TFLiteRunner(content)
    assert runner.input["dtype"] == runner.output["dtype"] == np.int8
    check_tolerance(compare(content, tiny_model, [(images, labels)]), TOLERANCES["int8"])


def test_the_verdict_depends_on_what_is_known():
    good = Check(1000, 0.95, 0.6, 0.01, 0.80, 0.79)
    check_tolerance(good, TOLERANCES["int8"])
    with pytest.raises(MnasError, match=r"accuracy falls from 80\.0% to 70.0%"):
        check_tolerance(Check(1000, 0.95, 0.6, 0.01, 0.80, 0.70), TOLERANCES["int8"])
    with pytest.raises(MnasError, match=r"only 50.0% of the predictions agree \(at least 90.0%\)"):
        check_tolerance(Check(1000, 0.5, 0.6, 0.01), TOLERANCES["int8"])
    check_tolerance(Check(1000, 0.5, 0.6, 0.01), TOLERANCES["int8"], trained=False)
    with pytest.raises(MnasError, match="differ by up to inf"):
        check_tolerance(Check(10, 1.0, float("inf"), 0.0), TOLERANCES["int8"], trained=False)


class _Guesses:
    """Right on the first images of a batch, wrong on the others."""

    def __init__(self, right: int) -> None:
        self.right = right

    def predict_on_batch(self, images):
        guessed = np.arange(len(images)) < self.right
        return np.stack([guessed, ~guessed], axis=1).astype(np.float32)


def test_what_fine_tuning_has_spoilt_is_refused():
    batches = [(np.zeros((100, 2, 2, 3), np.float32), np.zeros(100, np.int64))] * 10
    check_loss(_Guesses(90), _Guesses(89), batches, 2.0, "qat")
    check_loss(_Guesses(90), _Guesses(60), batches, 40.0, "prune")
    with pytest.raises(MnasError, match=r"prune cost 30.0 points of accuracy on 1000 validation images \(at most 2\)"):
        check_loss(_Guesses(90), _Guesses(60), batches, 2.0, "prune")
