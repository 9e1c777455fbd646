"""Weights of keras.applications, from a file."""

from dataclasses import replace

import numpy as np
import pytest

from mnas.arch import ZOO, zoo
from mnas.errors import InputError, MnasError
from mnas.nn.build import build_model, get_layer_weights, set_layer_weights
from mnas.train.pretrained import Pretrained, open_pretrained

pytestmark = pytest.mark.tensorflow
SMALL_V2 = replace(zoo("mobilenet-v2"), resolution=32, num_classes=10)
SMALL_B0 = replace(zoo("efficientnet-b0"), resolution=40, num_classes=10)


def test_a_file_without_top_gives_the_same_features(tmp_path):
    """Its normalisation is folded into the first convolution; the middle of the image is exact."""
    import keras

    reference = keras.applications.EfficientNetB0(weights=None, include_top=False)
    normalisation = next(layer for layer in reference.layers if type(layer).__name__ == "Normalization")
    deviation = np.float32([0.229, 0.224, 0.225])
    normalisation.set_weights([np.float32([0.485, 0.456, 0.406]), deviation**2, np.zeros((), "int32")])
    normalisation.finalize_state()
    rng = np.random.default_rng(0)
    norm = reference.get_layer("stem_bn")
    norm.set_weights([rng.uniform(0.5, 1.5, 32), *(rng.normal(0, 0.1, 32) for _ in range(2)), rng.uniform(0.5, 1, 32)])
    reference.save_weights(tmp_path / "b0_notop.weights.h5")
    # With weights="imagenet" Keras divides by the root of the deviation once more; an empty model has no such layer.
    stem = reference.get_layer("stem_conv")
    stem.set_weights([stem.get_weights()[0] / np.sqrt(deviation)[None, None, :, None]])
    start = open_pretrained(str(tmp_path / "b0_notop.weights.h5"), SMALL_B0)
    model = build_model(SMALL_B0)
    fresh = get_layer_weights(model, SMALL_B0)
    set_layer_weights(model, SMALL_B0, start(fresh))
    assert not get_layer_weights(model, SMALL_B0)[-2].any()  # a new classifier, of zeros
    image = rng.integers(0, 256, (1, 40, 40, 3)).astype(np.float32)
    expected = keras.Model(reference.input, reference.get_layer("stem_activation").output)(image)
    found = keras.Model(model.input, model.get_layer("stem_swish").output)(image / 127.5 - 1)
    np.testing.assert_allclose(found[:, 1:-1, 1:-1], expected[:, 1:-1, 1:-1], atol=1e-4)


def test_every_weight_of_a_file_without_top_is_taken_and_none_is_made_up(tmp_path):
    import keras

    reference = keras.applications.MobileNetV2(weights=None, include_top=False, input_shape=(96, 96, 3))
    reference.save_weights(tmp_path / "v2.weights.h5")
    kinds = ("Conv2D", "DepthwiseConv2D", "BatchNormalization")
    saved = [array for layer in reference.layers if type(layer).__name__ in kinds for array in layer.get_weights()]
    first = open_pretrained(str(tmp_path / "v2.weights.h5"), SMALL_V2)
    assert first.arrays[-2].shape == (1280, 0)  # the classifier is for whoever takes them
    for found, expected in zip(first.arrays, saved, strict=False):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    half = keras.Model(reference.input, reference.layers[40].output)
    half.save_weights(tmp_path / "half.weights.h5")
    with pytest.raises(InputError, match=r"half\.weights\.h5 does not hold weights of MobileNetV2"):
        open_pretrained(str(tmp_path / "half.weights.h5"), SMALL_V2)


def test_the_weights_of_mobilenet_v3_give_kerass_outputs(tmp_path):
    import keras

    reference = keras.applications.MobileNetV3Small(weights=None, input_shape=(64, 64, 3), classifier_activation=None)
    reference.save_weights(tmp_path / "v3.weights.h5")
    architecture = replace(ZOO["mobilenet-v3-small"], resolution=64)
    model = build_model(architecture)
    start = open_pretrained(str(tmp_path / "v3.weights.h5"), architecture)
    set_layer_weights(model, architecture, start(get_layer_weights(model, architecture)))
    image = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    np.testing.assert_allclose(model(image / 127.5 - 1), reference(image), atol=1e-4)
    headless = keras.applications.MobileNetV3Small(weights=None, input_shape=(64, 64, 3), include_top=False)
    headless.save_weights(tmp_path / "notop.weights.h5")
    with pytest.raises(InputError, match="does not hold weights of MobileNetV3Small"):
        open_pretrained(str(tmp_path / "notop.weights.h5"), architecture)


def test_what_a_download_prints_does_not_go_to_stdout(monkeypatch, capsys):
    import keras

    def download(**options):
        print("Downloading data from https://example.org")
        raise OSError("no connection")

    monkeypatch.setattr(keras.applications, "MobileNetV2", download)
    with pytest.raises(MnasError, match="cannot download the weights of MobileNetV2: no connection"):
        open_pretrained("imagenet", SMALL_V2)
    out, err = capsys.readouterr()
    assert (out, err) == ("", "Downloading data from https://example.org\n")


def test_files_that_do_not_fit(tmp_path):
    (tmp_path / "broken.weights.h5").write_bytes(b"nothing")
    with pytest.raises(InputError, match="does not hold weights of MobileNetV2"):
        open_pretrained(str(tmp_path / "broken.weights.h5"), SMALL_V2)
    with pytest.raises(InputError, match="expected imagenet, a file"):
        open_pretrained(str(tmp_path / "missing.h5"), SMALL_V2)
    with pytest.raises(InputError, match="another architecture"):
        Pretrained([np.zeros((1, 2))], "")([np.zeros((3, 4)), np.zeros(4)])


@pytest.mark.parametrize("width", [0.35, 1.4])  # below 1 the head keeps its width; the counts of all are in tests/arch
def test_other_widths_are_those_of_keras(width, tmp_path):
    import keras

    architecture = replace(zoo(f"mobilenet-v2-{width}"), resolution=32, num_classes=10)
    reference = keras.applications.MobileNetV2((32, 32, 3), alpha=width, include_top=False, weights=None)
    rng = np.random.default_rng(0)
    reference.set_weights([rng.uniform(0.5, 1, w.shape) if w.ndim == 1 else w for w in reference.get_weights()])
    reference.save_weights(tmp_path / "v2.weights.h5")
    model = build_model(architecture)
    start = open_pretrained(str(tmp_path / "v2.weights.h5"), architecture)
    set_layer_weights(model, architecture, start(get_layer_weights(model, architecture)))
    image = rng.uniform(-1, 1, (1, 32, 32, 3)).astype(np.float32)
    found = keras.Model(model.input, model.get_layer("head_relu6").output)(image)
    np.testing.assert_allclose(found, reference(image), atol=1e-4)
