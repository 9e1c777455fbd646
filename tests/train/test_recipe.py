"""The recipe as plain data. Needs no TensorFlow."""

import pytest

from mnas.errors import InputError
from mnas.train.recipe import Recipe, batch_norm_momentum, recipe_for


def test_the_learning_rate_rises_then_falls_to_almost_nothing():
    recipe = Recipe(learning_rate=0.1, warmup_share=0.1)
    rates = [recipe.learning_rate_at(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == rates[9] == rates[10] == 0.1
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 1e-4


def test_a_single_step_has_a_learning_rate():
    assert Recipe(learning_rate=0.1).learning_rate_at(0, 1) == 0.1


def test_short_training_forgets_faster():
    assert [batch_norm_momentum(steps) for steps in (100, 5000, 100_000)] == [0.9, 0.97, 0.99]


def test_digits_are_not_mirrored():
    assert not recipe_for("digits").flip
    assert recipe_for("cifar10", epochs=3) == Recipe(epochs=3)


@pytest.mark.parametrize(("knobs", "reason"), [
    ({"epochs": 0}, "epochs is 0"),
    ({"learning_rate": float("nan")}, "learning_rate is nan"),
    ({"optimizer": "adagrad"}, "expected one of sgd, rmsprop, adam"),
    ({"flip": 1}, "flip is 1"),
])  # fmt: skip
def test_impossible_recipes_are_refused(knobs, reason):
    with pytest.raises(InputError, match=reason):
        Recipe(**knobs)
