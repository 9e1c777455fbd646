"""The supernet: one trace for all, and every path the network that it stands for."""

import numpy as np
import pytest

from mnas.errors import InputError
from mnas.space import SearchSpace, load_space
from mnas.space.stages import StageBlocks, StageChoices

pytestmark = pytest.mark.tensorflow


def tiny_space(**fields):
    """Everything that a stage may choose, in two stages of 8 px."""
    stage = {"op": ("conv", "sepconv", "mbconv3"), "kernel_size": (3, 5), "se_ratio": (0, 0.25)}
    skips = ("none", "identity", "pool")
    stages = (
        StageChoices(stride=1, skip=skips, filters=(6, 8), repeats=(1, 2), **stage),
        StageChoices(stride=2, skip=skips, filters=(8, 12), repeats=(1, 2), **stage),
    )
    return SearchSpace("tiny", stages, 8, 1, 16, 8, 10, **fields)


@pytest.fixture(scope="module")
def traced():
    """The tiny space's supernet, its gradient, and how many times that was traced."""
    import tensorflow as tf

    from mnas.nn.supernet import Supernet

    net, traces = Supernet(tiny_space()), []

    @tf.function(autograph=False)
    def step(weights, corners, flags, images):
        traces.append(1)
        with tf.GradientTape() as tape:
            tape.watch(weights)
            logits = net.train(weights, corners, flags, images)
            loss = tf.reduce_sum(logits**2)
        return logits, tape.gradient(loss, weights)

    return net, step, traces


def weights_and_images(net, seed=0):
    import tensorflow as tf

    rng = np.random.default_rng(seed)
    weights = net.shared.initial_weights(seed) + rng.normal(0, 0.1, net.shared.num_weights).astype(np.float32)
    return weights, tf.constant(rng.normal(size=(16, 8, 8, 3)).astype(np.float32))


def test_every_path_is_the_network_with_its_slice_of_the_weights(traced):
    """Logits and gradients of 12 architectures, by one trace; weights that a path does not use have no gradient."""
    import tensorflow as tf

    from mnas.nn.functional import Network

    net, step, traces = traced
    weights, images = weights_and_images(net)
    rng = np.random.default_rng(1)
    for _ in range(12):
        architecture = net.shared.space.sample(rng)
        path = net.shared.path(architecture)
        logits, gradient = step(tf.constant(weights), tf.constant(path.corners), tf.constant(path.flags), images)
        network, own = Network(architecture), tf.constant(net.shared.inherit(architecture, weights))
        with tf.GradientTape() as tape:
            tape.watch(own)
            expected, _ = network.train(own, images)
            loss = tf.reduce_sum(expected**2)
        np.testing.assert_allclose(logits, expected, atol=1e-4)
        inherited = net.shared.inherit(architecture, gradient.numpy())
        wanted = tape.gradient(loss, own).numpy()
        np.testing.assert_allclose(inherited, wanted, atol=1e-3 * np.abs(wanted).max())
        active = net.shared.active(path)
        assert active.sum() == network.num_weights
        assert not gradient.numpy()[active == 0].any()
    assert len(traces) == 1


def test_a_score_depends_on_the_calibration_images_and_not_on_its_neighbours(traced):
    import tensorflow as tf

    net, step, _ = traced
    weights, images = weights_and_images(net)
    path = net.shared.path(net.shared.space.sample(np.random.default_rng(5)))
    arguments = [tf.constant(array) for array in (weights, path.corners, path.flags)]
    score = tf.function(net.score, autograph=False, reduce_retracing=True)
    whole = score(*arguments, images, tf.constant(16)).numpy()
    np.testing.assert_allclose(whole, step(*arguments, images)[0], atol=1e-4)
    fewer = score(*arguments, tf.concat([images[:8], images[12:]], 0), tf.constant(8)).numpy()
    np.testing.assert_allclose(fewer[8:], score(*arguments, images, tf.constant(8)).numpy()[12:], atol=1e-4)


def test_a_space_of_whole_blocks_shares_weights_too():
    import tensorflow as tf

    from mnas.nn.functional import Network
    from mnas.nn.supernet import Supernet

    stages = (
        StageBlocks(("id_r1_k1_s2_c8", "ir_r1_k3_s2_e3_c8", "ir_r1_k5_s2_e6_c8")),
        StageBlocks(("id_r1_k1_s1_c8", "ir_r1_k3_s1_e3_c8", "ir_r1_k5_s1_e6_c8")),
    )
    net = Supernet(SearchSpace("blocks", stages, 8, 1, 0, 8, 10))
    weights, images = weights_and_images(net)
    for indices in ((0, 0), (1, 2), (2, 0)):
        architecture = net.shared.space.decode(indices)
        path = net.shared.path(architecture)
        logits = net.train(tf.constant(weights), tf.constant(path.corners), tf.constant(path.flags), images)
        expected, _ = Network(architecture).train(tf.constant(net.shared.inherit(architecture, weights)), images)
        np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_projections_onto_a_skip_start_silent_and_others_do_not(traced):
    shared = traced[0].shared
    weights = shared.initial_weights(0)
    for skip, gamma in ((0, 1), (1, 0)):
        # mbconv3 twice with k3, no SE, and the skip, on its 8 filters; the second block has its input's size
        architecture = shared.space.decode([2, 0, 0, skip, 1, 1, 2, 0, 0, 0, 0, 0])
        own = shared.inherit(architecture, weights)
        stem, expand, depthwise = 27 * 8 + 16, 8 * 24 + 48, 9 * 24 + 48
        second = stem + 2 * (expand + depthwise) + (24 * 8 + 16) + 24 * 8
        assert set(own[second : second + 8]) == {gamma}


def test_an_architecture_of_another_space_is_refused(traced):
    with pytest.raises(InputError, match="tiny has 2 stages; the architecture has 4"):
        traced[0].shared.path(load_space("mnasnet-16").decode([0] * 24))


def test_a_mixture_that_is_sure_is_a_path(traced):
    import tensorflow as tf

    from mnas.nn.mixture import Mixture

    net, step, _ = traced
    weights, images = weights_and_images(net)
    mixture, space, rng = (
        tf.function(Mixture(net.shared).train, autograph=False),
        net.shared.space,
        np.random.default_rng(2),
    )
    for _ in range(6):
        architecture = space.sample(rng)
        pairs = zip(space.decisions, space.encode(architecture), strict=True)
        sure = np.concatenate([np.eye(len(decision.choices), dtype=np.float32)[index] for decision, index in pairs])
        path = net.shared.path(architecture)
        expected, _ = step(tf.constant(weights), tf.constant(path.corners), tf.constant(path.flags), images)
        np.testing.assert_allclose(mixture(tf.constant(weights), tf.constant(sure), images), expected, atol=2e-4)


def test_a_gradient_search_needs_six_decisions_a_stage():
    from mnas.nn.mixture import Mixture
    from mnas.nn.shared import SharedWeights

    with pytest.raises(InputError, match="stages of whole blocks"):
        Mixture(SharedWeights(load_space("nas-bench-macro")))
