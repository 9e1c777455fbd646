"""Shared weights: where an architecture finds its own, and a mixture that is sure is a path."""

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
def shared():
    from mnas.oneshot.shared_weights import SharedWeights

    return SharedWeights(tiny_space())


def weights_and_images(shared, seed=0):
    import tensorflow as tf

    rng = np.random.default_rng(seed)
    weights = shared.initial_weights(seed) + rng.normal(0, 0.1, shared.num_weights).astype(np.float32)
    return weights, tf.constant(rng.normal(size=(16, 8, 8, 3)).astype(np.float32))


def test_an_architecture_inherits_as_many_weights_as_it_has_and_gives_them_back_where_they_were(shared):
    from mnas.nn.functional import Network

    rng = np.random.default_rng(1)
    weights = rng.normal(size=shared.num_weights).astype(np.float32)
    for _ in range(12):
        architecture = shared.space.sample(rng)
        own = shared.inherit(architecture, weights)
        assert len(own) == Network(architecture).num_weights
        total = np.zeros_like(weights)
        shared.put(architecture, own, total)
        used = total != 0
        assert used.sum() == len(own)
        np.testing.assert_array_equal(total[used], weights[used])
        np.testing.assert_array_equal(shared.inherit(architecture, total), own)


def test_smaller_kernels_are_the_centre_and_fewer_filters_the_first(shared):
    weights = np.arange(shared.num_weights, dtype=np.float32)
    small, large = (shared.space.decode([0, kernel, 0, 0, filters, 0] * 2) for kernel, filters in ((0, 0), (1, 1)))
    cut = {name: shared.cut(each, weights) for name, each in (("small", small), ("large", large))}
    for own, whole in zip(cut["small"][:9], cut["large"][:9], strict=True):
        if own.ndim == 4 and own.shape[0] < whole.shape[0]:
            np.testing.assert_array_equal(own, whole[1:4, 1:4, : own.shape[2], : own.shape[3]])
        elif own.ndim == 1:
            np.testing.assert_array_equal(own, whole[: len(own)])


def test_a_space_of_whole_blocks_shares_weights_too():
    from mnas.nn.functional import Network
    from mnas.oneshot.shared_weights import SharedWeights

    stages = (
        StageBlocks(("id_r1_k1_s2_c8", "ir_r1_k3_s2_e3_c8", "ir_r1_k5_s2_e6_c8")),
        StageBlocks(("id_r1_k1_s1_c8", "ir_r1_k3_s1_e3_c8", "ir_r1_k5_s1_e6_c8")),
    )
    shared = SharedWeights(SearchSpace("blocks", stages, 8, 1, 0, 8, 10))
    weights, images = weights_and_images(shared)
    for indices in ((0, 0), (1, 2), (2, 0)):
        network = Network(shared.space.decode(indices))
        own = shared.inherit(network.architecture, weights)
        logits, _ = network.train(network.cut(own), images)
        assert logits.shape == (16, 10)
        assert len(own) == network.num_weights
        total = np.zeros_like(weights)
        shared.put(network.architecture, own, total)
        assert (total != 0).sum() == np.count_nonzero(own)
        np.testing.assert_array_equal(shared.inherit(network.architecture, total), own)


def test_projections_onto_a_skip_start_silent_and_others_do_not(shared):
    weights = shared.initial_weights(0)
    for skip, gamma in ((0, 1), (1, 0)):
        # mbconv3 twice with k3, no SE, and the skip, on its 8 filters; the second block has its input's size
        architecture = shared.space.decode([2, 0, 0, skip, 1, 1, 2, 0, 0, 0, 0, 0])
        own = shared.inherit(architecture, weights)
        stem, expand, depthwise = 27 * 8 + 16, 8 * 24 + 48, 9 * 24 + 48
        second = stem + 2 * (expand + depthwise) + (24 * 8 + 16) + 24 * 8
        assert set(own[second : second + 8]) == {gamma}


def test_whatever_the_operation_a_place_begins_as_nearly_the_same_function(shared):
    """Logits of networks that differ in their operations alone; with independent kernels they do not correlate."""
    from mnas.nn.functional import Network

    images = np.random.default_rng(3).normal(size=(64, 8, 8, 3)).astype(np.float32)
    weights, answers = shared.initial_weights(0), []
    for first, second in ((0, 0), (1, 1), (2, 2), (0, 2), (2, 1)):
        network = Network(shared.space.decode([first, 0, 0, 0, 1, 0, second, 0, 0, 0, 1, 0]))
        answers.append(network.train(network.cut(shared.inherit(network.architecture, weights)), images)[0])
    alike = np.corrcoef([answer.numpy().ravel() for answer in answers])
    assert alike.min() > 0.5


def test_an_architecture_of_another_space_is_refused(shared):
    with pytest.raises(InputError, match="tiny has 2 stages; the architecture has 4"):
        shared.inherit(load_space("mnasnet-16").decode([0] * 24), np.zeros(shared.num_weights, np.float32))


def test_a_mixture_that_is_sure_is_a_path(shared):
    import tensorflow as tf

    from mnas.nn.functional import Network
    from mnas.oneshot.mixture import Mixture

    weights, images = weights_and_images(shared)
    mixture, space = tf.function(Mixture(shared).train, autograph=False), shared.space
    rng = np.random.default_rng(2)
    for _ in range(6):
        architecture = space.sample(rng)
        pairs = zip(space.decisions, space.encode(architecture), strict=True)
        sure = np.concatenate([np.eye(len(decision.choices), dtype=np.float32)[index] for decision, index in pairs])
        network = Network(architecture)
        expected, _ = network.train(network.cut(shared.inherit(architecture, weights)), images)
        np.testing.assert_allclose(mixture(tf.constant(weights), tf.constant(sure), images), expected, atol=2e-4)


def test_a_gradient_search_needs_six_decisions_a_stage():
    from mnas.oneshot.mixture import Mixture
    from mnas.oneshot.shared_weights import SharedWeights

    with pytest.raises(InputError, match="stages of whole blocks"):
        Mixture(SharedWeights(load_space("nas-bench-macro")))
