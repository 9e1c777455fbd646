"""Depthwise convolutions with branches in training: one convolution afterwards, with the same outputs."""

import json
from dataclasses import replace

import numpy as np
import pytest

from mnas.arch import Architecture, parse_stages
from mnas.data.dataset import Dataset, DataSource, normalise
from mnas.errors import InputError
from mnas.nn.build import build_model, get_layer_weights, set_layer_weights
from mnas.train.evaluate import plain_images, recalibrated
from mnas.train.pretrained import Pretrained
from mnas.train.recipe import Recipe
from mnas.train.reparameterize import check_depthwise, merged
from mnas.train.trainer import train_network
from tests.commands import run
from tests.images import coloured

pytestmark = pytest.mark.tensorflow
TINY = Architecture(
    parse_stages("ds_r1_k3_s1_c4|ir_r2_k5_s2_e2_c8"),
    stem_filters=4,
    head_filters=16,
    resolution=8,
    num_classes=3,
    stem_stride=1,
    dropout=0.1,
)
DENSE = replace(TINY, stages=parse_stages("cn_r1_k3_s1_c4"))
SOURCE = DataSource("colours")
RECIPE = Recipe(epochs=3, batch_size=16, flip=False, reparameterize=True)


def colours(size=8):
    names = ("red", "green", "blue")
    return Dataset("colours", names, coloured(96, size), coloured(30, size, 1), coloured(30, size, 2))


def branched(architecture):
    """A network with branches whose batch norms have done and learnt something."""
    model, rng = build_model(architecture, fused=True, branches=True), np.random.default_rng(0)
    for layer in model.layers:
        if layer.name.endswith("_norm"):
            shapes = [array.shape for array in layer.get_weights()]
            layer.set_weights([rng.uniform(0.5, 1.5, shape).astype(np.float32) for shape in shapes])
    return model


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("size", [12, 13])
def test_one_convolution_does_what_the_branches_do(kernel, size):
    stages = f"ds_r1_k{kernel}_s1_c6|ir_r2_k{kernel}_s2_e2_c8_se0.25|uir_r1_a{kernel}_k{kernel}_s2_e2_c12"
    architecture = replace(TINY, stages=parse_stages(stages), resolution=size)
    model, images = branched(architecture), colours(size).train
    one = merged(model, architecture, plain_images(images, 32))
    assert len(one.layers) < len(model.layers)
    assert [layer.name for layer in one.layers] == [layer.name for layer in build_model(architecture).layers]
    batch = normalise(images.images[:32])
    expected = model.predict_on_batch(batch)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(one.predict_on_batch(batch), expected, atol=1e-4)


def test_the_merged_network_has_its_statistics_and_can_be_trained_further():
    images = colours().train
    model = recalibrated(branched(TINY), TINY, plain_images(images, 96), branches=True)
    one = merged(model, TINY, plain_images(images, 96))
    before = get_layer_weights(one, TINY)
    again = recalibrated(one, TINY, plain_images(images, 96))
    for old, new in zip(before, get_layer_weights(again, TINY), strict=True):
        np.testing.assert_allclose(new, old, rtol=0.02, atol=0.02)


def test_it_begins_as_the_network_whose_weights_it_gets():
    plain = build_model(TINY, seed=3)
    model = build_model(TINY, seed=4, fused=True, branches=True)
    set_layer_weights(model, TINY, get_layer_weights(plain, TINY))
    batch = normalise(colours().train.images[:16])
    np.testing.assert_allclose(model.predict_on_batch(batch), plain.predict_on_batch(batch), atol=1e-5)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train_network(TINY, SOURCE, tmp_path_factory.mktemp("runs") / "a", recipe=RECIPE, dataset=colours())


def test_what_is_kept_is_an_ordinary_network(trained):
    plain = build_model(TINY)
    assert [array.shape for array in get_layer_weights(trained.build(), TINY)] == [
        array.shape for array in get_layer_weights(plain, TINY)
    ]
    assert trained.training["configuration"]["recipe"]["reparameterize"]
    assert "reparameterize" not in replace(RECIPE, reparameterize=False).to_dict()
    answers = trained.build().predict(normalise(colours().test.images), verbose=0).argmax(-1)
    assert np.mean(answers == colours().test.labels) == trained.training["test_accuracy"]


def test_training_goes_on_from_it_with_branches_or_without(trained, tmp_path):
    last = trained.training["validation_accuracy"]
    for branches in (True, False):
        options = {"weights": str(trained.folder), "epochs": 1, "batch_size": 16, "learning_rate": 1e-9}
        on = train_network(
            TINY,
            SOURCE,
            tmp_path / str(branches),
            dataset=colours(),
            reparameterize=branches,
            augment="none",
            **options,
        )
        assert on.training["validation_accuracy"] == pytest.approx(last, abs=0.04)


def test_an_interrupted_training_keeps_its_branches(trained, tmp_path):
    def interrupt(state):
        if state.epoch == 2 and state.step % 6 == 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_network(TINY, SOURCE, tmp_path, recipe=RECIPE, dataset=colours(), progress=interrupt)
    without = replace(RECIPE, reparameterize=False)
    with pytest.raises(InputError, match="another training"):
        train_network(TINY, SOURCE, tmp_path, recipe=without, dataset=colours(), resume=True)
    resumed = train_network(TINY, SOURCE, tmp_path, recipe=RECIPE, dataset=colours(), resume=True)
    assert (tmp_path / "weights.safetensors").read_bytes() == (trained.folder / "weights.safetensors").read_bytes()
    assert resumed.training["test_accuracy"] == trained.training["test_accuracy"]


def test_what_makes_no_sense_is_refused(tmp_path):
    check_depthwise(TINY)
    with pytest.raises(InputError, match="branches to depthwise convolutions, and this network has none"):
        train_network(DENSE, SOURCE, tmp_path, recipe=RECIPE, dataset=colours())
    weights = Pretrained.of(get_layer_weights(build_model(TINY), TINY))
    with pytest.raises(InputError, match="--freeze trains the classifier only and --reparameterize convolutions"):
        train_network(TINY, SOURCE, tmp_path, recipe=RECIPE, freeze=True, weights=weights, dataset=colours())
    assert not list(tmp_path.iterdir())


def test_the_command(tmp_path):
    network = "mobilenet-v2-0.35"
    options = ("--resolution", 32, "--max-train-images", 96, "--epochs", 1)
    said = run("train", network, "--data", "digits", *options, "--reparameterize", "--out", tmp_path / "run", "--json")
    assert json.loads(said)["configuration"]["recipe"]["reparameterize"] is True
