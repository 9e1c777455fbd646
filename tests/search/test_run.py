import dataclasses
import json

import pytest

from mnas.arch.codec import architecture_from_dict
from mnas.arch.complexity import complexity
from mnas.errors import InputError, MnasError
from mnas.reward import make_reward
from mnas.search.constraints import Constraint
from mnas.search.finalists import NothingFitsError, choose_finalists
from mnas.search.objective import Objective
from mnas.search.run import Search, run_search
from mnas.search.sizing import estimate_cost
from mnas.strategies.registry import make_strategy
from mnas.study.diagnostics_log import UpdateLog
from mnas.study.study import Study
from mnas.study.summary import front, notes, report
from mnas.trial import Measurement, Trial
from tests.conftest import FakeEvaluator, madds_target

NUM_TRIALS = 60


@pytest.fixture
def study(tmp_path, space):
    config = {"space": space.to_dict(), "strategy": {"name": "evolution"}, "tables": [{"budget_ms": 1000.0}]}
    return Study.create(tmp_path / "study", config, {"trials": NUM_TRIALS, "table": ["t.json"], "data": "digits"})


def _search(space, objective, finals=None, num_trials=NUM_TRIALS):
    strategy = make_strategy("evolution", space, seed=1)
    baseline = make_strategy("random", space, seed=1, feasible=objective.is_feasible)
    return Search(strategy, objective, num_trials, 10, baseline, finals, num_finalists=4)


def _finals(space, objective):
    return Objective(FakeEvaluator(space, bonus=0.05), objective.reward, objective.budgets)


def test_the_winner_is_the_best_finalist_within_the_budget(study, space, objective):
    finals = _finals(space, objective)
    best = run_search(study, _search(space, objective, finals))
    inside = [trial for trial in study.trials if trial.measurement.latency_ms <= 1000]
    assert len(inside) < NUM_TRIALS, "the budget should bite"
    top = max(inside, key=lambda trial: trial.reward)
    assert best["number"] == top.number
    assert best["latency_ms"] <= 1000
    assert best["accuracy"] == pytest.approx(top.measurement.accuracy + 0.05)
    assert best["trained_longer"] is True
    assert study.best() == best
    assert architecture_from_dict(best["architecture"]) == study.architecture() == top.architecture
    assert len(finals.evaluator.calls) <= 8


def test_finalists_are_different_networks(study, space, objective):
    run_search(study, _search(space, objective))
    chosen = choose_finalists(study.trials, objective, 4)
    assert len({trial.architecture for trial in chosen}) == 4
    assert [trial.reward for trial in chosen] == sorted((trial.reward for trial in chosen), reverse=True)


def test_a_finished_search_run_again_evaluates_nothing(study, space, objective, evaluator):
    finals = _finals(space, objective)
    best = run_search(study, _search(space, objective, finals))
    evaluator.calls.clear()
    finals.evaluator.calls.clear()
    seen = []
    again = run_search(study, _search(space, objective, finals), on_trial=lambda phase, trial: seen.append(phase))
    assert again == best
    assert evaluator.calls == finals.evaluator.calls == []
    assert seen.count("trials") == seen.count("baseline") == NUM_TRIALS


@pytest.mark.parametrize("stop_at", [0, 2, 5])
def test_interrupted_finalists_go_on(study, space, objective, stop_at):
    finals = _finals(space, objective)

    def interrupt(count):
        if count == stop_at:
            raise KeyboardInterrupt

    finals.evaluator.on_call = interrupt
    with pytest.raises(KeyboardInterrupt):
        run_search(study, _search(space, objective, finals))
    finals.evaluator.on_call = lambda count: None
    run_search(study, _search(space, objective, finals))
    assert len(finals.evaluator.calls) == len(set(finals.evaluator.calls))


def test_when_every_finalist_fails_the_searchs_own_best_wins(study, space, objective, caplog):
    finals = _finals(space, objective)

    def fail(count):
        raise MnasError("out of memory")

    finals.evaluator.on_call = fail
    best = run_search(study, _search(space, objective, finals))
    assert best["trained_longer"] is False
    assert "every finalist's longer training failed" in caplog.text


def test_a_budget_that_nothing_meets_is_refused_before_any_work(space, evaluator):
    target = madds_target(space, 10.0)
    fastest, slowest = target.costs.extreme()[1], target.costs.extreme(largest=True)[1]
    objective = Objective(evaluator, make_reward("absolute"), [target])
    with pytest.raises(InputError, match=f"fastest takes {fastest:.4g} ms, the slowest {slowest:.4g} ms"):
        _search(space, objective)
    assert evaluator.calls == []


def test_when_no_trial_fits_the_nearest_is_named(study, space, evaluator):
    target = madds_target(space, 1.0)
    target = madds_target(space, target.costs.extreme()[1] * 1.0001)
    objective = Objective(evaluator, make_reward("absolute"), [target])
    with pytest.raises(
        NothingFitsError, match=r"none of 10 trials is within the limit on latency of .* ms; the nearest, trial"
    ):
        run_search(study, _search(space, objective, num_trials=10))


def test_on_a_block_library_a_policy_that_settled_beyond_the_limit_gets_other_advice(space, evaluator, monkeypatch):
    monkeypatch.setattr(type(evaluator), "is_additive", True)
    objective = Objective(evaluator, make_reward("absolute"), [madds_target(space, 1.0)])
    beyond = Trial(0, space.decode([0] * len(space.decisions)), Measurement(0.5, (2.0,), 1, 1), 0.4)
    with pytest.raises(NothingFitsError, match=r"takes 2 ms\. Use --strategy exact, which finds what there is"):
        choose_finalists([beyond], objective, 1)


def _params_limit(space, times):
    """Parameters in thousands stand in for MB; so many times what the smallest network takes."""
    limit = Constraint("file size", lambda network: complexity(network).params / 1e3, 1.0, "MB")
    return dataclasses.replace(limit, limit=times * limit.smallest(space))


@pytest.mark.parametrize("budgets", [[], [1e9]])
def test_when_only_a_limit_is_broken_the_limit_is_named(study, space, evaluator, budgets):
    targets = [madds_target(space, budget) for budget in budgets]
    limit = _params_limit(space, 1.0001)
    objective = Objective(evaluator, make_reward("absolute"), targets, [limit])
    asked = rf"within the limit on file size of {limit.limit:g} MB; the nearest, trial \d, takes [\d.]+ MB\. Continue"
    with pytest.raises(NothingFitsError, match=asked):
        run_search(study, _search(space, objective, num_trials=10))


def test_every_bound_that_some_trial_broke_is_named(study, space, evaluator):
    target = madds_target(space, 1000.0)
    small = madds_target(space, target.costs.extreme()[1] * 1.0001)
    objective = Objective(evaluator, make_reward("absolute"), [target, small], [_params_limit(space, 1.0001)])
    with pytest.raises(
        NothingFitsError, match=r"trials is within the limit on latency of [0-9.]* ms for table 2 and the limit on"
    ):
        run_search(study, _search(space, objective, num_trials=5))


def test_a_baseline_that_keeps_no_limit_leaves_the_searchs_winner(study, space, evaluator, caplog):
    limit = _params_limit(space, 2)
    objective = Objective(evaluator, make_reward("absolute"), [], [limit])
    smallest = make_strategy("random", space, seed=1, feasible=limit.is_met)
    largest = make_strategy("random", space, seed=1, feasible=lambda network: not limit.is_met(network))
    best = run_search(study, Search(smallest, objective, 30, 10, largest))
    assert limit.is_met(architecture_from_dict(best["architecture"]))
    assert "the random baseline has no winner: none of 30 trials is within the limit" in caplog.text


def test_several_budgets_must_all_be_met(study, space, evaluator):
    targets = [madds_target(space, 1000.0), madds_target(space, 700.0)]
    objective = Objective(evaluator, make_reward("absolute"), targets)
    best = run_search(study, _search(space, objective))
    assert len(best["latencies_ms"]) == 2
    assert best["latencies_ms"][1] <= 700


def test_the_report_says_what_was_found_and_whether_random_was_beaten(study, space, objective):
    run_search(study, _search(space, objective, _finals(space, objective)))
    document = report(study)
    assert document["num_trials"] == NUM_TRIALS
    assert document["best"] == study.best()
    assert document["baseline"]["num_trials"] == NUM_TRIALS
    low, high = document["baseline"]["difference"]["interval"]
    assert document["baseline"]["beaten"] is (low > 0)
    assert low <= study.best()["reward"] - study.best("baseline_best")["reward"] <= high
    assert document["next"][0] == f"mnas cost {study.folder} --table t.json"
    rewards = [row["reward"] for row in document["top"]]
    assert rewards == sorted(rewards, reverse=True)


def test_the_report_says_so_when_random_was_not_beaten(study, space, objective):
    run_search(study, _search(space, objective))
    loser = {**study.best("baseline_best"), "reward": 2.0}
    (study.folder / "baseline_best.json").write_text(json.dumps(loser))
    document = report(study)
    assert document["baseline"]["beaten"] is False
    assert "evolution did NOT beat random search at equal cost" in document["baseline"]["verdict"]


@pytest.mark.parametrize(
    ("table", "arguments", "dtype"),
    [
        ({"dtype": "int8"}, {}, "int8"),
        ({}, {"score_dtype": "int8"}, "int8"),
        ({"dtype": "float32"}, {"score_dtype": "float32"}, "float32"),
        ({}, {}, "float32"),
        ({"dtype": "; rm"}, {"score_dtype": 3}, "float32"),
    ],
)
def test_the_next_commands_are_for_what_was_searched_for(tmp_path, space, objective, table, arguments, dtype):
    config = {"space": space.to_dict(), "strategy": {"name": "evolution"}, "tables": [{"budget_ms": 1000.0, **table}]}
    study = Study.create(tmp_path / "s", config, {"table": ["a b.json"], "data": "digits", **arguments})
    run_search(study, _search(space, objective))
    commands = report(study)["next"]
    assert f"mnas export runs/winner --dtype {dtype} --out models/winner.tflite" in commands
    assert "mnas bench models/winner.tflite --table 'a b.json'" in commands


def test_an_unfinished_study_has_a_report_too(study):
    document = report(study)
    assert document["best"] is None
    assert document["baseline"] is None
    assert document["next"] == [f"mnas search --resume --study {study.folder}"]


def test_nothing_on_the_front_is_beaten(study, space, objective):
    run_search(study, _search(space, objective))
    kept = front(study.trials)
    for trial in kept:
        for other in study.trials:
            better = other.measurement.accuracy >= trial.measurement.accuracy
            faster = other.measurement.latency_ms <= trial.measurement.latency_ms
            equal = (other.measurement.accuracy, other.measurement.latency_ms) == (
                trial.measurement.accuracy,
                trial.measurement.latency_ms,
            )
            assert not (better and faster) or equal


def test_the_estimate_counts_the_baseline_and_the_finalists(space, objective):
    cost = estimate_cost(_search(space, objective, _finals(space, objective)))
    assert (cost.num_trials, cost.num_finalists) == (2 * NUM_TRIALS, 8)
    assert cost.seconds >= cost.num_trials * cost.seconds_per_trial
    assert estimate_cost(_search(space, objective)).num_finalists == 0


def test_the_estimate_shares_trials_and_finalists_out_among_workers(space, objective):
    search = _search(space, objective, _finals(space, objective), num_trials=25)
    search = dataclasses.replace(search, retrainings=[search.finalist_objective] * 3)
    search.objective.evaluator.estimate_seconds = lambda candidate: 10.0
    search.finalist_objective.evaluator.estimate_seconds = lambda candidate: 1000.0
    # batches of 10, 10 and 5 candidates, then 4 finalists, in each of two runs; and three times both winners
    for workers, turns, final_turns in ((1, 2 * 25, 8 + 6), (2, 2 * 13, 4 + 3), (4, 2 * 8, 2 + 3), (99, 2 * 3, 2 + 3)):
        cost = estimate_cost(search, workers=workers)
        assert cost.seconds == pytest.approx(10 * turns + 1000 * final_turns, abs=5)
        assert (cost.num_trials, cost.num_finalists) == (50, 14)


def test_what_the_strategy_says_of_itself_is_logged_once_a_batch_also_after_resume(study, space, objective):
    class Talkative(type(make_strategy("evolution", space))):
        told = 0

        def tell(self, trials):
            super().tell(trials)
            self.told += 1

        def diagnostics(self):
            return {"told": float(self.told)}

    heard = []
    for num_trials in (20, 40):
        search = Search(Talkative(space, seed=1), objective, num_trials, 10)
        run_search(study, search, on_update=lambda *update: heard.append(update))
    assert [update.num_trials for update in UpdateLog(study.folder / "updates.jsonl").read()] == [10, 20, 30, 40]
    assert heard[0] == ("trials", 10, {"told": 1.0})
    assert len(heard) == 6, "replayed updates are told as well"


def test_a_winner_that_guesses_is_said_to_guess():
    def best(accuracy, classes):
        return {"accuracy": accuracy, "architecture": {"num_classes": classes}}

    assert "hardly better than guessing, 25.0% for 4 classes" in notes(best(0.28, 4))[0]
    assert notes(best(0.5, 4)) == notes(best(0.03, 100)) == notes(None) == []


def test_both_winners_are_judged_again_and_the_verdict_rests_on_that(study, space, objective):
    fresh = [Objective(FakeEvaluator(space, bonus=0.002 * i), objective.reward, objective.budgets) for i in range(3)]
    search = dataclasses.replace(_search(space, objective), retrainings=fresh)
    seen = []
    for _ in range(2):  # the second run finds everything done
        run_search(study, search, on_trial=lambda phase, trial: seen.append(phase))
        search = dataclasses.replace(_search(space, objective), retrainings=fresh)
    best, found = study.best(), study.best("baseline_best")
    assert best["architecture"] != found["architecture"]
    assert seen.count("repeats") == 6
    assert [len(one.evaluator.calls) for one in fresh] == [2, 2, 2]
    document = report(study)["baseline"]
    assert "3 retrainings of each winner" in document["verdict"]
    assert document["difference"]["difference"] == pytest.approx(best["reward"] - found["reward"])
    assert len(document["difference"]["rewards"]) == 3
