"""Networks as functions of one flat vector."""

import numpy as np
import pytest

from mnas.arch import complexity, zoo
from mnas.space import load_space

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def functional():
    from mnas.nn import functional

    return functional


@pytest.mark.parametrize("name", ["mnasnet-a1", "efficientnet-b0", "efficientnet-lite0", "mobilenet-v2"])
def test_as_many_weights_as_counted(functional, name):
    network = functional.Network(zoo(name))
    assert network.num_weights == complexity(zoo(name)).params == len(network.initial_weights(0))
    assert set(network.decay_mask()) == {0.0, 1.0}


def test_inference_with_a_batchs_statistics_equals_training_on_it(functional):
    import tensorflow as tf

    space = load_space("mnasnet-16").with_data(resolution=8)
    rng = np.random.default_rng(4)
    network = functional.Network(space.sample(rng))
    weights = network.initial_weights(1)
    images = tf.constant(rng.normal(size=(512, 8, 8, 3)).astype(np.float32))
    logits, statistics = network.train(network.cut(weights), images)
    # The fused kernel reports the unbiased variance, so the two differ by count / (count - 1) in every batch norm.
    np.testing.assert_allclose(network.infer(weights, statistics.numpy(), images), logits, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("norm", [True, False])
def test_mobilenet_v3_and_v4_give_what_keras_gives(functional, norm):
    from mnas.arch import Architecture, parse_stages
    from mnas.nn.build import build_model, set_layer_weights

    stages = parse_stages(
        "ds_r1_k3_s2_c8_hse0.25_nre|ir_r2_k9_s1_e3_c8_hse0.25|er_r1_k3_s1_e2_c8|uir_r1_a3_k0_s1_e2_c8"
    )
    sizes = {"stem_filters": 8, "head_filters": 24, "resolution": 8, "num_classes": 5, "pooled_filters": 16}
    architecture = Architecture(stages, activation="hswish", pooled_norm=norm, **sizes)
    network, rng = functional.Network(architecture), np.random.default_rng(0)
    weights = rng.normal(0, 0.3, network.num_weights).astype(np.float32)
    statistics = rng.uniform(
        0.5, 1, sum(2 * each.filters for own in network.blocks for each in own.layers if each.norm)
    )
    arrays = [array for own in network.layer_weights(weights, statistics.astype(np.float32)) for array in own]
    model = build_model(architecture)
    set_layer_weights(model, architecture, arrays)
    images = rng.normal(size=(4, 8, 8, 3)).astype(np.float32)
    found = network.infer(weights, statistics.astype(np.float32), images)
    np.testing.assert_allclose(found, model(images, training=False), rtol=1e-4, atol=1e-4)
    assert network.train(network.cut(weights), images)[0].shape == (4, 5)


def test_layer_weights_hold_every_weight_once(functional):
    network = functional.Network(zoo("mnasnet-small"))
    weights = np.arange(network.num_weights, dtype=np.float32)
    count = sum(2 * layer.filters for own in network.blocks for layer in own.layers if layer.norm)
    statistics = -np.arange(1, count + 1, dtype=np.float32)
    layers = network.layer_weights(weights, statistics)
    held = np.concatenate([array.ravel() for own in layers for array in own])
    assert sorted(held) == sorted(np.concatenate([weights, statistics]))
    assert {len(own) for own in layers} == {2, 5}


def test_projections_onto_a_skip_start_silent_and_rectified_convolutions_do_not(functional):
    from mnas.arch import Architecture, parse_stages

    stages = parse_stages("ir_r2_k3_s1_e3_c8|cn_r2_k3_s1_c8_skip")
    network = functional.Network(Architecture(stages, stem_filters=8, head_filters=0, resolution=8, num_classes=2))
    weights = network.layer_weights(network.initial_weights(0), np.zeros(10_000, np.float32))
    gammas = [float(own[1].max()) for own in weights[:-1]]
    # stem; twice expand, depthwise, project; twice conv
    assert gammas == [1, 1, 1, 0, 1, 1, 0, 1, 1]


def test_it_computes_what_the_keras_model_computes(functional):
    from mnas.nn.build import build_model, set_layer_weights

    space = load_space("mnasnet-16")
    rng = np.random.default_rng(7)
    for _ in range(3):
        network = functional.Network(space.sample(rng))
        weights = network.initial_weights(0) + rng.normal(0, 0.1, network.num_weights).astype(np.float32)
        images = rng.normal(size=(32, 16, 16, 3)).astype(np.float32)
        statistics = network.train(network.cut(weights), images)[1].numpy()
        model = build_model(network.architecture, probabilities=False)
        layers = network.layer_weights(weights, statistics)
        set_layer_weights(model, network.architecture, [array for own in layers for array in own])
        expected = model(images, training=False)
        np.testing.assert_allclose(network.infer(weights, statistics, images), expected, rtol=1e-3, atol=1e-3)
