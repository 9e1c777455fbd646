"""Keras models: exact sizes, published behaviour, weights that travel."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mnas.arch import ZOO, Architecture, complexity, layers, parse_stages, unroll
from mnas.errors import InputError
from mnas.nn.build import build_model, get_layer_weights, set_layer_weights, weighted_layers
from mnas.space.files import load_space

pytestmark = pytest.mark.tensorflow

SMALL = Architecture(
    parse_stages(
        "ds_r1_k3_s1_c8_se0.25|ir_r2_k5_s2_e3_c12_pool|cn_r2_k3_s1_c12_skip|"
        "er_r2_k3_s1_e2_c12|uir_r1_a5_k3_s1_e2_c12|uir_r1_a3_k0_s1_e2_c12|uir_r1_a0_k0_s1_e2_c12"
    ),
    stem_filters=8,
    head_filters=24,
    resolution=15,
    num_classes=5,
    activation="swish",
    stem_stride=1,
)


def images(count, size, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, size, size, 3)).astype(np.float32)


def scramble(model, seed=0):
    """Weights under which signals neither fade nor explode, and no two arrays are alike (fresh ones are 0 and 1)."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        shape = tuple(weight.shape)
        if len(shape) == 4:
            fan_in = shape[0] * shape[1] * (1 if shape[3] == 1 else shape[2])
            weight.assign(rng.normal(0, (2 / fan_in) ** 0.5, shape).astype(np.float32))
        elif len(shape) == 1:
            spread = any(name in weight.name for name in ("gamma", "variance"))
            weight.assign(rng.uniform(0.7, 1.3, shape) if spread else rng.normal(0, 0.1, shape))


def drop_path_rates(model):
    """Of stochastic depth, in order."""
    return [layer.rate for layer in model.layers if type(layer).__name__ == "Dropout" and layer.noise_shape]


def trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


@pytest.mark.parametrize("name", ["mnasnet-a1", "mobilenet-v2", "efficientnet-b0"])
def test_zoo_networks_have_exactly_the_published_parameters(name):
    assert trainable(build_model(ZOO[name])) == complexity(ZOO[name]).params


@pytest.mark.parametrize("seed", range(4))
def test_sampled_networks_match_the_arithmetic_and_the_walk(seed):
    architecture = load_space("mnasnet-32").sample(np.random.default_rng(seed))
    model = build_model(architecture)
    assert trainable(model) == complexity(architecture).params
    kinds = {
        "Conv2D": "conv",
        "DepthwiseConv2D": "depthwise",
        "Dense": "dense",
        "GlobalAveragePooling2D": "mean",
        "AveragePooling2D": "pool",
        "Multiply": "multiply",
        "Add": "add",
    }
    built = sorted(kinds[type(layer).__name__] for layer in model.layers if type(layer).__name__ in kinds)
    assert built == sorted(layer.kind for placed in unroll(architecture) for layer in layers(placed))


def test_images_of_a_batch_do_not_see_each_other_at_inference():
    model = build_model(SMALL)
    scramble(model)
    batch = images(4, 15)
    alone = np.concatenate([model(image[None], training=False) for image in batch])
    np.testing.assert_allclose(model(batch, training=False), alone, atol=1e-5)


def test_stochastic_depth_and_dropout_act_in_training_only():
    architecture = replace(SMALL, stochastic_depth=0.9, dropout=0)
    model = build_model(architecture)
    plain = build_model(replace(architecture, stochastic_depth=0))
    set_layer_weights(plain, architecture, get_layer_weights(model, architecture))
    batch = images(8, 15)
    np.testing.assert_allclose(model(batch, training=False), plain(batch, training=False), atol=1e-6)
    assert not np.allclose(model(batch, training=True), model(batch, training=True))
    assert np.allclose(plain(batch, training=True), plain(batch, training=True))


def test_drop_rates_grow_linearly_and_only_where_the_block_has_an_identity_skip():
    architecture = Architecture(parse_stages("ds_r1_k3_s1_c8|ir_r4_k3_s1_e2_c8"), stem_filters=8, stochastic_depth=0.5)
    drops = {layer.name: layer.rate for layer in build_model(architecture).layers if layer.name.endswith("_drop")}
    assert drops == {f"stage2_block{n}_drop": pytest.approx(0.1 * n) for n in (1, 2, 3, 4)}


def test_only_the_namespace_that_was_passed_is_used():
    import keras

    made = []

    def recorded(name):
        return lambda *args, **kwargs: made.append(name) or getattr(keras.layers, name)(*args, **kwargs)

    names = ["Conv2D", "DepthwiseConv2D", "Dense", "BatchNormalization", "Activation", "ReLU", "Softmax", "Multiply"]
    names += ["Add", "GlobalAveragePooling2D", "AveragePooling2D", "Dropout", "Rescaling"]
    namespace = SimpleNamespace(
        Input=keras.Input,
        Model=keras.Model,
        initializers=keras.initializers,
        layers=SimpleNamespace(**{name: recorded(name) for name in names}),
    )
    model = build_model(SMALL, keras=namespace, probabilities=True)
    assert len(made) == len(model.layers) - 1


def test_keras_2_builds_the_same_network():
    tf_keras = pytest.importorskip("tf_keras")
    model, old = build_model(SMALL, seed=3), build_model(SMALL, keras=tf_keras)
    scramble(model)
    set_layer_weights(old, SMALL, get_layer_weights(model, SMALL))
    batch = images(3, 15)
    np.testing.assert_allclose(model(batch, training=False), old(batch, training=False), atol=1e-5, rtol=1e-5)


def test_weights_come_in_the_order_of_the_walk_and_go_back():
    model = build_model(SMALL)
    scramble(model)
    weights = get_layer_weights(model, SMALL)
    shapes = []
    for _, layer in weighted_layers(SMALL):
        k, out = layer.kernel_size, layer.filters
        shapes.append({"conv": (k, k, layer.in_filters, out), "depthwise": (k, k, out, 1)}.get(layer.kind, (out, 5)))
        if layer.kind == "dense":
            shapes[-1] = (layer.in_filters, out)
        shapes += [(out,)] * (4 if layer.norm else 1)
    assert [array.shape for array in weights] == shapes
    other = build_model(SMALL, seed=9)
    set_layer_weights(other, SMALL, weights)
    batch = images(2, 15)
    np.testing.assert_allclose(model(batch, training=False), other(batch, training=False), atol=1e-6)


def test_weights_that_do_not_fit_are_refused():
    model = build_model(SMALL)
    weights = get_layer_weights(model, SMALL)
    with pytest.raises(InputError, match="their number differs"):
        set_layer_weights(model, SMALL, weights[:-1])
    with pytest.raises(InputError, match=r"array 0 is \(1, 1, 3, 8\), expected \(3, 3, 3, 8\)"):
        set_layer_weights(model, SMALL, [weights[0][:1, :1], *weights[1:]])


def test_the_seed_decides_the_weights():
    first, again, other = (get_layer_weights(build_model(SMALL, seed=seed), SMALL) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("activation", ["relu", "relu6", "swish", "hswish"])
def test_activations_are_what_their_names_say(activation):
    import keras

    model = build_model(replace(SMALL, activation=activation))
    end = [layer for layer in model.layers if layer.name.startswith(f"stem_{activation}")][-1]
    start = model.get_layer("stem_norm")
    part = keras.Model(start.output, end.output)
    x = np.linspace(-8, 8, 15 * 15 * 8).reshape(1, 15, 15, 8).astype(np.float32)
    expected = {
        "relu": np.maximum(x, 0),
        "relu6": np.clip(x, 0, 6),
        "swish": x / (1 + np.exp(-x)),
        "hswish": x * np.clip(x + 3, 0, 6) / 6,
    }[activation]
    np.testing.assert_allclose(part(x), expected, atol=1e-5)


@pytest.mark.parametrize(("name", "application", "size"), [
    ("mobilenet-v2", "MobileNetV2", 96),
    ("mobilenet-v2", "MobileNetV2", 97),
    ("efficientnet-b0", "EfficientNetB0", 97),
    ("efficientnet-b1", "EfficientNetB1", 65),
    ("efficientnet-b3", "EfficientNetB3", 65),
    ("efficientnet-v2-b0", "EfficientNetV2B0", 97),
    ("efficientnet-v2-b3", "EfficientNetV2B3", 65),
    ("mobilenet-v3-large", "MobileNetV3Large", 96),
    ("mobilenet-v3-large-0.75", "MobileNetV3Large", 65),
    ("mobilenet-v3-small", "MobileNetV3Small", 97),
    ("mobilenet-v3-small-0.75", "MobileNetV3Small", 64),
])  # fmt: skip
def test_published_networks_agree_with_somebody_elses_code(request, name, application, size):
    import keras

    keras.config.set_floatx("float64")  # in float32 channels that hardly vary magnify rounding
    keras.config.set_dtype_policy("float64")
    request.addfinalizer(lambda: (keras.config.set_floatx("float32"), keras.config.set_dtype_policy("float32")))
    plain = {"include_preprocessing": False} if "V2B" in application or "V3" in application else {}
    plain |= {"alpha": 0.75} if name.endswith("-0.75") else {}
    reference = getattr(keras.applications, application)(
        weights=None, input_shape=(size, size, 3), classifier_activation=None, **plain
    )
    # Patches of colour: fine noise would average out, and there would be nothing to compare.
    batch = np.kron(images(2, size // 16 + 1), np.ones((1, 16, 16, 1)))[:, :size, :size].astype(np.float64)
    # Keras's EfficientNet divides by 255 itself: by a float32 constant, in whatever precision the network computes.
    inputs = batch / np.float64(np.float32(1 / 255)) if application.startswith("EfficientNetB") else batch
    scramble(reference)
    norms = {layer.epsilon for layer in reference.layers if type(layer).__name__ == "BatchNormalization"}
    for layer in reference.layers:
        if type(layer).__name__ == "BatchNormalization":
            layer.momentum = 0.0
    reference(inputs, training=True)  # statistics to suit, or signals fade on the way
    kinds = ("Conv2D", "DepthwiseConv2D", "BatchNormalization", "Dense")
    weights = [array for layer in reference.layers if type(layer).__name__ in kinds for array in layer.get_weights()]
    if "V3" in application:  # convolutions of one pixel
        weights[-4], weights[-2] = weights[-4][0, 0], weights[-2][0, 0]
        assert trainable(reference) == complexity(ZOO[name]).params
    architecture = replace(ZOO[name], resolution=size)
    model = build_model(architecture)
    set_layer_weights(model, architecture, weights)
    expected = reference(inputs, training=False).numpy()
    assert np.abs(expected[0] - expected[1]).max() > 0.01
    np.testing.assert_allclose(model(batch, training=False), expected, atol=1e-4, rtol=0)
    assert {layer.epsilon for layer in model.layers if type(layer).__name__ == "BatchNormalization"} == norms == {1e-3}
    if application != "EfficientNetV2B3":  # Keras divides by B0's number of blocks, the authors by the network's own
        assert drop_path_rates(model) == pytest.approx(drop_path_rates(reference))


def test_identities_leave_no_layer_or_a_linear_convolution():
    architecture = load_space("nas-bench-macro").decode((0, 0, 1, 0, 2, 0, 0, 1))
    model = build_model(architecture)
    assert trainable(model) == complexity(architecture).params
    assert [name for name, _ in weighted_layers(architecture)][:2] == ["stem", "stage1_block1"]
    set_layer_weights(model, architecture, get_layer_weights(model, architecture))
    assert model(images(1, 32)).shape == (1, 10)
