"""The predictor: judges a few, ranks the rest, goes on where it stopped; its inner evaluator is a fake."""

import json

import numpy as np
import pytest

from mnas.arch.complexity import complexity
from mnas.errors import InputError, MnasError
from mnas.evaluators.accuracy_regression import features, held_out, winsorize
from mnas.evaluators.base import Evaluator
from mnas.evaluators.predictor import PredictorEvaluator, PredictorRecipe
from mnas.search.options import SearchOptions
from mnas.statistics import kendall_tau
from tests.spaces import separable, small_space

RECIPE = PredictorRecipe(samples=24, rounds=3, pool=60)


class Fake(Evaluator):
    """Separable accuracies with noise of their own for every architecture; counts and can fail."""

    def __init__(self, space, *, noise=0.0, failing=lambda call: False):
        self._function, self._noise, self._failing = separable(space), noise, failing
        self.judged = []

    def accuracy(self, architecture):
        self.judged.append(architecture)
        if self._failing(len(self.judged)):
            raise MnasError("the training diverged")
        own = np.random.default_rng(complexity(architecture).params)
        return self._function(architecture) + self._noise * own.normal()

    def describe(self):
        return {"kind": "fake", "noise": self._noise}


@pytest.fixture
def space():
    return small_space()


def test_it_ranks_what_it_never_saw_and_trains_nothing_for_it(space):
    inner = Fake(space, noise=0.02)
    evaluator = PredictorEvaluator(space, inner, PredictorRecipe(samples=40, rounds=1))
    rng = np.random.default_rng(9)
    others = [space.sample(rng) for _ in range(60)]
    predicted = [evaluator.accuracy(architecture) for architecture in others]
    assert len(inner.judged) == 40
    assert kendall_tau(predicted, [separable(space)(architecture) for architecture in others]) > 0.7
    assert predicted == [evaluator.accuracy(architecture) for architecture in others]


def test_later_rounds_choose_better_than_chance(space):
    inner = Fake(space)
    PredictorEvaluator(space, inner, RECIPE).prepare()
    accuracies = [separable(space)(architecture) for architecture in inner.judged]
    assert np.mean(accuracies[12:]) > np.mean(accuracies[:12]) + 0.1
    assert len(set(inner.judged[12:])) == 12


def test_samples_keep_the_budget(space):
    limit = float(np.median([complexity(space.sample(np.random.default_rng(i))).madds for i in range(50)]))
    inner = Fake(space)
    PredictorEvaluator(space, inner, RECIPE, feasible=lambda network: complexity(network).madds <= limit).prepare()
    assert max(complexity(architecture).madds for architecture in inner.judged) <= limit


def test_it_is_less_sure_of_what_is_unlike_its_samples(space):
    evaluator = PredictorEvaluator(space, Fake(space, noise=0.02), PredictorRecipe(samples=12, rounds=1))
    evaluator.prepare()
    rng = np.random.default_rng(0)
    deviations = [evaluator.predict(space.sample(rng))[1] for _ in range(40)]
    seen = [evaluator.predict(architecture)[1] for architecture in evaluator.inner.judged]
    assert 0 < np.mean(seen) < np.mean(deviations)


@pytest.mark.parametrize("after", [3, 12, 15, 23])
def test_it_goes_on_where_it_was_stopped(space, tmp_path, after):
    whole = PredictorEvaluator(space, Fake(space), RECIPE)
    candidate = space.sample(np.random.default_rng(3))
    expected = whole.accuracy(candidate)

    def stop(share, what):
        if share >= after / 24:
            raise KeyboardInterrupt

    file = tmp_path / "predictor.json"
    with pytest.raises(KeyboardInterrupt):
        PredictorEvaluator(space, Fake(space), RECIPE, file=file).prepare(stop)
    inner = Fake(space)
    resumed = PredictorEvaluator(space, inner, RECIPE, file=file)
    assert resumed.accuracy(candidate) == expected
    assert inner.judged == whole.inner.judged[after:]
    again = PredictorEvaluator(space, Fake(space, failing=lambda call: True), RECIPE, file=file)
    assert again.accuracy(candidate) == expected  # nothing is judged again
    assert again.estimate_preparation_seconds() == 0


def test_failed_samples_are_left_out_never_counted_as_zero(space):
    some = PredictorEvaluator(space, Fake(space, failing=lambda call: call % 4 == 0), RECIPE)
    assert some.accuracy(space.decode([0] * 12)) > 0.1
    most = PredictorEvaluator(space, Fake(space, failing=lambda call: call > 3), PredictorRecipe(samples=10, rounds=1))
    with pytest.raises(MnasError, match="only 3 of 10 samples could be evaluated, and a prediction needs 5"):
        most.accuracy(space.decode([0] * 12))


def test_samples_of_something_else_are_refused(space, tmp_path):
    file = tmp_path / "predictor.json"
    PredictorEvaluator(space, Fake(space), RECIPE, file=file).prepare()
    with pytest.raises(InputError, match="of another space, evaluator or recipe: delete the file"):
        PredictorEvaluator(space, Fake(space, noise=0.1), RECIPE, file=file).prepare()
    document = json.loads(file.read_text())
    no_integers = [{"indices": [0] * 11 + [index], "accuracy": 0.5} for index in (1.0, 1.9, "1", True)]
    for damage in (
        {"indices": [99] * 12, "accuracy": 0.5},
        {"indices": [0] * 12, "accuracy": 7},
        {},
        [1],
        *no_integers,
    ):
        file.write_text(json.dumps({**document, "samples": [damage]}))
        with pytest.raises(MnasError, match="damaged samples of a predictor"):
            PredictorEvaluator(space, Fake(space), RECIPE, file=file).prepare()
    file.write_text(json.dumps({**document, "samples": document["samples"] * 2}))
    with pytest.raises(MnasError, match="the number of samples is"):
        PredictorEvaluator(space, Fake(space), RECIPE, file=file).prepare()
    file.write_text("{}")
    with pytest.raises(MnasError, match="does not hold the samples of a predictor"):
        PredictorEvaluator(space, Fake(space), RECIPE, file=file).prepare()


def test_a_predictor_that_knows_nothing_says_so(space, caplog):
    class Noise(Fake):
        def accuracy(self, architecture):
            return float(np.random.default_rng(complexity(architecture).madds).random())

    PredictorEvaluator(space, Noise(space), PredictorRecipe(samples=30, rounds=1)).prepare()
    assert "use more samples (--predictor-samples) or longer trainings" in caplog.text


def test_features_tell_architectures_apart_and_outliers_do_not_rule(space):
    rng = np.random.default_rng(0)
    chosen = {space.sample(rng) for _ in range(50)}
    assert len({features(space, architecture).tobytes() for architecture in chosen}) == len(chosen)
    known = [0.70, 0.71, 0.72, 0.73, 0.74, 0.1]
    assert winsorize(known).tolist()[:5] == known[:5]
    assert 0.6 < winsorize(known)[5] < 0.70


def test_held_out_predictions_do_not_know_their_own_accuracy(space):
    rng = np.random.default_rng(0)
    rows = np.stack([features(space, space.sample(rng)) for _ in range(40)])
    noise = rng.random(40)
    assert abs(kendall_tau(held_out(rows, noise), noise)) < 0.3


def test_options_that_do_not_go_together():
    with pytest.raises(InputError, match="--evaluator predictor needs --data"):
        SearchOptions(evaluator="predictor")
    with pytest.raises(InputError, match="a predictor scores every candidate in the same short time"):
        SearchOptions(evaluator="predictor", data="digits", evaluation_minutes=1.0)
    with pytest.raises(InputError, match="predictor's samples is 3: expected a whole number from 5"):
        PredictorRecipe(samples=3)
