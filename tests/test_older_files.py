"""What mnas 0.1.0 wrote opens, goes on and comes out the same; see tests/fixtures/release_0_1/README.md."""

import csv
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mnas.errors import InputError
from mnas.latency.table import LatencyTable
from mnas.profiling import collect
from mnas.profiling.log import read_log
from mnas.profiling.profile import ProfileOptions, profile
from mnas.report.provenance import search_command
from mnas.space.files import load_space
from mnas.study.study import Study
from mnas.system.environment import differences, environment
from tests.commands import run as run_here
from tests.profiling.fakes import FakeDevice, with_all_bursts

FOLDER = Path(__file__).parent / "fixtures" / "release_0_1"
GOLDEN = sorted(path.stem for path in (FOLDER / "golden").iterdir())


def run(*arguments):
    """As `tests.commands.run`, but in another process once TensorFlow has its threads: they are part of a study."""
    if "tensorflow" not in sys.modules:
        return run_here(*arguments)
    line = [sys.executable, "-m", "mnas", *map(str, arguments)]
    environ = {**os.environ, "PYTHONPATH": str(FOLDER.parents[2])}
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=environ)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(autouse=True)
def old(tmp_path, monkeypatch):
    """A copy of the files, which is the working directory: what the files name by a path stands beside them."""
    shutil.copytree(FOLDER, tmp_path / "old")
    monkeypatch.chdir(tmp_path / "old")
    monkeypatch.syspath_prepend(str(tmp_path / "old"))
    return tmp_path / "old"


def _found(study):
    """Stages and reward of every trial, as a golden file has them."""
    trials = map(json.loads, (Path(study) / "trials.jsonl").read_text().splitlines())
    return ["|".join(trial["architecture"]["stages"]) + f" {trial['reward']!r}" for trial in trials]


def _golden(name):
    options, *found = (FOLDER / "golden" / f"{name}.txt").read_text().splitlines()
    return options.split(), found


def _mark(name):
    with_tensorflow = name.startswith(("reinforce", "ppo"))
    return pytest.param(name, marks=pytest.mark.tensorflow) if with_tensorflow else name


@pytest.mark.parametrize("name", map(_mark, GOLDEN))
def test_a_search_finds_what_it_found(name):
    options, found = _golden(name)
    line = ["--space", "tiny.toml", "--evaluator", "tabular:accuracies.json", "--threads", 1, "--trials", 60]
    run("search", *line, "--no-baseline", "--study", "again", "--json", *options)
    assert _found("again") == found
    assert len(found) == 60


@pytest.mark.parametrize(
    ("name", "trials", "finalists", "repeats", "updates"),
    [
        ("finished", 60, 0, 0, 6),
        ("trained_candidates", 6, 2, 4, 2),
        ("supernet", 3, 1, 0, 0),
        ("predictor", 20, 1, 0, 0),
    ],
)
def test_a_finished_study_is_reported_and_priced(name, trials, finalists, repeats, updates):
    best = json.loads(Path(name, "best.json").read_text())
    document = json.loads(run("report", name, "--json", "--csv", "sheets"))
    assert document["num_trials"] == trials
    assert {key: document["best"][key] for key in ("number", "reward", "architecture")} == {
        key: best[key] for key in ("number", "reward", "architecture")
    }
    assert len(Study.open(name).log("finalists").read()) == finalists
    assert len(Study.open(name).log("repeats").read()) == repeats
    assert (document["baseline"] is not None) == (name in ("finished", "trained_candidates"))
    page = Path(name, "report.html").read_text()
    assert "plot-front" in page
    assert ("plot-entropy" in page) == bool(updates)
    with Path("sheets", "trials.csv").open() as file:
        assert sum(row["phase"] == "trials" for row in csv.DictReader(file)) == trials
    cost = json.loads(run("cost", name, "--table", "table.json", "--json"))
    assert (cost["params"], cost["madds"]) == (best["params"], best["madds"])
    assert json.loads(run("cost", f"{name}#1", "--json"))["params"] > 0


def test_the_report_has_family_bench_and_table():
    document = json.loads(run("report", "finished", "--json"))
    assert [member["name"] for member in document["family"]] == ["phi0", "phi1", "phi2"]
    with Path("finished", "family", "family.csv").open() as file:
        params = [int(row["params"]) for row in csv.DictReader(file)]
    assert [member["params"] for member in document["family"]] == params
    bench = json.loads(Path("finished", "bench.json").read_text())
    assert document["benches"][0]["ratio"] == pytest.approx(bench["ratio"])
    (device,) = document["devices"]
    assert device["latency_ms"] == document["best"]["latency_ms"]
    assert device["report_card"]["num_networks"] > 10


def test_an_unfinished_study_goes_on_to_the_same_end(caplog):
    before = _found_whole_lines("unfinished")
    assert len(before) == 33
    document = json.loads(run_here("search", "--resume", "--study", "unfinished", "--json"))
    assert document["num_trials"] == 60
    assert _found("unfinished") == _golden("evolution")[1]
    assert _found("unfinished")[:33] == before
    assert "unfinished/trials.jsonl" in caplog.text
    assert "removed" in caplog.text


def _found_whole_lines(study):
    path = Path(study, "trials.jsonl")
    whole, _, torn = path.read_text().rpartition("\n")
    assert torn
    assert not torn.endswith("}")
    return [
        "|".join(trial["architecture"]["stages"]) + f" {trial['reward']!r}"
        for trial in map(json.loads, whole.splitlines())
    ]


def test_an_unfinished_study_is_reported():
    document = json.loads(run("report", "unfinished", "--json"))
    assert (document["num_trials"], document["best"]) == (33, None)


@pytest.mark.parametrize("name", [pytest.param("finished", marks=pytest.mark.tensorflow), "unfinished"])
def test_a_study_is_reproduced(name):
    found = json.loads(run("reproduce", name, "--json"))
    assert found["difference"] is None
    counted = {"finished": {"trials": 60, "baseline": 60}, "unfinished": {"trials": 33}}
    assert {log: count for log, count in found["compared"].items() if count} == counted[name]


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["trained_candidates", "predictor"])
def test_a_study_that_trained_is_resumed_without_training_anything(name):
    logs = {path.name: path.read_bytes() for path in Path(name).glob("*.json*")}
    run("search", "--resume", "--study", name, "--json")
    for file, content in logs.items():
        assert Path(name, file).read_bytes() == content, file


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["trained_candidates", "predictor"])
def test_short_trainings_are_the_same_on_the_same_machine(name):
    different = differences(Study.open(name).made_with, environment())
    if different:
        pytest.skip(f"it was made elsewhere: {'; '.join(different)}")
    found = json.loads(run("reproduce", name, "--json"))
    assert found["difference"] is None


@pytest.mark.tensorflow
def test_the_predictor_that_is_kept_scores_further_trials():
    content = Path("predictor", "predictor.json").read_bytes()
    more = len(Study.open("predictor").trials) + 10
    document = json.loads(run("search", "--resume", "--study", "predictor", "--trials", more, "--json"))
    assert document["num_trials"] == more
    assert Path("predictor", "predictor.json").read_bytes() == content


@pytest.mark.parametrize("line", ["search --resume --study supernet", "reproduce supernet"])
def test_a_study_with_a_supernet_says_what_to_use_instead(line):
    before = {path.name: path.read_bytes() for path in Path("supernet").iterdir()}
    with pytest.raises(InputError, match=r"supernet was removed, .*: use --evaluator library --teacher FOLDER"):
        run_here(*line.split())
    assert {path.name: path.read_bytes() for path in Path("supernet").iterdir()} == before


@pytest.mark.parametrize("name", ["finished", "supernet"])
def test_a_command_that_searches_again_has_no_removed_options(name):
    words = search_command(Study.open(name))
    assert "--supernet" not in words
    assert "--inherit" not in words
    assert "--trials" in words


def test_a_latency_table_is_shown_compared_and_calibrated():
    document = json.loads(run("table", "show", "table.json", "--html", "table.html", "--json"))
    assert document["num_entries"] == 54
    assert document["report_card"]["num_networks"] > 10
    assert document["sha256"] == json.loads(Path("finished", "study.json").read_text())["config"]["tables"][0]["sha256"]
    run("table", "calibrate", "table.json", "--from", "measurements.json", "--out", "again.json")
    assert LatencyTable.load("again.json") == LatencyTable.load("calibrated.json")
    compared = json.loads(run("table", "compare", "table.json", "calibrated.json", "--json"))
    assert compared["num_shared"] == 54
    assert compared["ratio"] == 1


def test_a_measurement_is_added_to_older_ones():
    from mnas.arch import zoo
    from mnas.latency.calibration import read_configuration, read_measurements
    from mnas.latency.measurements import append_measurement

    path = Path("measurements.json")
    assert append_measurement(path, zoo("mnasnet-a1"), 1.5, read_configuration(path)) == 7
    assert len(read_measurements(path)) == 7


def test_a_profile_goes_on_from_its_log(monkeypatch):
    monkeypatch.setattr(collect, "LEAST", 24)
    monkeypatch.setattr(collect, "MOST", 24)
    space, options = load_space("tiny.toml"), ProfileOptions(minutes=10.0)
    with_all_bursts(monkeypatch)
    log = Path("unfinished.json.log")
    log.write_text(log.read_text().replace('"minutes": 0.05', '"minutes": 10.0'))
    kept = len(log.read_text().splitlines()) - 1
    device, undisturbed = FakeDevice(noise=0.0), FakeDevice(noise=0.0)
    device.pace = undisturbed.pace = replace(device.pace, wave_networks=6)
    table = profile(space, device, Path("unfinished.json"), options)
    assert device.loaded == 2 + 24 - kept  # 2 are references
    assert table == profile(space, undisturbed, Path("whole.json"), options)
    assert read_log(log).space == space.to_dict(), "which logs of 0.1.0 lack"


def test_a_comparison_comes_out_the_same():
    before = json.loads(Path("comparison.json").read_text())
    again = json.loads(run("compare", "--file", "compare.toml", "--json"))
    assert {**again, "results": None} == {**before, "results": None}
    for one, other in zip(again["results"], before["results"], strict=True):
        for row, expected in zip(one["strategies"], other["strategies"], strict=True):
            for name in ("strategy", "mean_best", "mean_rank"):
                assert row[name] == expected[name]
            assert row["interval"] == pytest.approx(expected["interval"], abs=0.01)


def test_coefficients_scale_as_they_did():
    before = json.loads(Path("scaled.json").read_text())
    line = ["network.json", "--phi", 1, "--coefficients", "coefficients.json", "--table", "table.json", "--json"]
    again = json.loads(run("scale", *line))
    assert "extrapolated table" in again  # since then
    assert again.keys() - {"extrapolated table"} == before.keys()
    del again["extrapolated table"]
    # What the table lacks is priced by a fit, since then by SciPy's. Its interval and the memory are estimated anew.
    assert again.pop("latency_ms table") == pytest.approx(before.pop("latency_ms table"), rel=1e-6)
    assert again.pop("interval_ms table") == pytest.approx(before.pop("interval_ms table"), rel=0.02)
    assert {**again, "memory_bytes": 0} == {**before, "memory_bytes": 0}
    run("scale", "network.json", "--grid", "--evaluator", "python:accuracies:of", "--out", "again.json", "--json")
    assert json.loads(Path("again.json").read_text()) == json.loads(Path("coefficients.json").read_text())


def test_an_exported_file_is_described_as_it_is():
    document = json.loads(run("bench", "exported.tflite", "--table", "table.json", "--seconds", 0.2, "--json"))
    assert document["predicted_ms"] == json.loads(Path("finished", "bench.json").read_text())["predicted_ms"]
    assert json.loads(run("cost", "exported.json", "--json"))["params"] > 0
    run("bench", "exported.tflite", "--append", "own.json", "--seconds", 0.2)
    kept = json.loads(Path("own.json").read_text())
    assert kept["configuration"]["dtype"] == "float32"


@pytest.mark.tensorflow
def test_a_trained_network_is_opened_and_exported():
    from mnas.train.trained_network import open_trained

    trained = open_trained(Path("trained"))
    dataset = trained.load_data()
    assert dataset.fingerprint == trained.training["configuration"]["data"]["fingerprint"]
    document = json.loads(run("export", "trained", "--out", "again.tflite", "--json"))
    before = json.loads(Path("exported.json").read_text())
    assert document["check"]["accuracy_tflite"] == pytest.approx(before["check"]["accuracy_tflite"], abs=0.005)
    assert document["test_accuracy"] == before["test_accuracy"] > 0.9
    for name in ("architecture", "operators", "training", "class_names", "output"):
        assert document[name] == before[name], name
    added = {"preparation": document["input"]["preparation"]}
    assert document["input"] == {**before["input"], **added}
    # The same command again finds its work done.
    line = ["network.json", "--data", "digits", "--epochs", 8, "--batch-size", 32, "--learning-rate", 0.01]
    again = json.loads(run("train", *line, "--out", "trained", "--json"))
    assert again["history"] == trained.training["history"]


@pytest.mark.tensorflow
def test_an_interrupted_training_goes_on_from_its_checkpoint(caplog):
    before = json.loads(Path("resumed.json").read_text())
    first = json.loads(Path("interrupted", "progress.json").read_text())["history"]
    line = ["network.json", "--data", "digits", "--limit", 200, "--epochs", 2, "--batch-size", 32]
    document = json.loads(run("train", *line, "--out", "interrupted", "--resume", "--json"))
    assert document["history"][0] == first[0]
    assert document["history"][1]["loss"] == pytest.approx(before["history"][1]["loss"], rel=1e-3)
    assert document["configuration"] == before["configuration"]
    assert "starts again" not in caplog.text
    left = {path.name for path in Path("interrupted").iterdir()}
    assert {"architecture.json", "training.json"} <= left
    assert not {"progress.json", "checkpoint-1.npz"} & left
