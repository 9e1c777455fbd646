"""The report of `tools.bench.ranking`, from results that are made up."""

import csv

import numpy as np
import pytest

from mnas.system.files import write_json
from tests.spaces import separable, small_space
from tools.bench.ranking_report import report
from tools.bench.ranking_results import RankingResults, tau_with_interval
from tools.bench.resumable import ResumableRun


def keep(run, key, result, seconds=6.0):
    write_json(run.path(key), {"seconds": seconds, "result": result})


@pytest.fixture
def results(tmp_path):
    """Ten judged architectures and 24 that teach; proxies of 4 steps are perfect, those of 2 the wrong way round."""
    space, run, rng = small_space(), ResumableRun(tmp_path, 100), np.random.default_rng(0)
    networks = list(dict.fromkeys(space.sample(rng) for _ in range(60)))[:34]
    judged, taught, worth = networks[:10], networks[10:], separable(space)
    for number, network in enumerate(judged):
        for seed in (0, 1):
            curve = [0.1 * number, worth(network)]
            keep(run, f"truth 8x16 seed {seed} number {number}", {"curve": curve}, seconds=60.0)
        keep(run, f"proxy 2x16 seed 7 number {number}", {"curve": [1 - worth(network)]}, seconds=1.0)
        keep(run, f"proxy 4x16 seed 7 number {number}", {"curve": [worth(network)]}, seconds=2.0)
    for number, network in enumerate(taught):
        keep(run, f"taught 4x16 seed 7 number {number}", {"curve": [worth(network)] if number else None})
    return RankingResults(run, space, judged, taught, 16, 8, [2, 4, 6], 4, 7)


def test_the_ranking_report_says_tau_and_what_it_costs(results, capsys):
    report(results)
    rows = list(csv.DictReader((results.run.folder / "ranking.csv").read_text().splitlines()))
    tau = {(row["evaluator"], row["made_with"]): float(row["tau"]) for row in rows}
    minutes = {(row["evaluator"], row["made_with"]): float(row["minutes"]) for row in rows}
    assert tau["proxy", "2 steps"] == -1
    assert tau["proxy", "4 steps"] == 1
    assert minutes["proxy", "4 steps"] == pytest.approx(10)
    assert tau["predictor and proxy", "4 steps"] > 0.6
    assert minutes["long training at", "50%"] == pytest.approx(150)
    assert tau["predictor", "23 taught with 4 steps"] > 0.6
    assert minutes["predictor", "10 taught with 4 steps"] == pytest.approx(1)
    assert ("proxy", "6 steps") not in tau  # these were not trained
    text = capsys.readouterr().out
    assert "ceiling, tau between two seeds: 1.000" in text
    assert "plotly" in (results.run.folder / "ranking.html").read_text()


def test_a_ranking_without_its_truth_says_what_to_do(results):
    results.run.path("truth 8x16 seed 0 number 3").unlink()
    with pytest.raises(SystemExit, match="the long trainings are not done yet: the same command"):
        report(results)


def test_an_interval_of_tau_holds_it():
    rng = np.random.default_rng(0)
    truth = rng.random(30)
    tau, low, high = tau_with_interval(truth + 0.3 * rng.random(30), truth)
    assert low < tau < high
    assert tau_with_interval(truth, truth) == (1, 1, 1)
