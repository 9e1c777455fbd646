"""Each of these commands is one public call: the library does what the command line does."""

import json
from itertools import product

import pytest

import mnas
from tests.commands import run

MACRO = {"".join(code): {"mean_acc": 60.0 + sum(map(int, code))} for code in product("012", repeat=8)}


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory):
    path = tmp_path_factory.mktemp("macro") / "macro.json"
    path.write_text(json.dumps(MACRO))
    return f"tabular:{path}"


@pytest.fixture(scope="module")
def options(evaluator):
    return {"space": "nas-bench-macro", "evaluator": evaluator, "strategy": "evolution", "trials": 40, "batch": 10}


def line(options):
    return [word for name, value in options.items() for word in (f"--{name}", value)]


def contents(folder):
    """Every file of a study, without durations and the times at which it was made."""
    documents = {path.name: [json.loads(text) for text in _documents(path)] for path in folder.iterdir() if _kept(path)}
    for document in [each for each in documents.values() for each in each]:
        document.pop("seconds", None)
        document.pop("made_with", None)
    return documents


def _kept(path):
    return path.suffix in (".json", ".jsonl")


def _documents(path):
    return path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]


def test_search(options, tmp_path):
    run("search", *line(options), "--seed", 3, "--threads", 2, "--study", tmp_path / "command")
    report = mnas.run_study(mnas.SearchOptions(**options, seed=3, threads=2), tmp_path / "library")
    assert contents(tmp_path / "library") == contents(tmp_path / "command")
    assert report["best"] == json.loads((tmp_path / "command" / "best.json").read_text())
    assert report["num_trials"] == 40


def test_compare(evaluator):
    words = ("--strategies", "random,evolution", "--seeds", 2, "--trials", 20, "--budget-madds", 5e7, "--json")
    shown = json.loads(run("compare", "--space", "nas-bench-macro", "--evaluator", evaluator, *words))
    options = mnas.ComparisonOptions(
        space="nas-bench-macro",
        evaluator=evaluator,
        strategies=["random", "evolution"],
        seeds=2,
        trials=[20],
        budget_madds=5e7,
    )
    assert json.loads(json.dumps(mnas.compare_strategies(options).to_dict())) == shown


def test_survey(evaluator):
    shown = json.loads(run("space", "survey", "nas-bench-macro", "--evaluator", evaluator, "--samples", 20, "--json"))
    (found,) = mnas.survey_spaces(["nas-bench-macro"], evaluator=evaluator, num_samples=20)
    assert json.loads(json.dumps([found.to_dict()])) == shown


def test_reproduce(options, tmp_path):
    mnas.run_study(mnas.SearchOptions(**options), tmp_path / "study")
    shown = json.loads(run("reproduce", tmp_path / "study", "--json"))
    found = mnas.reproduce_study(tmp_path / "study")
    assert found.difference is None
    assert found.compared["trials"] == 40
    assert {"study": str(tmp_path / "study"), **found.to_dict()} == shown
