"""A grown network begins as the network that it was grown from, whatever its blocks are."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from mnas.arch import Architecture, parse_stages
from mnas.arch.resize import resize
from mnas.errors import InputError
from mnas.nn.build import weighted_layers
from mnas.scaling.grow import grow_weights, kept_depths, reachable

RNG = np.random.default_rng(3)
WAYS = {"deeper": {"depth": 2}, "wider": {"width": 1.6}, "both": {"width": 2.2, "depth": 1.5}}
BLOCKS = {
    "conv": "cn_r2_k3_s1_c8_skip",
    "conv without a skip connection": "cn_r2_k3_s1_c8",
    "conv with squeeze-and-excitation": "cn_r2_k3_s2_c8_se0.5_skip",
    "sepconv": "ds_r1_k3_s1_c8",
    "sepconv with squeeze-and-excitation": "ds_r2_k5_s2_c8_se0.25",
    "mbconv": "ir_r2_k3_s1_e3_c8",
    "mbconv with squeeze-and-excitation": "ir_r1_k5_s2_e2.5_c8_se0.25",
    "mbconv with a pooled shortcut": "ir_r2_k3_s1_e2_c8_pool",
    "mbconv with a pooled shortcut at stride 2": "ir_r2_k3_s2_e2_c8_se0.5_pool",
    "mbconv without a skip connection": "ir_r2_k3_s1_e2_c8_noskip",
    "fused mbconv": "er_r2_k3_s2_e2_c8",
    "fused mbconv with squeeze-and-excitation": "er_r1_k3_s1_e2_c8_se0.5",
    "universal inverted bottleneck": "uir_r2_a3_k5_s2_e2_c8",
    "its extra depthwise convolution alone": "uir_r2_a5_k0_s2_e2_c8_se0.5",
    "its feed-forward network": "uir_r2_a0_k0_s1_e4_c8",
    "hard squeeze-and-excitation": "ir_r2_k3_s2_e3_c8_hse0.25_nhs",
    "identity": "id_r2_k1_s2_c8",
}


def network(block, activation="relu6", **changes):
    network = Architecture(
        parse_stages(f"{block}|ir_r1_k3_s1_e2_c16"),
        stem_filters=8,
        stem_stride=1,
        head_filters=24,
        resolution=10,
        num_classes=5,
        activation=activation,
        dropout=0,
    )
    return replace(network, **changes)


def random_arrays(architecture):
    """Weights of a network that was trained, as far as one can see: with statistics of all kinds."""
    from mnas.nn.functional import Network

    arrays = iter(Network(architecture).initial_layer_weights(0))
    found = []
    for _, layer in weighted_layers(architecture):
        found.append(next(arrays) * np.float32(4 if layer.kind == "dense" else 1))
        for name in ("gamma", "beta", "mean", "variance") if layer.norm else ("bias",):
            low, high = (0.5, 1.5) if name in ("gamma", "variance") else (-0.5, 0.5)
            found.append(RNG.uniform(low, high, next(arrays).shape).astype(np.float32))
    return found


def answers(architecture, arrays, images, *, training=False):
    from mnas.nn.functional import Network

    own, given = Network(architecture), iter(arrays)
    vectors = [block.vectors(list(islice(given, block.num_arrays))) for block in own.blocks]
    weights, statistics = zip(*vectors, strict=True)
    if training:
        return own.train(weights, images)[0].numpy()
    return own.infer(np.concatenate(weights), np.concatenate(statistics), images).numpy()


def images_of(architecture):
    shape = (4, architecture.resolution, architecture.resolution, 3)
    return (RNG.uniform(-2, 2, (4, 1, 1, 3)) + RNG.uniform(-1, 1, shape)).astype(np.float32)


@pytest.mark.tensorflow
@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_gives_what_it_gave_before(block):
    base = network(BLOCKS[block])
    arrays, images = random_arrays(base), images_of(base)
    before = answers(base, arrays, images)
    assert before.std(axis=0).max() > 0.05, "a test of constant outputs holds for anything"
    for way, factors in WAYS.items():
        grown = reachable(base, resize(base, **factors))
        now = answers(grown, grow_weights(base, arrays, grown), images)
        np.testing.assert_allclose(now, before, atol=1e-4, err_msg=way)


@pytest.mark.tensorflow
@pytest.mark.parametrize("activation", ["relu", "relu6", "swish", "hswish"])
def test_every_activation_in_training_too(activation):
    base = network("cn_r1_k3_s1_c8_skip|ir_r2_k3_s2_e2_c12_se0.5", activation)
    grown = reachable(base, resize(base, width=1.7, depth=2))
    arrays, images = random_arrays(base), images_of(base)
    weights = grow_weights(base, arrays, grown, spread=0)
    for training in (False, True):
        now = answers(grown, weights, images, training=training)
        np.testing.assert_allclose(now, answers(base, arrays, images, training=training), atol=1e-4)


@pytest.mark.tensorflow
@pytest.mark.parametrize("norm", [True, False])
def test_a_convolution_after_pooling_is_kept_and_widened(norm):
    base = network("ir_r1_k3_s2_e2_c8", pooled_filters=12, pooled_norm=norm)
    arrays, images = random_arrays(base), images_of(base)
    grown = reachable(base, resize(base, width=1.6))
    assert grown.pooled_filters > base.pooled_filters
    now = answers(grown, grow_weights(base, arrays, grown), images)
    np.testing.assert_allclose(now, answers(base, arrays, images), atol=1e-4)


@pytest.mark.tensorflow
def test_a_larger_kernel_and_a_larger_squeeze_and_no_head():
    base = network("ir_r1_k3_s2_e2_c8_se0.25", head_filters=0)
    grown = replace(base, stages=parse_stages("ir_r2_k7_s2_e3_c8_se0.5|ir_r1_k5_s1_e2_c16"))
    arrays, images = random_arrays(base), images_of(base)
    now = answers(grown, grow_weights(base, arrays, grown), images)
    np.testing.assert_allclose(now, answers(base, arrays, images), atol=1e-4)


@pytest.mark.tensorflow
@pytest.mark.parametrize("block", ["cn_r1_k3_s1_c8_skip", "ir_r2_k3_s1_e2_c8_se0.5", "uir_r1_a3_k3_s1_e2_c8"])
def test_training_separates_the_copies_and_reaches_the_added_blocks(block):
    import tensorflow as tf

    from mnas.nn.build import build_model, set_layer_weights

    base = network(block)
    grown = reachable(base, resize(base, width=2, depth=2))
    model = build_model(grown)
    set_layer_weights(model, grown, grow_weights(base, random_arrays(base), grown))
    with tf.GradientTape() as tape:
        outputs = model(images_of(base), training=True)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits([0, 1, 2, 3], outputs))
    variables = model.trainable_variables
    gradients = {v.path: np.asarray(g) for v, g in zip(variables, tape.gradient(loss, variables), strict=True)}
    stem = gradients["stem/kernel"]
    assert np.abs(stem[..., :8] - stem[..., 8:]).max() > 0.01 * np.abs(stem).max()
    added = next(name for name in reversed(gradients) if name.startswith("stage1") and name.endswith("norm/gamma"))
    assert added.startswith(f"stage1_block{grown.stages[0].repeats}")
    assert np.abs(gradients[added]).min() > 0


def test_a_stage_whose_blocks_cannot_begin_as_the_identity_keeps_its_depth():
    base = network("ir_r2_k3_s1_e2_c8_noskip|ir_r2_k3_s1_e2_c8_pool|ir_r2_k3_s1_e2_c8")
    wanted = resize(base, depth=2)
    assert [stage.repeats for stage in reachable(base, wanted).stages] == [2, 2, 4, 2]
    assert kept_depths(base, wanted) == [1, 2]


def arrays_of(architecture):
    """Zeros of the right shapes, without TensorFlow."""
    found = []
    for _, layer in weighted_layers(architecture):
        side, across = layer.kernel_size, 1 if layer.kind == "depthwise" else layer.filters
        dense = (layer.in_filters, layer.filters)
        found.append(np.zeros(dense if layer.kind == "dense" else (side, side, layer.in_filters, across), np.float32))
        found += [np.zeros(layer.filters, np.float32)] * (4 if layer.norm else 1)
    return found


@pytest.mark.parametrize(("block", "said"), [
    ("ir_r2_k3_s1_e3_c6", "stage1_block1 would lose skip_add, as a block has a skip connection where"),
    ("ir_r2_k3_s1_e3_c16", "stage1_block1 would lose skip_add"),
    ("ir_r1_k3_s1_e3_c8", "stage1_block2 would vanish"),
    ("ir_r2_k3_s1_e2_c8", "stage1_block1_expand would have 16 filters, fewer than its 24"),
    ("ir_r2_k1_s1_e3_c8", "stage1_block1_depthwise would have a kernel of 1, smaller than its 3"),
    ("ir_r2_k3_s2_e3_c8", "would lose skip_add"),
    ("ir_r2_k3_s1_e3_c8_se0.5", "stage1_block1 would gain se_squeeze and gain se_reduce"),
    ("er_r2_k3_s1_e3_c8", "stage1_block1 would lose depthwise"),
    ("ir_r3_k3_s1_e3_c8|ds_r1_k3_s1_c8", "3 stages instead of 2"),
])  # fmt: skip
def test_what_cannot_be_reached_says_where_and_why(block, said):
    base = network("ir_r2_k3_s1_e3_c8")
    with pytest.raises(InputError, match=rf"^the weights cannot be kept: .*{said}") as error:
        grow_weights(base, arrays_of(base), network(block))
    assert str(error.value).endswith("scale to another size, or use --no-keep-weights")


@pytest.mark.parametrize(("changes", "said"), [
    ({"stem_filters": 4}, "stem would have 4 filters, fewer than its 8"),
    ({"num_classes": 7}, "7 classes instead of 5"),
    ({"head_filters": 0}, "head would vanish"),
    ({"head_filters": 20}, "head would have 20 filters, fewer than its 24"),
    ({"activation": "swish"}, "stem would be another layer"),
    ({"stem_stride": 2}, "stem would be another layer"),
])  # fmt: skip
def test_other_networks_cannot_be_reached(changes, said):
    base = network("ir_r2_k3_s1_e3_c8")
    with pytest.raises(InputError, match=said):
        reachable(base, replace(base, **changes))


def test_added_blocks_without_a_skip_connection():
    base = network("ir_r2_k3_s1_e3_c8_noskip")
    with pytest.raises(InputError, match="added to stage 1 cannot begin as the identity, as they have no skip"):
        grow_weights(base, arrays_of(base), resize(base, depth=2))


def test_weights_of_another_network():
    base = network("ir_r2_k3_s1_e3_c8")
    others = arrays_of(network("ir_r2_k5_s1_e3_c8"))
    with pytest.raises(InputError, match=r"of another network: stage1_block1, depthwise has \[\(5, 5, 24, 1\)"):
        grow_weights(base, others, base)
    with pytest.raises(InputError, match="there are 1 arrays more"):
        grow_weights(base, [*arrays_of(base), np.zeros(1, np.float32)], base)
    with pytest.raises(InputError, match="of another network: classifier, classifier has"):
        grow_weights(base, arrays_of(base)[:-1], base)
