import json

import pytest

from mnas.arch.walk import unroll
from mnas.errors import InputError, MnasError
from mnas.search.loop import run_trials
from mnas.strategies.registry import make_strategy
from mnas.study.trial_log import TrialLog


@pytest.fixture
def log(tmp_path):
    return TrialLog(tmp_path / "trials.jsonl")


def _run(space, objective, log, num_trials, seed=0, strategy="evolution", **more):
    made = make_strategy(strategy, space, seed=seed)
    return run_trials(made, objective, log, num_trials=num_trials, batch_size=10, **more)


def _names(trials):
    return [(trial.number, trial.architecture, trial.reward) for trial in trials]


def test_every_trial_is_in_the_log_with_its_reward_and_terms(space, objective, log):
    trials = _run(space, objective, log, 25)
    assert [trial.number for trial in trials] == list(range(25))
    assert sorted(log.read(), key=lambda trial: trial.number) == trials
    for trial in trials:
        assert trial.reward == pytest.approx(sum(dict(trial.terms).values()))


def test_equal_networks_are_evaluated_once(space, objective, evaluator, log):
    trials = _run(space, objective, log, 200, strategy="random")
    networks = {unroll(trial.architecture) for trial in trials}
    assert len(networks) < 200
    assert len(evaluator.calls) == len(networks)


@pytest.mark.parametrize("pieces", [[37, 80], [10, 20, 80], [1, 2, 3, 80]])
def test_pieces_give_what_one_run_gives(space, objective, evaluator, log, tmp_path, pieces):
    at_once = _run(space, objective, TrialLog(tmp_path / "other.jsonl"), 80)
    evaluated = len(evaluator.calls)
    for num_trials in pieces:
        in_pieces = _run(space, objective, log, num_trials)
    assert _names(in_pieces) == _names(at_once)
    assert len(evaluator.calls) == 2 * evaluated, "something was evaluated twice"


def test_an_interrupted_batch_keeps_what_was_finished(space, objective, evaluator, log, tmp_path):
    at_once = _run(space, objective, TrialLog(tmp_path / "other.jsonl"), 60)
    evaluator.calls.clear()

    def interrupt(count):
        if count == 33:
            raise KeyboardInterrupt

    evaluator.on_call = interrupt
    with pytest.raises(KeyboardInterrupt):
        _run(space, objective, log, 60)
    done = len(log.read())
    assert done >= 33
    evaluator.on_call = lambda count: None
    assert _names(_run(space, objective, log, 60)) == _names(at_once)
    assert len(log.read()) == 60


def test_a_torn_last_line_is_dropped_and_said_so(space, objective, log, caplog, tmp_path):
    whole = _run(space, objective, log, 30)
    text = log.path.read_text()
    log.path.write_text(text[: text.rstrip().rfind("\n") + 30])
    with caplog.at_level("WARNING"):
        assert len(log.read()) == 29
    assert "last line is torn" in caplog.text
    assert _names(_run(space, objective, log, 30)) == _names(whole)
    assert [json.loads(line)["number"] for line in log.path.read_text().splitlines()] == list(range(30))


@pytest.mark.parametrize("tail", [b"\0\0\0\0\n", b"\0\0\0\0", b'{"number": 3'])
def test_what_a_power_cut_leaves_behind_is_dropped(space, objective, log, tail):
    whole = _run(space, objective, log, 5)
    log.path.write_bytes(log.path.read_bytes() + tail)
    assert _names(_run(space, objective, log, 5)) == _names(whole)
    assert len(log.path.read_bytes().splitlines()) == len(log.read()) == 5


def test_a_damaged_line_in_the_middle_is_an_error_that_names_it(space, objective, log):
    _run(space, objective, log, 5)
    lines = log.path.read_text().splitlines()
    lines[2] = lines[2].replace("measurement", "measured")
    log.path.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=r"trials.jsonl, line 3 is not a trial"):
        log.read()


def test_a_log_of_another_seed_is_refused_and_kept(space, objective, log):
    _run(space, objective, log, 20, seed=0)
    before = log.path.read_bytes()
    with pytest.raises(InputError, match="another architecture for trial 0 than the log holds"):
        _run(space, objective, log, 30, seed=1)
    assert log.path.read_bytes() == before


def test_a_failing_evaluation_is_a_failed_trial_and_the_search_goes_on(space, objective, evaluator, log):
    seen = iter(range(10_000))

    def fail(count):
        if next(seen) % 3 == 1:
            raise MemoryError("no room")

    evaluator.on_call = fail
    trials = _run(space, objective, log, 30)
    failed = [trial for trial in trials if trial.failed]
    assert failed
    assert {trial.error for trial in failed} == {"MemoryError: no room"}
    assert all(trial.reward is None for trial in failed)


@pytest.mark.parametrize("accuracy", [float("nan"), 1.5, -0.1])
def test_an_impossible_accuracy_is_a_failed_trial(space, objective, evaluator, log, accuracy):
    seen = iter(range(10_000))
    evaluator.function = lambda architecture: accuracy / 0.9 if next(seen) == 2 else 0.5
    trials = _run(space, objective, log, 20)
    assert sum(trial.failed for trial in trials) == 1
    assert "expected a number from 0 to 1" in next(trial.error for trial in trials if trial.failed)


def test_when_nothing_can_be_evaluated_the_search_stops_and_says_why(space, objective, evaluator, log):
    def fail(count):
        raise RuntimeError("no data at all")

    evaluator.on_call = fail
    with pytest.raises(MnasError, match="all 10 evaluations failed, the last one with: RuntimeError: no data at all"):
        _run(space, objective, log, 100)


def test_a_full_disk_is_an_error_and_keeps_what_was_there(space, objective, log, monkeypatch):
    _run(space, objective, log, 5)
    before = log.path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(MnasError, match="No space left on device"):
        _run(space, objective, log, 6)
    assert log.path.read_bytes().startswith(before)


def test_an_executor_may_finish_in_any_order(space, objective, log, tmp_path):
    class Backwards:
        def run(self, objective, candidates):
            for number, architecture in reversed(candidates):
                yield objective.evaluate(number, architecture)

    forwards = _run(space, objective, TrialLog(tmp_path / "other.jsonl"), 50)
    backwards = _run(space, objective, log, 50, executor=Backwards())
    assert _names(backwards) == _names(forwards)
    assert _names(_run(space, objective, log, 50)) == _names(forwards)


def test_the_loop_can_be_the_users_own(space, objective):
    strategy = make_strategy("evolution", space, seed=2)
    best = []
    for _ in range(20):
        trials = [objective.evaluate(number, candidate) for number, candidate in enumerate(strategy.ask(10))]
        strategy.tell(trials)
        best.append(max(trial.reward for trial in trials))
    assert max(best[-5:]) > best[0]
