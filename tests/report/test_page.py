import json
import re
import shutil
from html.parser import HTMLParser

import pytest

from mnas.arch.complexity import complexity
from mnas.latency.estimator import LatencyEstimator
from mnas.latency.table import LatencyTable
from mnas.report.csv_files import trial_rows
from mnas.report.facts import load_report_data
from mnas.report.page import all_figures, study_page, table_page
from mnas.reward import make_reward
from mnas.scaling.family import read_family
from mnas.search.constraints import latency_budget
from mnas.search.objective import Objective
from mnas.search.run import Search, run_search
from mnas.strategies.registry import make_strategy
from mnas.study.study import Study
from tests.conftest import FakeEvaluator
from tests.spaces import small_space


class Page(HTMLParser):
    """Collects tags, and everything that would make a browser ask a server."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]


@pytest.fixture(scope="module")
def page(finished):
    return study_page(load_report_data(Study.open(finished)))


def test_the_page_is_complete_in_itself(page):
    parsed = Page(page)
    assert parsed.addresses
    assert all(address.startswith("data:") for address in parsed.addresses)
    css = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in css
    assert "@import" not in css


def test_the_page_says_what_the_study_found(page, finished):
    study = Study.open(finished)
    best = study.best()
    assert f"<strong>{best['accuracy']:.1%}</strong>" in page
    assert f"<strong>{best['latency_ms']:.3g} ms</strong>" in page
    assert "random search at equal cost" in page
    assert "--table" in page
    assert "mnas search --budget-ms" in page
    assert "Test CPU &lt;1 GHz&gt;" in page, "names from files are escaped"
    assert page.count('<td class="block">') == len(load_report_data(study).blocks)


def test_every_trial_is_in_the_front_with_its_architecture(page):
    plots = json.loads(re.search(r'id="plots">(.*?)</script>', page, re.S)[1])
    names = [plot["name"] for plot in plots]
    assert names == ["front", "reward", "entropy", "family", "agreement"]
    front = {trace["name"]: trace for trace in plots[0]["data"]}
    assert len(front["evolution"]["x"]) == len(front["random search"]["x"]) == 40
    assert all("_k" in text for text in front["evolution"]["text"])
    assert len(front["winner"]["x"]) == 1
    assert len(front["random's finalists"]["x"]) == 2, "both are shown after the longer training"
    assert plots[0]["layout"]["shapes"][0]["x0"] == 1000
    assert all(plot["alt"] for plot in plots)
    assert len(plots[-1]["data"][3]["x"]) == 3, "three lines for reference, then the held-out networks"


def test_a_study_that_has_just_begun_has_a_page(tmp_path, space_dict):
    config = {"space": space_dict, "strategy": {"name": "random"}, "tables": []}
    study = Study.create(tmp_path / "s", config, {})
    page = study_page(load_report_data(study), refresh=5)
    assert "no winner yet" in page
    assert '<meta http-equiv="refresh" content="5">' in page
    assert "No random baseline was run" in page


def test_a_library_s_study_with_a_latency_of_its_own_has_a_page(tmp_path):
    space = small_space()
    target = latency_budget(lambda architecture: complexity(architecture).madds / 1e3, 1000.0)
    objective = Objective(FakeEvaluator(space), make_reward("absolute"), [target])
    study = Study.create(tmp_path / "s", {"space": space.to_dict(), "strategy": {"name": "evolution"}}, {})
    best = run_search(study, Search(make_strategy("evolution", space, seed=1), objective, 30, 10))
    facts = load_report_data(study)
    page = study_page(facts)
    assert f"<strong>{best['latency_ms']:.3g} ms</strong>." in page
    assert "names no latency table" in page
    assert all_figures(facts)[0].x_label == "predicted latency on the device (ms)"
    header, *rows = trial_rows(facts)
    assert all(len(row) == len(header) for row in rows)
    assert rows[0][header.index("latency_ms_1")] == study.trials[0].measurement.latency_ms


def test_a_table_that_is_gone_is_said_to_be_gone(finished, tmp_path, caplog):
    study = Study.open(finished)
    study.arguments["table"] = [str(tmp_path / "gone.json")]
    page = study_page(load_report_data(study))
    assert "is not at" in page
    assert "gone.json" in caplog.text


def test_another_table_under_the_same_name_is_not_taken_for_the_search_s(finished, caplog):
    study = Study.open(finished)
    study.config["tables"][0]["sha256"] = "0" * 64
    assert load_report_data(study).targets[0].table is None
    assert "is not the table that the search used" in caplog.text


def test_a_table_s_page(finished):
    table = LatencyTable.load(finished.parent / "table.json")
    page = table_page(table, "mine <b>")
    assert "mine &lt;b&gt;" in page
    plots = json.loads(re.search(r'id="plots">(.*?)</script>', page, re.S)[1])
    assert [plot["name"] for plot in plots] == ["agreement", "blocks"]
    assert sum(len(trace["x"]) for trace in plots[1]["data"]) == len(table.entries)


@pytest.fixture
def space_dict(finished):
    return Study.open(finished).config["space"]


def test_a_family_s_figures_come_from_its_own_list(finished, tmp_path):
    (tmp_path / "family").mkdir()
    document = json.loads((finished / "family" / "phi0.json").read_text())["architecture"]
    (tmp_path / "family" / "phi0.json").write_text(json.dumps(document))
    rows = [{"name": "phi0", "accuracy": 0.7, "latency_ms phone.json": 12.5}]
    (tmp_path / "family" / "family.json").write_text(json.dumps({"members": rows}))
    (member,) = read_family(tmp_path, None)
    assert (member.name, member.accuracy, member.latency_ms) == ("phi0", 0.7, 12.5)


def test_with_several_tables_a_family_s_latency_is_the_study_s_first_table_s(finished, tmp_path):
    (tmp_path / "family").mkdir()
    document = json.loads((finished / "family" / "phi0.json").read_text())["architecture"]
    (tmp_path / "family" / "phi0.json").write_text(json.dumps(document))
    rows = [{"name": "phi0", "latency_ms board": 60.0, "latency_ms pixel-2.5ghz": 20.0}]
    (tmp_path / "family" / "family.json").write_text(json.dumps({"members": rows}))
    assert read_family(tmp_path, None, "a/pixel-2.5ghz.json")[0].latency_ms == 20
    assert read_family(tmp_path, None, "a/board.json")[0].latency_ms == 60
    assert read_family(tmp_path, None, "other.json")[0].latency_ms is None
    table = LatencyTable.load(finished.parent / "table.json")
    expected = LatencyEstimator(table).predict(Study.open(finished).architecture()).latency_ms
    assert read_family(tmp_path, table, "other.json")[0].latency_ms == expected


@pytest.mark.parametrize("figure", ["nan", "26.0", 0, -1.0, True, None])
def test_a_measurement_that_is_no_number_is_left_out(finished, tmp_path, caplog, figure):
    folder = shutil.copytree(finished, tmp_path / "study")
    bench = json.loads((folder / "bench.json").read_text())
    (folder / "bench.json").write_text(json.dumps({**bench, "quiet_ms": figure}))
    assert load_report_data(Study.open(folder)).benches == ()
    assert "bench.json is not the output of mnas bench --json" in caplog.text


def test_a_torn_measurement_or_list_of_a_family_does_not_cost_the_report(finished, tmp_path, caplog):
    folder = shutil.copytree(finished, tmp_path / "study")
    (folder / "bench.json").write_text('{"quiet_ms": 1')
    (folder / "family" / "family.json").write_text('{"members": 3}')
    facts = load_report_data(Study.open(folder))
    assert facts.benches == ()
    assert facts.family
    assert "bench.json is not the output of mnas bench --json" in caplog.text


def test_study_and_table_show_themselves_in_a_notebook(finished):
    study = Study.open(finished)
    shown = study._repr_html_()
    assert f"winner, #{study.best()['number']}" in shown
    assert "random search at equal cost" in shown
    table = LatencyTable.load(finished.parent / "table.json")._repr_html_()
    assert "Test CPU &lt;1 GHz&gt;" in table
    assert "error of its predictions is 2.0%" in table
