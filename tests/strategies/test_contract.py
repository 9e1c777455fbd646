"""What every strategy owes its caller. A new strategy is one more name below."""

import math
from importlib.util import find_spec

import numpy as np
import pytest

from mnas.arch.zoo import zoo
from mnas.errors import InputError
from mnas.reward import make_reward
from mnas.space.files import load_space
from mnas.strategies import registry
from mnas.strategies.additive import AdditiveScore
from mnas.strategies.registry import SCORED_STRATEGIES, STRATEGIES
from mnas.trial import Measurement, Trial
from tests.spaces import separable, small_space

_TENSORFLOW = ("reinforce", "ppo")
_OPTUNA = tuple(f"optuna:{sampler}" for sampler in ("tpe", "nsgaii", "cmaes", "random"))
_FIXED = ("random", "exact", "differentiable")  # these do not learn from trials


def _marks(name):
    if name in _TENSORFLOW:
        return [pytest.mark.tensorflow]
    missing = name in _OPTUNA and not (find_spec("optuna") and find_spec("cmaes"))
    return (
        [pytest.mark.skip(reason="Optuna and cmaes are not installed: pip install 'mnas[optuna]'")] if missing else []
    )


_SPACES = {"one size": small_space(), "sizes": small_space(resolutions=(16, 12, 8))}
every_space = pytest.mark.parametrize("space", _SPACES.values(), ids=_SPACES)
_ALL = [pytest.param(name, marks=_marks(name)) for name in (*STRATEGIES, *_OPTUNA)]
_LEARNERS = [name for name in STRATEGIES if name not in _FIXED]
every_strategy = pytest.mark.parametrize("name", _ALL)
every_learner = pytest.mark.parametrize("name", [param for param in _ALL if param.values[0] in _LEARNERS])


def make_strategy(name, space, **options):
    """Make a strategy; some work on an additive score."""
    if name in SCORED_STRATEGIES:
        rng = np.random.default_rng(options.get("seed", 0))
        values = [rng.random(len(decision.choices)) / len(space.decisions) for decision in space.decisions]
        options["score"] = AdditiveScore(lambda: values)
    return registry.make_strategy(name, space, **options)


def _trials(architectures, accuracy, start=0):
    reward = make_reward("absolute")
    trials = []
    for number, architecture in enumerate(architectures, start):
        found = Measurement(accuracy(architecture), (), 1, 1)
        trials.append(Trial(number, architecture, found, reward(found, ()).value))
    return trials


def _run(strategy, accuracy, rounds, batch=10):
    proposed = []
    for _ in range(rounds):
        asked = strategy.ask(batch)
        strategy.tell(_trials(asked, accuracy, len(proposed)))
        proposed.extend(asked)
    return proposed


@every_strategy
@every_space
@pytest.mark.parametrize("count", [1, 7])
def test_proposes_as_many_as_asked_all_of_the_space(name, space, count):
    proposed = make_strategy(name, space).ask(count)
    assert len(proposed) == count
    for architecture in proposed:
        space.encode(architecture)


@every_strategy
@pytest.mark.parametrize("count", [0, -1, 2.5])
def test_refuses_to_propose_fewer_than_one(name, count):
    with pytest.raises(InputError, match="whole number from 1"):
        make_strategy(name, small_space()).ask(count)


@every_strategy
@every_space
def test_the_same_seed_gives_the_same_sequence_and_another_seed_another(name, space):
    first, again, other = (_run(make_strategy(name, space, seed=s), separable(space), 5) for s in (3, 3, 4))
    assert first == again
    assert first != other


@every_strategy
def test_diagnostics_are_finite_numbers_and_those_of_a_replay(name):
    space = small_space()
    said = []
    for _ in range(2):
        strategy = make_strategy(name, space, seed=2)
        assert strategy.diagnostics() == {}
        _run(strategy, separable(space), 2)
        said.append(strategy.diagnostics())
    assert said[0] == said[1]
    assert all(math.isfinite(value) for value in said[0].values())
    if name in _TENSORFLOW:
        most = sum(math.log(len(decision.choices)) for decision in space.decisions)
        assert 0 < said[0]["entropy"] <= most


@every_strategy
@every_space
def test_resume_is_replay(name, space):
    """Told the same trials, read back from a log, a fresh strategy goes on as the first would have."""
    accuracy = separable(space)
    strategy, replayed = (make_strategy(name, space, seed=1) for _ in range(2))
    done = 0
    for _ in range(4):
        trials = _trials(strategy.ask(10), accuracy, done)
        strategy.tell(trials)
        read_back = [Trial.from_dict(trial.to_dict()) for trial in trials]
        assert replayed.ask(10) == [trial.architecture for trial in read_back]
        replayed.tell(read_back)
        done += 10
    assert replayed.ask(10) == strategy.ask(10)


@every_strategy
@every_space
def test_takes_trials_it_did_not_ask_for(name, space):
    rng = np.random.default_rng(0)
    strategy = make_strategy(name, space)
    strategy.tell(_trials([space.sample(rng) for _ in range(30)], separable(space)))
    assert len(strategy.ask(5)) == 5


@every_strategy
def test_failed_trials_teach_nothing(name):
    """Failed trials are not accuracies of zero: told some in between, a strategy proposes what it would have."""
    space = small_space()
    accuracy = separable(space)
    plain, troubled = (make_strategy(name, space, seed=1) for _ in range(2))
    for _ in range(4):
        asked = plain.ask(10)
        assert troubled.ask(10) == asked
        trials = _trials(asked, accuracy)
        plain.tell(trials[:6])
        troubled.tell([*trials[:6], *(Trial(t.number, t.architecture, error="out of memory") for t in trials[6:])])
    assert plain.ask(10) == troubled.ask(10)


@every_strategy
def test_survives_a_batch_in_which_everything_failed(name):
    strategy = make_strategy(name, small_space())
    strategy.tell([Trial(i, a, error="failed") for i, a in enumerate(strategy.ask(4))])
    strategy.tell([])
    assert len(strategy.ask(4)) == 4


@every_strategy
def test_the_resolution_is_a_decision_like_others(name):
    space = _SPACES["sizes"]
    strategy = make_strategy(name, space, seed=0, feasible=lambda architecture: architecture.resolution < 16)
    proposed = _run(strategy, separable(space), 4)
    assert {architecture.resolution for architecture in proposed} == {12, 8}


@every_strategy
def test_a_trial_from_outside_the_space_is_refused(name):
    strategy = make_strategy(name, small_space())
    with pytest.raises(InputError, match="told trial 7, which is not of the space small"):
        strategy.tell([Trial(7, zoo("mnasnet-a1"), error="failed")])


@every_strategy
def test_refused_candidates_are_not_proposed(name):
    space = small_space()
    strategy = make_strategy(name, space, feasible=lambda architecture: architecture.stages[0].repeats == 1)
    proposed = _run(strategy, separable(space), 5)
    assert {architecture.stages[0].repeats for architecture in proposed} == {1}


@pytest.mark.parametrize("name", [param for param in _ALL if param.values[0] in ("random", *_LEARNERS)])
def test_a_tight_budget_wastes_no_evaluation(name):
    space = small_space()

    def fits(architecture):
        return set(space.encode(architecture)[1:]) == {0}  # 3 of the 576 architectures

    assert all(fits(architecture) for architecture in make_strategy(name, space, feasible=fits).ask(10))


@pytest.mark.parametrize("name", [param for param in _ALL if param.values[0] != "exact"])  # it knows, and says so
def test_when_everything_is_refused_it_proposes_all_the_same(name):
    proposed = make_strategy(name, small_space(), feasible=lambda architecture: False).ask(3)
    assert len(proposed) == 3


@every_strategy
def test_a_space_of_one_architecture(name):
    space = load_space("mnasnet-32")
    one = space.sample(np.random.default_rng(0))
    indices = space.encode(one)
    stages = [
        type(stage)(
            stride=stage.stride,
            **{
                field: (getattr(stage, field)[indices[6 * number + position]],)
                for position, field in enumerate(("op", "kernel_size", "se_ratio", "skip", "filters", "repeats"))
            },
        )
        for number, stage in enumerate(space.stages)
    ]
    single = type(space)(**{**vars_of(space), "stages": tuple(stages)})
    strategy = make_strategy(name, single)
    proposed = _run(strategy, lambda architecture: 0.5, 6)
    assert set(proposed) == {one}


def vars_of(space):
    return {
        name: getattr(space, name)
        for name in (
            "name",
            "stem_filters",
            "stem_stride",
            "head_filters",
            "resolution",
            "num_classes",
            "activation",
            "dropout",
        )
    }


@every_learner
def test_beats_random_search_on_an_easy_function(name):
    """Every choice is worth something by itself. The mean of the best over seeds must be clearly above chance's."""
    space = load_space("mnasnet-32")
    seeds = range(3)

    def best(strategy_name):
        found = []
        for seed in seeds:
            accuracy = separable(space, seed)
            proposed = _run(make_strategy(strategy_name, space, seed=seed), accuracy, 30)
            found.append(max(map(accuracy, proposed)))
        return math.fsum(found) / len(found)

    assert best(name) > best("random") + 0.02


def test_unknown_names_and_knobs_are_refused():
    with pytest.raises(InputError, match=r"the strategy tunas was removed .*: use --strategy reinforce"):
        make_strategy("tunas", small_space())
    with pytest.raises(InputError, match="expected one of random, reinforce"):
        make_strategy("magic", small_space())
    with pytest.raises(InputError, match=r"does not take these options.*speed"):
        make_strategy("random", small_space(), speed=3)
    with pytest.raises(InputError, match="tournament is 30: expected 1 to the population's 20"):
        make_strategy("evolution", small_space(), population=20, tournament=30)


def test_a_user_defined_strategy_may_call_the_argument_by_its_former_name(tmp_path, monkeypatch):
    (tmp_path / "former_strategy.py").write_text(
        "from mnas.strategies.random import RandomSearch\n\n\n"
        "class Former(RandomSearch):\n"
        "    def __init__(self, space, *, seed=0, accept=None):\n"
        "        super().__init__(space, seed=seed, feasible=accept)\n"
    )
    monkeypatch.chdir(tmp_path)

    def wanted(architecture):
        return architecture.stages[0].repeats == 1

    strategy = make_strategy("python:former_strategy:Former", small_space(), feasible=wanted)
    assert all(wanted(architecture) for architecture in strategy.ask(10))
