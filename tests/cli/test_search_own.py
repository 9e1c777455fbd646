"""`mnas search` with a user's own evaluator and strategy, and with a time limit for evaluations."""

import json
import sys

import pytest
from typer.testing import CliRunner

from mnas.cli.main import app
from mnas.errors import InputError
from mnas.trial import Trial
from tests.cli.test_search import SPACE

JUDGE = """
import time
from mnas.arch.complexity import complexity
from mnas.strategies.random import RandomSearch
from mnas.evaluators.base import Evaluator


def accuracy(architecture):
    if architecture.stages[0].block.kernel_size == 5:
        time.sleep(600)
    return 1 - complexity(architecture).params / 1e6


class Curves(Evaluator):
    num_rungs = 3

    def accuracy(self, architecture):
        return list(self.rungs(architecture))[-1]

    def rungs(self, architecture):
        final = 1 - complexity(architecture).params / 1e6
        yield from (final / 3, final / 2, final)

    def describe(self):
        return {"name": "curves", "rungs": 3}


class Mine(RandomSearch):
    pass
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "tiny.toml").write_text(SPACE)
    (tmp_path / "my_judge.py").write_text(JUDGE)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("my_judge", None)


def _search(*more):
    line = ["search", "--space", "tiny.toml", "--strategy", "python:my_judge:Mine", "--no-baseline", "--study", "study"]
    return CliRunner().invoke(app, [*line, *more])


def test_a_function_of_the_users_and_a_strategy_too_and_evaluations_that_hang(here):
    limit = ["--evaluation-minutes", "0.01", "--trials", "6", "--batch", "3"]
    done = _search("--evaluator", "python:my_judge:accuracy", *limit, "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    trials = [Trial.from_dict(json.loads(line)) for line in (here / "study" / "trials.jsonl").read_text().splitlines()]
    hung = [trial.architecture.stages[0].block.kernel_size == 5 for trial in trials]
    assert [trial.failed for trial in trials] == hung
    assert {trial.error for trial in trials if trial.failed} == {
        "the evaluation took longer than 0.01 minutes and was ended"
    }
    assert document["num_failed"] == sum(hung) > 0
    again = _search("--resume", *limit[:2], "--trials", "6", "--json")
    assert json.loads(again.stdout)["best"] == document["best"]


def test_an_evaluator_with_rungs_is_stopped_early_and_the_report_says_so(here):
    done = _search("--evaluator", "python:my_judge:Curves", "--trials", "60")
    assert done.exit_code == 0, done.output
    assert "of the steps were saved" in done.stdout


def test_a_time_limit_that_nothing_meets_changes_nothing(here):
    line = ["--evaluator", "python:my_judge:Curves", "--rungs", "3", "--trials", "20"]
    logs = []
    for limit in ([], ["--evaluation-minutes", "5"]):
        assert _search(*line, *limit).exit_code == 0
        text = (here / "study" / "trials.jsonl").read_text()
        logs.append([{**json.loads(each), "seconds": 0} for each in text.splitlines()])
        (here / "study").rename(here / f"study-{len(logs)}")
    assert logs[0] == logs[1]


def test_comparisons_have_a_time_limit_too(here):
    line = ["compare", "--space", "tiny.toml", "--strategies", "random,evolution", "--seeds", "2", "--batch", "3"]
    line += ["--trials", "9", "--json", "--evaluator"]
    documents = []
    for limit in ([], ["--evaluation-minutes", "5"]):
        done = CliRunner().invoke(app, [*line, "python:my_judge:Curves", "--budget-madds", "500000", *limit])
        assert done.exit_code == 0, done.output
        documents.append(json.loads(done.stdout))
    assert documents[0] == documents[1]
    done = CliRunner().invoke(app, [*line, "python:my_judge:accuracy", "--evaluation-minutes", "0.01"])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--evaluator", "python:nowhere:accuracy"], "cannot import nowhere"),
        (
            ["--evaluator", "python:my_judge:accuracy", "--evaluation-minutes", "0"],
            "evaluation_minutes is 0.0: expected a number from 0.001",
        ),
    ],
)
def test_what_is_wrong_is_said_before_any_work(here, more, said):
    done = _search(*more)
    assert isinstance(done.exception, InputError)
    assert said in str(done.exception)
    assert not (here / "study").exists()
