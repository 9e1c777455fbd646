"""`mnas menu` and `mnas design`: what they print, and what they refuse."""

import json
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from mnas.arch.zoo import zoo
from mnas.cli.main import app
from mnas.errors import InputError
from mnas.space.around import space_around
from mnas.study.menu import TriedMenu, TriedNetwork, write_menu
from mnas.study.study import Study
from mnas.study.summary import menu, report
from tests.commands import run
from tests.latency.tables import make_table
from tests.spaces import small_space

LITE = "efficientnet-lite0"
TRIED = TriedMenu(
    3.0,
    (
        TriedNetwork(LITE, 64, 2.9, 3.01, 0.7, 0.82, 0.81, "efficientnet-lite0-64px-seed0"),
        TriedNetwork("mobilenet-v2-0.5", 96, 2.5, None, 0.6),
    ),
)


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    path = tmp_path / "table.json"
    make_table(space_around(zoo(LITE), resolutions=(96, 64), kernel_sizes=(3, 5))).save(path)
    return path


def test_networks_are_listed_with_their_published_accuracy(table):
    shown = run("menu", "--table", table, "--budget-ms", "5")
    assert "mobilenet-v2-0.35" in shown
    assert "45.5 %" in shown
    assert "The table lacks an operator of: mnasnet-a1" in shown
    document = json.loads(run("menu", "--table", table, "--budget-ms", "5", "--networks", LITE, "--json"))
    assert {row["name"] for row in document["items"]} == {LITE}
    assert all(row["predicted_ms"] <= 5 for row in document["items"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "needs --table and --budget-ms"),
        (["--budget-ms", "5", "--data", "digits"], "needs --table"),
        (["--study", "no/such"], "no/such"),
    ],
)
def test_what_is_missing_is_said(words, said):
    with pytest.raises(InputError, match=said):
        run("menu", *words)


def test_images_need_a_folder_for_the_networks(table):
    with pytest.raises(InputError, match="--out is missing"):
        run("menu", "--table", table, "--budget-ms", "5", "--data", "digits")


@pytest.mark.tensorflow
def test_what_was_tried_is_shown(table, tmp_path, monkeypatch):
    asked = {}
    monkeypatch.setattr("mnas.experiments.menu.try_menu", lambda *args, **rest: asked.update(rest) or TRIED)
    line = ["menu", "--table", table, "--budget-ms", "3", "--data", "digits", "--out", tmp_path / "menu"]
    shown = run(*line, "--wait", "5")
    assert asked["wait_minutes"] == 5.0
    assert "The best of the menu: efficientnet-lite0 at 64 px." in shown
    assert "2.500 (predicted)" in shown
    assert "82.00%" in shown
    assert json.loads(run(*line, "--json"))["tried"][0]["measured_ms"] == 3.01


def study_with(folder, kind):
    config = {"space": small_space().to_dict(), "evaluator": {"kind": kind}, "strategy": {"name": "exact"}}
    return Study.create(folder, config, {"table": ["t.json"], "budget_ms": [3.0]})


def test_a_report_compares_the_winner_with_the_menu(tmp_path):
    study = study_with(tmp_path / "study", "library")
    best = {"accuracy": 0.9, "trained_longer": True}
    assert "mnas menu --study" in menu(study, best)["sentence"]
    write_menu(TRIED, study.folder / "menu")
    found = menu(study, best)
    assert found["beaten"] is True
    assert (
        "efficientnet-lite0 at 64 px, fine-tuned: 82.00% on validation images at 3.01 ms. The winner has 90.00%."
        in (found["sentence"])
    )
    lost = menu(study, {**best, "accuracy": 0.8})
    assert lost["beaten"] is False
    assert lost["sentence"].endswith("The winner has 80.00%: it did not beat it.")
    assert menu(study, None)["beaten"] is None
    assert menu(study_with(tmp_path / "other", "proxy"), best) is None


def test_a_design_says_its_plan_and_its_result(tmp_path, monkeypatch):
    steps = [SimpleNamespace(name="table", what="measure local", seconds=0.0)]
    steps.append(SimpleNamespace(name="search", what="and 8 epochs", seconds=240.0))
    row = {"name": "searched", "resolution": 128, "measured_ms": 1.9, "validation_accuracy": 0.9, "test_accuracy": 0.91}
    winner = {**row, "predicted_ms": 1.8, "int8_test_accuracy": 0.905, "files": {"float32": "w.tflite"}}
    document = {"budget_ms": 2.0, "table": "t", "study": "s", "winner": winner, "baselines": [{**row, "name": LITE}]}
    asked = {}

    class Design:
        study = tmp_path

        def __init__(self, options, folder, note):
            asked.update(options=options, folder=folder)

        def steps(self):
            return steps

        def run(self, **displays):
            return dict(document)

    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("mnas.experiments.design.Design", Design)
    monkeypatch.setattr("mnas.cli.report.write_report", lambda study, page: None)
    monkeypatch.setattr(Study, "open", lambda folder: None)
    line = ["design", "photos", "--budget-ms", "2", "--out", tmp_path / "out"]
    words = [str(word) for word in (*line, "--class-weights", "balanced", "--augment", "none", "--minutes", "20")]
    result = CliRunner().invoke(app, words)
    given = asked["options"]
    assert (given.class_weights, given.augment, given.minutes) == ("balanced", "none", 20)
    for said in ("the winner", LITE, "90.50%", "w.tflite", "report.html", "mnas predict w.tflite IMAGE..."):
        assert said in result.stdout
    assert "1. table: measure local (done before)" in result.stderr
    assert "2. search: and 8 epochs (about 4 min)" in result.stderr
    assert json.loads(run(*line, "--json"))["winner"] == winner
    run(*line, "--json", "--delegate", "nnapi", "--nnapi-accelerator", "qti-dsp", "--wait", "5", "--cores", "big")
    given = asked["options"]
    assert (given.delegate, given.wait, given.cores) == ("nnapi accelerator=qti-dsp", 5.0, "big")
    with pytest.raises(InputError, match="--nnapi-accelerator needs --delegate nnapi"):
        run(*line, "--nnapi-accelerator", "qti-dsp")
    planned = json.loads(run(*line, "--dry-run", "--json"))
    assert [step["seconds"] for step in planned["steps"]] == [0.0, 240.0]


def test_a_report_has_the_menu_among_its_facts(tmp_path):
    study = study_with(tmp_path / "study", "library")
    assert "Not compared with published networks" in report(study)["menu"]["sentence"]
