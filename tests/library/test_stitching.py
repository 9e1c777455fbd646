"""Stitched networks."""

import numpy as np
import pytest

from mnas.arch.zoo import zoo
from mnas.errors import InputError
from mnas.library.stitching import Stitcher
from tests.libraries import SOURCE

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def stitcher(tiny_library):
    return Stitcher(tiny_library, SOURCE.load)


@pytest.fixture
def space(tiny_library):
    return tiny_library.space


def test_a_network_of_the_teachers_own_blocks_is_the_teacher(stitcher, tiny_library, space):
    own = space.decode([0] * len(space.decisions))
    assert stitcher.score(own).accuracy == tiny_library.teacher.training["validation_accuracy"]


def test_what_is_kept_of_earlier_networks_changes_nothing(stitcher, tiny_library, space):
    rng = np.random.default_rng(0)
    networks = [space.sample(rng) for _ in range(6)]
    scores = [stitcher.score(network) for network in networks]
    assert len(set(scores)) > 3
    for network, score in list(zip(networks, scores, strict=True))[::-1][:3]:
        assert Stitcher(tiny_library, SOURCE.load).score(network) == score
        assert stitcher.score(network) == score


@pytest.mark.parametrize("indices", [(0, 0, 0, 0), (1, 2, 3, 0), (2, 0, 4, 0), (0, 5, 1, 1)])
def test_the_weights_are_those_of_the_scored_network(stitcher, space, indices):
    """As a Keras model they give the same accuracy and loss; choices 2 and 4 of blocks 1 and 3 leave the block out."""
    from mnas.nn.build import build_model, set_layer_weights

    network = space.decode(indices)
    model = build_model(network, probabilities=True)
    set_layer_weights(model, network, stitcher.weights(network))
    validation = SOURCE.load(network.resolution).validation
    answers = model.predict(validation.images.astype(np.float32) / 127.5 - 1, verbose=0)
    found = stitcher.score(network)
    assert np.mean(answers.argmax(1) == validation.labels) == pytest.approx(found.accuracy, abs=0.012)
    losses = -np.log(answers[np.arange(len(answers)), validation.labels])
    assert float(losses.mean()) == pytest.approx(found.loss, rel=1e-3)


def test_few_images_may_be_enough(tiny_library, space):
    network = space.decode([0] * len(space.decisions))
    accuracy = Stitcher(tiny_library, SOURCE.load, max_validation=10).score(network).accuracy
    assert (10 * accuracy) % 1 == pytest.approx(0, abs=1e-9)


def test_a_network_of_another_space_is_refused(stitcher):
    with pytest.raises(InputError):
        stitcher.score(zoo("mnasnet-a1"))
