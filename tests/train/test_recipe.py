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


def test_a_value_replaces_the_recipes_own():
    assert recipe_for("cifar10", epochs=3) == Recipe(epochs=3)


@pytest.mark.parametrize(("overrides", "reason"), [
    ({"epochs": 0}, "epochs is 0"),
    ({"learning_rate": float("nan")}, "learning_rate is nan"),
    ({"optimizer": "adagrad"}, "expected one of sgd, rmsprop, adam"),
    ({"flip": 1}, "flip is 1"),
])  # fmt: skip
def test_impossible_recipes_are_refused(overrides, reason):
    with pytest.raises(InputError, match=reason):
        Recipe(**overrides)


def test_the_published_recipes_are_the_published_numbers():
    recipe = recipe_for("cifar10", name="efficientnet")
    assert (recipe.optimizer, recipe.epochs, recipe.ema, recipe.batch_norm) == ("rmsprop", 350, 0.9999, 0.99)
    assert (recipe.weight_decay, recipe.label_smoothing, recipe.rand_augment) == (1e-5, 0.1, 2)
    assert recipe_for("cifar10", name="mnasnet").rand_augment == 0
    large = recipe_for("cifar10", name="mnasnet", batch_size=4096)
    assert large.learning_rate == 0.256
    steps = 350 * 10
    rates = [large.learning_rate_at(step, steps) for step in range(steps)]
    assert rates[49] == pytest.approx(0.256)  # five epochs of warm-up
    assert rates[10] == pytest.approx(0.256 * 11 / 50)
    assert rates[50] == pytest.approx(0.256 * 0.97**2)
    assert rates[24 * 10] == pytest.approx(0.256 * 0.97**10)
    assert rates[24 * 10 - 1] == pytest.approx(0.256 * 0.97**9)


def test_short_published_recipes_keep_five_epochs_of_warm_up_and_average_the_end_only():
    recipe = recipe_for("cifar10", name="mnasnet", epochs=20, learning_rate=0.01)
    assert (recipe.warmup_share, recipe.learning_rate) == (0.25, 0.01)
    assert recipe.ema_momentum(1000) == pytest.approx(0.99)
    assert recipe.ema_momentum(10**7) == 0.9999


@pytest.mark.parametrize(
    "wrong", [{"schedule": "steps"}, {"ema": 1.0}, {"rand_augment": -1}, {"mixed_precision": 1}, {"batch_norm": 1.0}]
)
def test_new_fields_are_checked(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Recipe(**wrong)


def test_unknown_recipes_name_the_known_ones():
    with pytest.raises(InputError, match="short, finetune, mnasnet, efficientnet"):
        recipe_for("digits", name="long")


def test_few_images_get_small_batches_and_many_epochs() -> None:
    few, some, many = (recipe_for("pictures", images=count) for count in (30, 600, 51_000))
    assert many == Recipe()
    assert (some.batch_size, some.epochs) == (16, 41)
    assert some.learning_rate == pytest.approx(0.004 * (16 / 128) ** 0.5)
    assert (few.batch_size, few.epochs) == (16, 200)
    asked = recipe_for("pictures", images=600, epochs=2, batch_size=64, learning_rate=0.01)
    assert (asked.epochs, asked.batch_size, asked.learning_rate) == (2, 64, 0.01)


def test_a_recipe_is_read_as_it_was_written() -> None:
    for recipe in (Recipe(), Recipe(crop=0.5, zero_init_residual=False, class_weights="balanced")):
        assert Recipe.from_dict(recipe.to_dict()) == recipe
    with pytest.raises(InputError, match="a recipe has no field 'mixup': it was written by a later version"):
        Recipe.from_dict({**Recipe().to_dict(), "mixup": 0.2})
    with pytest.raises(InputError, match="crop"):
        Recipe.from_dict({**Recipe().to_dict(), "crop": 2.0})


@pytest.mark.parametrize("changed", [{"shift": 0.1}, {"crop": 0.5}, {"rand_augment": 2}, {}])
def test_a_recipe_that_changes_images(changed) -> None:
    assert Recipe(**{"shift": 0.0, **changed}).changes_images(mirror=False) == bool(changed)
    assert Recipe(shift=0.0).changes_images(mirror=True)
