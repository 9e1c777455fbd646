import json
from contextlib import nullcontext
from importlib import metadata
from types import SimpleNamespace

import pytest

from mnas.errors import InputError
from mnas.experiments.reproduce import reproduce, reproduce_study
from mnas.search.objective import Objective
from mnas.search.run import Search, run_search
from mnas.strategies.registry import make_strategy
from mnas.study.study import Study
from mnas.study.trial_log import TrialLog
from mnas.system.environment import differences, environment
from tests.conftest import FakeEvaluator

CONFIG = {"seed": 1, "tables": [{"sha256": "ab", "budget_ms": 1000.0}]}


def _search(space, objective, num_trials=40):
    strategy, baseline = (make_strategy(name, space, seed=1) for name in ("evolution", "random"))
    finals = Objective(FakeEvaluator(space, bonus=0.05), objective.reward, objective.budgets)
    return Search(strategy, objective, num_trials, 10, baseline, finals, num_finalists=3)


@pytest.fixture
def study(tmp_path, space, objective):
    made = Study.create(tmp_path / "study", CONFIG)
    run_search(made, _search(space, objective))
    return made


def _edit(study, name, number, change):
    path = study.folder / f"{name}.jsonl"
    lines = path.read_text().splitlines()
    plain = json.loads(lines[number])
    change(plain)
    lines[number] = json.dumps(plain)
    path.write_text("\n".join(lines) + "\n")


def test_a_study_is_reproduced_whole(study, space, objective):
    before = {path.name: path.read_bytes() for path in study.folder.iterdir()}
    found = reproduce(study, _search(space, objective), CONFIG)
    assert found.difference is None
    assert found.environment == []
    assert found.compared == {
        "trials": 40,
        "confirmed": 0,
        "finalists": 3,
        "baseline": 40,
        "baseline_finalists": 3,
        "repeats": 0,
    }
    assert {path.name: path.read_bytes() for path in study.folder.iterdir()} == before


def test_the_first_difference_in_the_last_bit_is_named(study, space, objective):
    def change(plain):
        plain["measurement"]["accuracy"] += 1e-16
        plain["seconds"] = 99

    _edit(study, "trials", 17, change)
    _edit(study, "trials", 3, lambda plain: plain.update(seconds=99))
    found = reproduce(study, _search(space, objective), CONFIG)
    assert found.difference.startswith("trials, trial 17: measurement.accuracy was ")
    assert found.compared["trials"] == 17


def test_another_winner_is_a_difference(study, space, objective):
    best = json.loads((study.folder / "best.json").read_text())
    (study.folder / "best.json").write_text(json.dumps({**best, "reward": 0.123}))
    found = reproduce(study, _search(space, objective), CONFIG)
    assert found.difference.startswith("best.json.reward was 0.123")


def test_an_unfinished_study_is_compared_as_far_as_it_went(study, space, objective):
    for name in ("finalists", "baseline", "baseline_finalists"):
        (study.folder / f"{name}.jsonl").unlink()
    for name in ("best", "baseline_best"):
        (study.folder / f"{name}.json").unlink()
    log = study.folder / "trials.jsonl"
    log.write_text("".join(line + "\n" for line in log.read_text().splitlines()[:13]))
    found = reproduce(study, _search(space, objective), CONFIG)
    assert found.difference is None
    assert found.compared["trials"] == len(TrialLog(log).read()) == 13


def test_trials_that_the_log_lacks_are_not_counted(study, space, objective):
    """Workers finish in any order: where a search was killed, numbers are missing in between."""
    for name, kept in (("trials", [0, 1, 2, 4, 7]), ("baseline", [0, 3]), ("baseline_finalists", [])):
        path = study.folder / f"{name}.jsonl"
        lines = [line for line in path.read_text().splitlines() if json.loads(line)["number"] in kept]
        path.write_text("".join(line + "\n" for line in lines))
    (study.folder / "finalists.jsonl").unlink()
    for name in ("best", "baseline_best"):
        (study.folder / f"{name}.json").unlink()
    seen = []
    on_trial = lambda phase, trial: seen.append((phase, trial.number))  # noqa: E731
    found = reproduce(study, _search(space, objective), CONFIG, on_trial=on_trial)
    assert found.difference is None
    assert found.compared == {
        "trials": 5,
        "confirmed": 0,
        "finalists": 0,
        "baseline": 2,
        "baseline_finalists": 0,
        "repeats": 0,
    }
    assert seen == [("trials", n) for n in (0, 1, 2, 4, 7)] + [("baseline", n) for n in (0, 3)]


def test_an_optional_package_counts_only_where_the_study_names_it(monkeypatch):
    def version(name):
        if name == "cmaes":
            raise metadata.PackageNotFoundError(name)
        return {"optuna": "4.0"}.get(name, "1.0")

    monkeypatch.setattr(metadata, "version", version)
    now = environment()
    assert (now["optuna"], now["ai-edge-litert"]) == ("4.0", "1.0")
    assert "cmaes" not in now
    old = {name: value for name, value in now.items() if name not in ("optuna", "ai-edge-litert")}
    assert differences(old, now) == []
    assert differences({**now, "optuna": "3.0"}, now) == ["optuna was 3.0 when the study began and is 4.0 now"]
    assert differences({**now, "cmaes": "1"}, now) == ["cmaes was 1 when the study began and is not installed now"]


def test_another_table_is_said_before_anything_is_run(study, space, objective, evaluator):
    evaluator.calls.clear()
    with pytest.raises(InputError, match=r"tables\[0\].sha256 was 'ab' and is 'cd' now"):
        reproduce(study, _search(space, objective), {**CONFIG, "tables": [{"sha256": "cd", "budget_ms": 1000.0}]})
    assert evaluator.calls == []


def test_another_version_is_named(study, space, objective):
    study.made_with["tensorflow"] = "1.0"
    found = reproduce(study, _search(space, objective), CONFIG)
    assert any(said.startswith("tensorflow was 1.0 when the study began") for said in found.environment)


def test_a_study_is_reproduced_with_data_that_have_moved(tmp_path, space, objective, monkeypatch):
    options = {"data": "photos", "strategy": "evolution", "table": ["t.json"], "budget_ms": [5.0]}
    study = Study.create(tmp_path / "study", CONFIG, options)
    run_search(study, _search(space, objective))
    asked = []

    def prepare(options, begun_with):
        asked.append(options.data)
        return SimpleNamespace(search=_search(space, objective), config=begun_with)

    monkeypatch.setattr("mnas.experiments.reproduce.load_tensorflow_for", lambda options: None)
    monkeypatch.setattr("mnas.experiments.reproduce.prepare", prepare)
    monkeypatch.setattr("mnas.experiments.reproduce.open_executor", lambda *options, **more: nullcontext())
    assert reproduce_study(study.folder).difference is None
    assert reproduce_study(study.folder, data="/mnt/photos").difference is None
    assert asked == ["photos", "/mnt/photos"]
