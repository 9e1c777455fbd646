"""The report of a winner that was trained: its test in the page, in the terminal, as JSON and as CSV."""

import csv
import json
import shutil

import numpy as np
import pytest
from msgspec import structs

from mnas.data.dataset import Split
from mnas.errors import InputError
from mnas.report.confusion import MOST_CLASSES, confusion_view
from mnas.report.facts import load_report_data
from mnas.report.page import study_page
from mnas.study.menu import TriedMenu, TriedNetwork, write_menu
from mnas.study.study import Study
from mnas.study.winner import trained_folder
from mnas.train.assessment import assess, write_assessment
from tests.commands import run
from tests.report.test_page import Page


def assessment_of(names, count=60, seed=0):
    """Of a network that is often right."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % len(names)
    logits = rng.normal(0, 1, (count, len(names))) + 1.2 * np.eye(len(names))[labels]
    return assess(logits, Split(rng.integers(0, 255, (count, 8, 8, 3), np.uint8), labels), names)


@pytest.fixture
def study(finished, tmp_path):
    """A study whose winner is trained in finalists/a, which has no test.json."""
    folder = shutil.copytree(finished, tmp_path / "study")
    best = json.loads((folder / "best.json").read_text())
    (folder / "best.json").write_text(json.dumps({**best, "trained": "finalists/a"}))
    (folder / "finalists" / "a").mkdir(parents=True)
    return folder


def test_a_page_shows_matrix_classes_and_mistakes(study):
    test = assessment_of(("cat", "<dog>", "eel"))
    write_assessment(test, study / "finalists" / "a")
    page = study_page(load_report_data(Study.open(study)))
    parsed = Page(page)
    assert parsed.tags.count("img") == len(test.mistakes) > 3
    assert all(address.startswith("data:") for address in parsed.addresses)
    assert "<dog>" not in page
    assert page.count('<td style="--look') == 9
    first = test.confusions(1)[0]
    assert f"{first.images} of {first.of} {first.label}" in page.replace("&lt;", "<").replace("&gt;", ">")
    assert "at a precision of" not in page


def test_the_terminal_and_the_files_have_what_the_page_has(study, tmp_path):
    test = assessment_of(("no", "yes"))
    write_assessment(test, study / "finalists" / "a")
    shown = run("report", study, "--csv", tmp_path / "sheets")
    assert "The winner on the test images" in shown
    assert f"Test accuracy: {test.accuracy:.2%}" in shown
    first = test.confusions(1)[0]
    assert f"Largest confusions: {first.images} of 30 {first.label} are taken for {first.predicted};" in shown
    found = test.recall_at_precision
    assert f"At a precision of 95%, {found.recall:.1%} of the images of yes" in " ".join(shown.split())
    assert "recall of yes at a precision of 95%" in (study / "report.html").read_text()
    document = json.loads(run("report", study, "--no-page", "--json"))["test"]
    assert document["confusion"] == [list(row) for row in test.confusion]
    assert document["mistakes"][0].keys() == {"image", "label", "predicted", "probability"}
    with (tmp_path / "sheets" / "confusion.csv").open() as file:
        assert list(csv.reader(file)) == [["class", "no", "yes"], *_texts(("no", "yes"), test.confusion)]
    with (tmp_path / "sheets" / "classes.csv").open() as file:
        assert [row["images"] for row in csv.DictReader(file)] == ["30", "30"]


def _texts(names, rows):
    return [[name, *map(str, row)] for name, row in zip(names, rows, strict=True)]


def test_many_classes_have_no_matrix_and_a_short_table(study):
    names = [f"class {number}" for number in range(MOST_CLASSES + 1)]
    test = assessment_of(names, count=500)
    assert confusion_view(test) == []
    write_assessment(test, study / "finalists" / "a")
    shown = run("report", study)
    assert f"the 30 of {len(names)} classes with the lowest recall" in " ".join(shown.split())
    page = (study / "report.html").read_text()
    assert "Confusion matrix" not in page
    assert "Largest confusions" in page


def test_a_network_trained_by_an_earlier_version_is_reported_without(study):
    assert "on the test images" not in run("report", study)
    assert "on the test images" not in (study / "report.html").read_text()
    assert json.loads(run("report", study, "--no-page", "--json"))["test"] is None


def test_a_damaged_test_does_not_cost_the_report(study, caplog):
    (study / "finalists" / "a" / "test.json").write_text('{"format": "mnas.test", "ver')
    assert load_report_data(Study.open(study)).test is None
    assert "does not show the winner's test" in caplog.text


def test_a_trained_folder_elsewhere_is_not_read(study):
    best = Study.open(study).best()
    assert trained_folder(study, best) == study / "finalists" / "a"
    assert trained_folder(study, None) is None
    with pytest.raises(InputError, match="outside of the study"):
        trained_folder(study, {**best, "trained": "../../else"})


def test_a_published_network_that_the_search_did_not_beat_is_the_one_whose_test_is_shown(study):
    record = json.loads((study / "study.json").read_text())
    record["config"]["evaluator"] = {"kind": "library"}
    (study / "study.json").write_text(json.dumps(record))
    best = json.loads((study / "best.json").read_text())
    (study / "best.json").write_text(json.dumps({**best, "trained_longer": True}))
    write_assessment(assessment_of(("cat", "dog", "eel")), study / "finalists" / "a")
    (study / "menu" / "lite").mkdir(parents=True)
    write_assessment(published := assessment_of(("cat", "dog", "eel"), seed=1), study / "menu" / "lite")
    tried = TriedNetwork("efficientnet-lite0", 64, 1.0, None, 0.5, best["accuracy"], 0.9, "lite")
    write_menu(TriedMenu(1.0, (tried,)), study / "menu")
    name = "efficientnet-lite0 at 64 px"
    assert f"{name} on the test images" in " ".join(run("report", study).split())
    assert f"The search did not beat {name}, fine-tuned" in (study / "report.html").read_text()
    document = json.loads(run("report", study, "--no-page", "--json"))["test"]
    assert (document["published_network"], document["accuracy"]) == (name, published.accuracy)
    write_menu(TriedMenu(1.0, (structs.replace(tried, validation_accuracy=0.0),)), study / "menu")
    assert "The winner on the test images" in run("report", study)
