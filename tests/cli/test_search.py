import json
import subprocess
import sys

import numpy as np
import pytest

from mnas.arch.codec import architecture_from_dict
from mnas.space.files import load_space
from mnas.train.tabular import stages_text

SPACE = """
name = "tiny"
resolution = 16
num_classes = 10
stem_filters = 8
stem_stride = 1
head_filters = 32

[choices]
op = ["sepconv", "mbconv3", "mbconv6"]
kernel_size = [3, 5]
se_ratio = [0]
skip = ["identity"]
filters = [8, 12]

[[stages]]
stride = 1
repeats = [1]

[[stages]]
stride = 2
repeats = [1, 2]
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with a space of 288 architectures and a file of their accuracies."""
    (tmp_path / "tiny.toml").write_text(SPACE)
    space = load_space(str(tmp_path / "tiny.toml"))
    accuracies = {}
    for indices in np.ndindex(*(len(decision.choices) for decision in space.decisions)):
        accuracies[stages_text(space.decode(indices))] = 0.5 + 0.04 * sum(indices)
    document = {"format": "mnas.accuracies", "version": 1, "accuracies": accuracies}
    (tmp_path / "acc.json").write_text(json.dumps(document))
    return tmp_path


def _mnas(folder, *arguments):
    command = [sys.executable, "-m", "mnas", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=_environment())


def _environment():
    import os
    from pathlib import Path

    root = str(Path(__file__).parents[2])
    return {**os.environ, "PYTHONPATH": root}


def _search(folder, *more, strategy="evolution"):
    line = ["search", "--space", "tiny.toml", "--evaluator", "tabular:acc.json", "--strategy", strategy]
    return _mnas(folder, *line, "--study", "study", *more)


def test_search_resume_and_report(folder):
    done = _search(folder, "--trials", "60", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["num_trials"] == 60
    assert set(document["best"]) >= {"architecture", "accuracy", "latency_ms", "reward", "number"}
    architecture_from_dict(document["best"]["architecture"])
    assert document["best"]["accuracy"] == max(row["accuracy"] for row in document["top"])
    assert document["baseline"]["num_trials"] == 60

    again = _search(folder, "--trials", "60")
    assert again.returncode == 2
    assert "add --resume" in again.stderr

    other = _search(folder, "--trials", "60", "--seed", "5", "--resume")
    assert other.returncode == 2
    assert "seed was 0 and is 5 now" in other.stderr

    more = _mnas(folder, "search", "--resume", "--study", "study", "--trials", "80", "--json")
    assert more.returncode == 0, more.stderr
    assert json.loads(more.stdout)["num_trials"] == 80

    shown = _mnas(folder, "report", "study")
    assert shown.returncode == 0, shown.stderr
    assert "random search at equal cost" in shown.stdout
    assert "mnas cost study" in shown.stdout
    listed = json.loads(_mnas(folder, "report", "study", "--json").stdout)
    assert listed["best"] == json.loads(more.stdout)["best"]

    winner = json.loads(_mnas(folder, "cost", "study", "--json").stdout)
    assert winner["params"] == listed["best"]["params"]


def test_dry_run_writes_nothing(folder):
    done = _search(folder, "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["num_trials"] == 200
    assert not (folder / "study").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--strategy", "magic"], "no strategy is called 'magic'"),
        (["--evaluator", "oracle"], "no evaluator is called 'oracle'"),
        (["--evaluator", "tabular"], "tabular:FILE.json"),
        (["--evaluator", "tabular:none.json"], "cannot read a table of accuracies from none.json"),
        (["--evaluator", "proxy"], "--evaluator proxy needs --data"),
        (["--budget-ms", "3"], "0 latency tables and 1 budgets"),
        (["--space", "moon"], "no space is called 'moon'"),
        (["--reward", "vast"], "no reward is called 'vast'"),
    ],
)
def test_bad_arguments_get_one_message_and_exit_2(folder, arguments, message):
    done = _search(folder, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "study").exists()
