"""The proxy evaluator: learns, repeats itself, and leaves the test split alone."""

import dataclasses

import numpy as np
import pytest

from mnas.data.dataset import load_dataset
from mnas.errors import InputError, MnasError
from mnas.evaluators.proxy import ProxyEvaluator, ProxyRecipe, make
from mnas.evaluators.registry import EvaluatorRequest
from mnas.space import load_space
from tests.images import without_test

pytestmark = pytest.mark.tensorflow
SPACE = load_space("mnasnet-16").with_data(resolution=8)


@pytest.fixture(scope="module")
def digits():
    return without_test(load_dataset("digits", resolution=8))


@pytest.fixture(scope="module")
def candidate():
    return SPACE.sample(np.random.default_rng(0))


def test_it_learns_and_repeats_itself(digits, candidate):
    evaluator = ProxyEvaluator(digits, ProxyRecipe(steps=40, batch_size=64))
    first = evaluator.accuracy(candidate)
    assert first > 0.5
    assert evaluator.accuracy(candidate) == first
    other = ProxyEvaluator(digits, ProxyRecipe(steps=40, batch_size=64, seed=1))
    assert not np.array_equal(other.fit(candidate).weights, evaluator.fit(candidate).weights)


def test_a_trained_network_is_the_same_in_small_batches(digits, candidate):
    trained = ProxyEvaluator(digits, ProxyRecipe(steps=5, batch_size=32, max_shift=1)).fit(candidate)
    images = digits.validation.images[:8]
    alone = np.concatenate([trained.logits(images[i : i + 1]) for i in range(8)])
    np.testing.assert_allclose(trained.logits(images), alone, atol=1e-4)


def test_a_candidate_that_does_not_fit_the_data_is_refused(digits, candidate):
    evaluator = ProxyEvaluator(digits, ProxyRecipe(steps=1))
    with pytest.raises(InputError, match="8 px and 10 classes"):
        evaluator.accuracy(dataclasses.replace(candidate, num_classes=3))


def test_divergence_is_a_failure_not_an_accuracy(digits, candidate):
    evaluator = ProxyEvaluator(digits, ProxyRecipe(steps=30, batch_size=32, learning_rate=100, weight_decay=50))
    with pytest.raises(MnasError, match="diverged"):
        evaluator.accuracy(candidate)


def test_the_learning_rate_warms_up_and_falls_to_zero():
    recipe = ProxyRecipe(steps=100, batch_size=96, learning_rate=0.2)
    rates = [recipe.rate(step) for step in range(100)]
    assert max(rates) == pytest.approx(0.2)
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 1e-3


def test_the_description_says_everything_that_matters(digits):
    described = ProxyEvaluator(digits, ProxyRecipe(steps=7)).describe()
    assert described["steps"] == 7
    assert described["data"]["fingerprint"] == digits.fingerprint


def test_rungs_are_scores_of_one_training(digits, candidate):
    evaluator = ProxyEvaluator(digits, ProxyRecipe(steps=40, batch_size=64, rungs=3))
    assert evaluator.recipe.rung_steps == (10, 20, 40)
    rungs = list(evaluator.rungs(candidate))
    assert len(rungs) == evaluator.num_rungs == 3
    assert rungs[-1] == evaluator.accuracy(candidate), "scoring on the way must not change the training"
    assert evaluator.with_steps(20).num_rungs == 1


def test_a_training_that_is_read_no_further_goes_no_further(digits, candidate, monkeypatch):
    rates = []
    recipe = ProxyRecipe(steps=8, batch_size=16, rungs=3)
    monkeypatch.setattr(ProxyRecipe, "rate", lambda self, step: rates.append(step) or 0.01)
    accuracies = ProxyEvaluator(digits, recipe).rungs(candidate)
    next(accuracies)
    accuracies.close()
    assert rates == [0, 1]


def test_more_rungs_than_halvings_of_the_steps_are_refused():
    with pytest.raises(InputError, match="5 rungs need at least 16 steps, not 8"):
        ProxyRecipe(steps=8, rungs=5)


def test_augmentation_is_described_and_changes_the_training(digits, candidate):
    def of(augment):
        options = {"proxy_steps": 3, "proxy_batch": 16, "seed": 0, "rungs": 1, "augment": augment}
        return make(EvaluatorRequest(name="proxy", options=options, space=SPACE, dataset=digits))

    plain, none, shift, flip = map(of, (None, "none", "shift", "flip"))
    assert plain.describe() == none.describe()
    assert "flip" not in plain.describe()
    assert (shift.recipe.max_shift, shift.recipe.flip) == (1, False)
    assert (flip.recipe.max_shift, flip.recipe.flip) == (1, True)
    assert flip.describe()["flip"] is True
    first, *others = (each.fit(candidate).weights for each in (plain, shift, flip))
    assert not any(np.array_equal(first, other) for other in others)
