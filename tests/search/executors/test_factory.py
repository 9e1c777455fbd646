"""What workers are made from: the same objectives as here, by the same names, those of the verdict too."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mnas.errors import InputError
from mnas.search.build import prepare
from mnas.search.executor import LocalExecutor
from mnas.search.executors.factory import make_objectives, open_executor
from mnas.search.executors.process_pool import ProcessExecutor
from mnas.search.executors.worker import Job, make_request
from mnas.search.objective import Objective
from mnas.search.options import SearchOptions
from mnas.strategies.registry import make_strategy
from mnas.system import plugins
from tests.search.executors.slow import make_own
from tests.spaces import small_space

OPTIONS = SearchOptions(space="mnasnet-16", data="digits", strategy="evolution", max_train_images=200, retrain_seeds=2)


@pytest.fixture
def prepared():
    return prepare(OPTIONS)


def test_workers_judge_candidates_finalists_and_the_verdict(prepared, monkeypatch):
    monkeypatch.setattr("mnas.search.executors.factory.load_tensorflow", lambda **how: None)
    theirs, fingerprint = make_objectives(OPTIONS.to_dict())
    with open_executor(OPTIONS, prepared, workers=2) as executor:
        assert isinstance(executor, ProcessExecutor)
        ours = executor.objectives
    assert list(ours) == list(theirs) == ["search", "finals", "repeat0", "repeat1"]
    for name, objective in ours.items():
        assert objective.evaluator.describe() == theirs[name].evaluator.describe()
    assert fingerprint["data"] == prepared.config["data"]
    seeds = {each.evaluator.describe()["seed"] for each in ours.values()}
    assert seeds == {0, 1, 2}
    candidate = prepared.search.strategy.ask(1)[0]
    for number, again in enumerate(prepared.search.retrainings):
        assert make_request(ours, again, number, candidate)["objective"] == f"repeat{number}"


def test_workers_find_an_own_evaluator_of_the_current_folder_and_run_nothing_else_there(tmp_path, monkeypatch):
    (tmp_path / "own_worker_judge.py").write_text("def accuracy(architecture):\n    return 0.25\n")
    for name in ("json", "signal", "runpy"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setattr(sys, "path", list(sys.path))
    name = {"name": "python:own_worker_judge:accuracy"}
    objectives, fingerprint = make_own(name)
    job = Job("tests.search.executors.slow:make_own", name, fingerprint)
    (candidate,) = make_strategy("random", small_space(), seed=0).ask(1)
    try:
        with ProcessExecutor(job, objectives, num_workers=2) as executor:
            (trial,) = executor.run(objectives["search"], [(0, candidate)])
    finally:
        plugins.sys.modules.pop("own_worker_judge", None)
    assert trial.measurement.accuracy == 0.25
    assert not (tmp_path / "ran").exists()


def test_one_local_worker_is_this_process(prepared):
    with open_executor(OPTIONS, prepared) as executor:
        assert isinstance(executor, LocalExecutor)


def test_a_time_limit_takes_a_process(prepared):
    with open_executor(replace(OPTIONS, evaluation_minutes=1.0), prepared) as executor:
        assert isinstance(executor, ProcessExecutor)


def test_gpus_are_a_clusters(prepared):
    with pytest.raises(InputError, match="add --executor ray"), open_executor(OPTIONS, prepared, workers=2, gpus=1):
        pass


def test_parts_of_two_gpus_are_nobodys(prepared):
    with pytest.raises(InputError, match=r"--gpus is 1\.5: expected a whole number"):
        open_executor(OPTIONS, prepared, kind="ray", gpus=1.5).__enter__()


def test_the_verdict_is_judged_where_candidates_are(prepared):
    from mnas.search.finalists import run_retrainings
    from mnas.study.trial_log import MemoryLog
    from mnas.trial import Trial

    class Elsewhere:
        def run(self, objective: Objective, candidates):
            for number, architecture in reversed(candidates):
                yield Trial(number, architecture, reward=float(objective.evaluator.describe()["seed"]))

    log, winners = MemoryLog(), prepared.search.strategy.ask(2)
    run_retrainings(winners, prepared.search.retrainings, log, executor=Elsewhere())
    assert [(trial.number, trial.reward) for trial in log.read()] == [(0, 1.0), (0, 1.0), (1, 2.0), (1, 2.0)]
    assert {trial.architecture for trial in log.read()} == set(winners)
