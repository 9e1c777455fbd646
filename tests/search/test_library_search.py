"""A whole search on a block library."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from mnas.arch.codec import architecture_from_dict, architecture_to_json
from mnas.errors import InputError, MnasError
from mnas.experiments.reproduce import reproduce_study
from mnas.latency.estimator import table_costs
from mnas.profiling import meter
from mnas.report.facts import load_report_data
from mnas.search.build import prepare
from mnas.search.options import SearchOptions
from mnas.search.session import run_study
from mnas.strategies.additive import AdditiveScore
from mnas.strategies.exact import Exact
from mnas.study.observer import Observer
from mnas.study.study import Study
from mnas.study.winner import trained_folder
from mnas.train.trained_network import open_trained
from tests.latency.tables import CONFIGURATION, make_table

pytestmark = pytest.mark.tensorflow
SLOWER = 1.5  # the device, than its table


@pytest.fixture(scope="module")
def table(tiny_library, tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "table.json"
    make_table(tiny_library.space).save(path)
    return str(path)


@pytest.fixture(scope="module")
def budget_ms(table, tiny_library):
    costs, _ = table_costs(table, tiny_library.space)
    return 0.5 * (costs.extreme()[1] + costs.extreme(largest=True)[1])


@pytest.fixture
def options(tiny_library, table, budget_ms):
    return SearchOptions(
        library=str(tiny_library.folder),
        table=[table],
        budget_ms=[budget_ms],
        strategy="exact",
        trials=8,
        batch=4,
        confirmed=4,
        finalists=1,
        final_epochs=1,
        retrain_seeds=0,
        measure_finalists="local",
    )


@pytest.fixture
def measured(monkeypatch, tiny_library, table):
    """The table's device; gives how often networks were measured. It is slower than the table says."""
    _, estimator = table_costs(table, tiny_library.space)
    count = []

    def measure_files(device, files, **rest):
        networks = [architecture_from_dict(json.loads(file)) for file in files]
        count.extend(networks)
        return [SimpleNamespace(quiet_ms=SLOWER * estimator.predict(network).latency_ms) for network in networks]

    device = SimpleNamespace(configuration=lambda dtype: CONFIGURATION)
    monkeypatch.setattr(meter, "open_again", lambda *args, **opening: device)
    monkeypatch.setattr(meter, "measure_files", measure_files)
    monkeypatch.setattr(meter, "write_random_model", lambda network, dtype: architecture_to_json(network).encode())
    return count


class Stopping(Observer):
    """Interrupts a search after some trials of a log."""

    def __init__(self, log, after):
        self.left = {log: after}

    def on_trial(self, phase, trial):
        if phase in self.left:
            self.left[phase] -= 1
            if self.left[phase] <= 0:
                raise KeyboardInterrupt


def plain(study):
    """A study's results, without the times."""
    logs = {}
    for name in ("trials", "confirmed", "finalists", "baseline"):
        logs[name] = sorted((t.number, t.architecture, t.measurement.accuracy) for t in study.log(name).read())
    return logs, study.best()


def test_a_search_confirms_measures_and_fine_tunes_and_can_be_interrupted_and_reproduced(
    options, measured, budget_ms, tiny_library, table, tmp_path
):
    folder = tmp_path / "study"
    document = run_study(options, folder)
    study = Study.open(folder)
    best = study.best()
    assert best["trained_longer"] is True
    assert best["measured_ms"] <= 1.02 * budget_ms
    assert best["measured_ms"] == pytest.approx(SLOWER * best["latency_ms"])
    assert document["best"]["number"] == best["number"]

    confirmed = study.log("confirmed").read()
    assert len({trial.architecture for trial in confirmed}) > options.confirmed, "more were asked for"
    beyond = [trial.number for trial in confirmed if trial.number >= options.trials]
    assert len(beyond) == len(set(beyond)) > 0
    (record,) = json.loads((folder / "measured.json").read_text()).values()
    assert len(record) == len(measured) == len(set(measured))
    assert len(list((folder / "finalists").iterdir())) == 1

    optimum = json.loads((folder / "optimum.json").read_text())
    trials = study.trials
    assert optimum["accuracy"] == pytest.approx(trials[0].measurement.accuracy)
    assert optimum["latency_ms"] <= budget_ms
    values = prepare(options).search.objective.evaluator.additive_scores()
    costs, _ = table_costs(table, tiny_library.space)
    (first,) = Exact(tiny_library.space, score=AdditiveScore(lambda: values, [(costs, budget_ms)])).ask(1)
    assert architecture_from_dict(optimum["architecture"]) == first == trials[0].architecture

    number = len(measured)
    other = tmp_path / "interrupted"
    for log, after in (("trials", 5), ("confirmed", 3), ("baseline", 2)):
        with pytest.raises(KeyboardInterrupt):
            run_study(options, other, resume=True, observers=[Stopping(log, after)])
    run_study(options, other, resume=True)
    assert plain(Study.open(other)) == plain(study)
    assert len(measured) == 2 * number, "each network was measured once"

    found = reproduce_study(folder)
    assert found.difference is None
    assert found.compared["confirmed"] == len(confirmed)
    assert len(measured) == 2 * number, "latencies never repeat: those of the study are taken"

    longer = run_study(SearchOptions.from_dict(study.arguments, trials=max(beyond) + 2), folder, resume=True)
    assert longer["num_trials"] == max(beyond) + 2, "numbers of further candidates may become those of trials"


def test_without_measuring_the_table_is_trusted(options, tmp_path):
    untold = SearchOptions.from_dict(options.to_dict(), measure_finalists="none", baseline=False)
    run_study(untold, tmp_path / "study")
    study = Study.open(tmp_path / "study")
    assert not (tmp_path / "study" / "measured.json").exists()
    assert "measured_ms" not in study.best()
    trained = open_trained(trained_folder(study.folder, study.best()))
    assert load_report_data(study).test.accuracy == trained.training["test_accuracy"]
    assert len(study.log("confirmed").read()) == 4
    automatic = SearchOptions.from_dict(options.to_dict(), measure_finalists="auto")
    assert prepare(automatic).search.measured is None, "this is not the table's machine"


def test_when_no_stitched_network_can_be_scored_the_reason_is_said(options, tmp_path, monkeypatch):
    def fail(self, architecture):
        raise MnasError("the disk is gone")

    prepare(options).search.objective.evaluator.prepare()
    monkeypatch.setattr("mnas.library.stitching.Stitcher.score", fail)
    untold = SearchOptions.from_dict(options.to_dict(), measure_finalists="none", baseline=False)
    with pytest.raises(MnasError, match=r"none of the best candidates could be scored again: .*the disk is gone"):
        run_study(untold, tmp_path / "study")


def test_a_table_of_another_device_is_refused(options, measured, monkeypatch):
    other = SimpleNamespace(configuration=lambda dtype: replace(CONFIGURATION, threads=4))
    monkeypatch.setattr(meter, "open_again", lambda *args, **opening: other)
    with pytest.raises(InputError, match="the table is for --threads 1; this is --threads 4"):
        prepare(options)
