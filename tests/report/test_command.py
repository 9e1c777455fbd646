"""`mnas report` and `mnas table show --html` as people start them."""

import json
import shutil
import threading
import time

import pytest
from typer.testing import CliRunner

from mnas.cli.main import app
from mnas.errors import MnasError
from mnas.study.study import locked


@pytest.fixture
def study(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "study")


def _mnas(*words):
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_the_page_is_written_beside_the_study_and_the_facts_are_printed(study):
    done = _mnas("report", study)
    assert (study / "report.html").read_text().startswith("<!doctype html>")
    assert "random search at equal cost" in done.stdout
    assert f"Written: {study}/report.html" in done.stdout


def test_json_is_one_document_that_names_the_files(study, tmp_path):
    done = _mnas("report", study, "--json", "--csv", tmp_path / "csv", "--html", tmp_path / "page.html")
    document = json.loads(done.stdout)
    assert set(document["files"]) == {str(p) for p in [*(tmp_path / "csv").iterdir(), tmp_path / "page.html"]}
    assert not (study / "report.html").exists()
    assert json.loads(_mnas("report", study, "--no-page", "--json").stdout)["files"] == []


def test_the_terminal_shows_what_the_page_shows(study):
    shown = _mnas("report", study, "--no-page").stdout
    document = json.loads(_mnas("report", study, "--no-page", "--json").stdout)
    (device,) = document["devices"]
    low, high = device["interval_ms"]
    assert low < device["latency_ms"] < high
    assert device["latency_ms"] == pytest.approx(document["best"]["latency_ms"])
    assert f"ms predicted, 90 % interval {low:.3f} to {high:.3f} ms, 1000 ms allowed." in shown
    assert device["report_card"]["mape"] == 0.02
    assert "2.0% off on average over 3 held-out networks" in shown
    assert sum(block["latency_ms"] for block in document["blocks"]) == pytest.approx(device["latency_ms"])
    assert "The winner, block by block" in shown
    assert document["benches"][0]["ratio"] == pytest.approx(26 / 25)
    assert "Measured: models/w.tflite takes 26.000 ms, median 27.500 ms; 1.04 times the 25.000 ms" in shown
    assert [member["name"] for member in document["family"]] == ["phi0", "phi1", "phi2"]
    assert "The family" in shown


def test_a_folder_that_cannot_be_written_is_reported_on_all_the_same(study):
    (study / "report.html").mkdir()
    done = _mnas("report", study)
    assert done.exit_code == 0
    assert "random search at equal cost" in done.stdout
    assert "--html FILE" in done.stderr
    assert isinstance(CliRunner().invoke(app, ["report", str(study), "--html", str(study)]).exception, MnasError)


def test_watch_reloads_while_a_process_works_on_the_study_and_then_ends(study):
    page = study / "report.html"
    seen = []

    def work():
        with locked(study):
            for _ in range(200):
                time.sleep(0.05)
                if page.exists():
                    seen.append('http-equiv="refresh"' in page.read_text())
                    return

    worker = threading.Thread(target=work)
    worker.start()
    time.sleep(0.1)
    done = _mnas("report", study, "--watch", "--every", "0.2")
    worker.join()
    assert seen == [True]
    assert 'http-equiv="refresh"' not in page.read_text()
    assert "search: 40 of 40" in done.stderr


def test_a_table_is_drawn(finished, tmp_path):
    done = _mnas("table", "show", finished.parent / "table.json", "--html", tmp_path / "t.html", "--json")
    assert json.loads(done.stdout)["files"] == [str(tmp_path / "t.html")]
    assert "Latency by block" in (tmp_path / "t.html").read_text()
