import dataclasses
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from mnas.arch.codec import architecture_from_dict
from mnas.arch.complexity import block_complexity
from mnas.cli.main import app
from mnas.errors import InputError
from mnas.evaluators.tabular import stages_text
from mnas.latency.table import Configuration, Entry, LatencyTable
from mnas.search.options import SearchOptions
from mnas.space.files import load_space
from mnas.study.study import Study

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
    _table(space).save(tmp_path / "table.json")
    return tmp_path


def _table(space):
    """Multiply-adds in thousands stand in for milliseconds."""
    configuration = Configuration("local", "soc", "cpu", "os", "litert", "2.3", "xnnpack", "float32", 1)
    entries = {placed.key: Entry(block_complexity(placed).madds / 1e3, 0.0, 1) for placed in space.placed_blocks()}
    return LatencyTable(configuration, space.name, space.resolution, "2026-01-01", "made up", "0.1.0", 0, 0, entries)


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


def test_the_winner_is_within_every_budget(folder):
    more = ["--table", "table.json", "--budget-ms", "500", "--table", "table.json", "--budget-ms", "300"]
    done = _search(folder, "--trials", "40", *more, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["best"]["latency_ms"] <= 300
    assert document["budgets_ms"] == [500, 300]
    assert document["next"][0] == "mnas cost study --table table.json"
    (folder / "table.json").rename(folder / "moved.json")
    moved = ["--table", "moved.json", "--budget-ms", "500", "--table", "moved.json", "--budget-ms", "300"]
    again = _search(folder, "--trials", "40", *moved, "--resume", "--json")
    assert again.returncode == 0, again.stderr
    tighter = _mnas(folder, "search", "--study", "study", "--resume", *moved[:-1], "200")
    assert tighter.returncode == 2
    assert "tables[1].budget_ms was 300.0 and is 200.0 now" in tighter.stderr


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ("1", "the fastest takes "),
        ("0", "budget_ms[0] is 0.0: expected a positive number of ms"),
        ("nan", "budget_ms[0] is nan"),
    ],
)
def test_an_impossible_budget_is_refused_before_any_work(folder, budget, message):
    done = _search(folder, "--table", "table.json", "--budget-ms", budget)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (folder / "study").exists()


def test_a_table_of_another_space_is_refused(folder):
    done = _search(folder, "--space", "mnasnet-16", "--table", "table.json", "--budget-ms", "9")
    assert done.returncode == 2
    assert "has no entry" in done.stderr
    done = _search(folder, "--space", "mnasnet-32", "--table", "table.json", "--budget-ms", "9")
    assert done.returncode == 2
    assert "is for networks of 16 px (tiny) and mnasnet-32 has 32 px" in done.stderr


@pytest.mark.tensorflow
def test_reinforce_is_replayed_in_another_process(folder):
    for trials in ("25", "50"):
        done = _search(folder, "--trials", trials, "--no-baseline", "--resume", "--json", strategy="reinforce")
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        assert document["num_trials"] == int(trials)
        assert document["baseline"] is None


def test_dry_run_writes_nothing(folder):
    done = _search(folder, "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["num_trials"] == 200
    assert not (folder / "study").exists()


@pytest.fixture
def paced(monkeypatch):
    """What `mnas search` fits into how many minutes, and the size it then searches with; nothing is trained."""
    asked = []

    def fit_into(options, minutes, given, *, workers, stretch):
        asked.append((minutes, workers))
        return dataclasses.replace(options, trials=24)

    def run_study(options, folder, **how):
        asked.append(options.trials)

    monkeypatch.setattr("mnas.search.sizing.fit_into", fit_into)
    monkeypatch.setattr("mnas.search.session.run_study", run_study)
    monkeypatch.setattr("mnas.search.sizing.load_tensorflow_for", lambda options: None)
    return asked


def _paced(asked, *more, study="study"):
    asked.clear()
    line = ["search", "--data", "digits", "--strategy", "random", "--study", study, "--json", *more]
    done = CliRunner().invoke(app, [str(word) for word in line])
    assert done.exit_code == 0, done.output
    return " ".join(done.stderr.split())


def test_a_search_of_no_size_takes_fifteen_minutes_and_says_so(paced, tmp_path):
    said = _paced(paced, study=tmp_path / "study")
    assert paced == [(15, 1), 24]
    assert said == (
        "No search size given; using 15 minutes: 24 trials of 200 steps in batches of 10, 3 finalists of 1000 steps."
    )
    assert _paced(paced, "--workers", "2", "--finalists", "2", study=tmp_path / "study")
    assert paced == [(15, 2), 24]
    assert "In 7 minutes: 24 trials" in _paced(paced, "--minutes", "7", "--trials", "5", study=tmp_path / "study")
    assert paced == [(7, 1), 24]


@pytest.mark.parametrize(
    "more",
    [
        ["--trials", "100"],
        ["--proxy-steps", "50"],
        ["--final-steps", "500"],
        ["--evaluator", "predictor"],
    ],
)
def test_a_search_of_some_size_is_as_large_as_it_says(paced, tmp_path, more):
    assert _paced(paced, *more, study=tmp_path / "study") == ""
    assert paced == [100]


def test_minutes_count_with_resume_until_there_is_a_study(paced, tmp_path):
    _paced(paced, "--minutes", "7", "--resume", study=tmp_path / "study")
    assert paced == [(7, 1), 24]
    kept = SearchOptions(data="digits", strategy="random", trials=40).to_dict()
    Study.create(tmp_path / "study", {}, kept)
    for more in ([], ["--minutes", "7"]):
        assert _paced(paced, *more, "--resume", study=tmp_path / "study") == ""
        assert paced == [40]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--strategy", "magic"], "unknown strategy 'magic'"),
        (["--evaluator", "oracle"], "unknown evaluator 'oracle'"),
        (["--evaluator", "tabular"], "tabular:FILE.json"),
        (["--evaluator", "tabular:none.json"], "cannot read a table of accuracies from none.json"),
        (["--evaluator", "proxy"], "--evaluator proxy needs --data"),
        (["--evaluator", "supernet"], "the evaluator supernet was removed, because it did not rank candidates: use"),
        (["--strategy", "differentiable"], "differentiable needs an accuracy that is a sum over the space's decisions"),
        (
            ["--strategy", "tunas"],
            "the strategy tunas was removed together with the evaluator supernet: use --strategy",
        ),
        (
            ["--supernet-steps", "9"],
            "--supernet-steps was removed together with the evaluator supernet: use --evaluator",
        ),
        (["--supernet-sampling=fair"], "--supernet-sampling was removed"),
        (["--no-inherit"], "--no-inherit was removed together with the evaluator supernet: use --evaluator library"),
        (["--evaluator", "predictor"], "--evaluator predictor needs --data"),
        (["--budget-ms", "3"], "0 latency tables and 1 budgets"),
        (["--space", "moon"], "unknown space 'moon'"),
        (["--reward", "vast"], "unknown reward 'vast'"),
        (["--class-weights", "heavy"], "--class-weights is 'heavy': expected one of none, balanced"),
        (["--class-weights", "balanced"], "is for the fine-tuning of --evaluator library, and the evaluator is"),
        (["--augment", "mirror"], "--augment is 'mirror': expected one of none, shift, flip, rand"),
        (["--augment", "shift"], "--augment shift is for evaluators that train, and the evaluator is tabular:"),
        (["--evaluator", "proxy", "--data", "digits", "--augment", "rand"], "--augment rand is for full trainings"),
    ],
)
def test_bad_arguments_get_one_message_and_exit_2(folder, arguments, message):
    done = _search(folder, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "study").exists()


@pytest.mark.tensorflow
def test_a_predictor_is_taught_once_and_trains_no_candidate(folder):
    line = ["search", "--space", "tiny.toml", "--evaluator", "predictor", "--data", "digits", "--limit", "300"]
    line += ["--predictor-samples", "5", "--proxy-steps", "2", "--proxy-batch", "16", "--final-steps", "2"]
    line += ["--strategy", "evolution", "--finalists", "1", "--no-baseline", "--study", "study", "--json"]
    done = _mnas(folder, *line, "--trials", "100")
    assert done.returncode == 0, done.stderr
    assert "sample 5 of 5" in done.stderr
    assert len(json.loads((folder / "study" / "predictor.json").read_text())["samples"]) == 5
    more = _mnas(folder, *line, "--trials", "200", "--resume")
    assert more.returncode == 0, more.stderr
    assert json.loads(more.stdout)["num_trials"] == 200
    assert "sample" not in more.stderr


def test_scalars_for_tensorboard_and_plain_lines_of_progress(folder):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    done = _search(folder, "--trials", "20", "--tensorboard", "scalars", "--json")
    assert done.returncode == 0, done.stderr
    assert {path.parent.name for path in (folder / "scalars").rglob("events*")} == {"trials", "baseline"}
    assert "search: 20 of 20, best #" in done.stderr
    assert "\x1b" not in done.stderr, "no bars where there is no terminal"


def test_a_study_that_is_mirrored_goes_on_where_nothing_of_it_was(folder):
    pytest.importorskip("fsspec", reason="fsspec is not installed: pip install 'mnas[remote]'")
    elsewhere = ["--mirror", f"file://{folder}/bucket/study"]
    done = _search(folder, "--trials", "20", *elsewhere)
    assert done.returncode == 0, done.stderr
    assert {"study.json", "trials.jsonl", "best.json"} <= {path.name for path in (folder / "bucket/study").iterdir()}
    (folder / "study").rename(folder / "first")
    again = _search(folder, "--trials", "20", *elsewhere)
    assert "add --resume to resume it" in again.stderr
    shutil.rmtree(folder / "study")
    more = _mnas(folder, "search", "--resume", "--study", "study", "--trials", "30", *elsewhere, "--json")
    assert more.returncode == 0, more.stderr
    assert json.loads(more.stdout)["num_trials"] == 30
    first = (folder / "first" / "trials.jsonl").read_text()
    assert (folder / "study" / "trials.jsonl").read_text().startswith(first)
    assert (folder / "bucket/study/trials.jsonl").read_text() == (folder / "study" / "trials.jsonl").read_text()


def test_reproduce_names_what_is_not_the_same_first(folder):
    table = ["--table", "table.json", "--budget-ms", "500"]
    assert _search(folder, "--trials", "20", *table).returncode == 0
    path = folder / "study" / "study.json"
    document = json.loads(path.read_text())
    document["made_with"].update(cpu="a Z80", tensorflow="1.0", num_cpus=4096)
    path.write_text(json.dumps(document))
    done = _mnas(folder, "reproduce", "study")
    assert done.returncode == 0, done.stderr
    assert "reproduced to the last bit: 20 trials" in done.stdout
    said = done.stderr.split("Running study again")[0]
    for name, before in (("cpu", "a Z80"), ("tensorflow", "1.0"), ("num_cpus", "4096")):
        assert f"Not the same: {name} was {before} when the study began" in " ".join(said.split())
    changed = json.loads((folder / "table.json").read_text())
    changed["overhead_ms"] = 1.0
    (folder / "table.json").write_text(json.dumps(changed))
    other = _mnas(folder, "reproduce", "study")
    assert other.returncode == 2
    assert "its inputs have changed: tables[0].sha256" in " ".join(other.stderr.split())


@pytest.mark.parametrize(
    ("evaluator", "option"),
    [
        (["--library", "lib"], ["--proxy-steps", "50"]),
        (["--library", "lib"], ["--rungs", "3"]),
        (["--library", "lib"], ["--max-train-images", "100"]),
        (["--data", "digits"], ["--distill", "0.3"]),
        (["--data", "digits"], ["--measure-finalists", "adb"]),
    ],
)
def test_options_that_the_evaluator_does_not_read_are_refused(tmp_path, evaluator, option):
    result = CliRunner().invoke(app, ["search", *evaluator, *option, "--study", str(tmp_path / "study")])
    assert isinstance(result.exception, InputError)
    assert f"{option[0]} has no effect with the evaluator" in str(result.exception)
    assert not (tmp_path / "study").exists()


def test_an_interruption_before_the_study_begins_says_how_to_go_on(tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("mnas.search.session.run_study", interrupted)
    monkeypatch.setattr("mnas.cli.search._observers", lambda *_: [])
    result = CliRunner().invoke(app, ["search", "--teacher", "train", "--data", "digits", "--study", str(tmp_path)])
    assert "Interrupted: the same command resumes." in result.output
