"""A small finished study with a table, a scaled family and a measured file, and a browser where there is one."""

import json
import shutil

import pytest

from mnas.arch.codec import architecture_to_dict
from mnas.arch.complexity import block_complexity
from mnas.latency.table import Configuration, Entry, LatencyTable, ReportCard
from mnas.reward import make_reward
from mnas.scaling import Coefficients, scale_by_formula
from mnas.search.objective import Objective
from mnas.search.run import Search, run_search
from mnas.strategies.random import RandomSearch
from mnas.strategies.registry import make_strategy
from mnas.study.study import Study
from tests.conftest import FakeEvaluator, madds_target
from tests.spaces import small_space

BUDGET = 1000.0


class Undecided(RandomSearch):
    """Random search that says of itself what a policy would."""

    told = 0

    def tell(self, trials):
        super().tell(trials)
        self.told += len(trials)

    def diagnostics(self):
        return {"entropy": 5.0 - self.told / 100}


def make_table(space):
    """Multiply-adds in thousands stand in for milliseconds."""
    configuration = Configuration("local", "soc", "Test CPU <1 GHz>", "os", "litert", "2.3", "xnnpack", "float32", 1)
    entries = {placed.key: Entry(block_complexity(placed).madds / 1e3, 0.1, 3) for placed in space.placed_blocks()}
    card = ReportCard(3, 0.02, 0.9, 1.0, 0.9, 0.95, 0.01, 0.05, pairs_ms=((10.0, 11.0), (20.0, 20.5), (30.0, 29.0)))
    about = (configuration, space.name, space.resolution, "2026-01-01", "made up", "0.1.0")
    return LatencyTable(*about, 0, 0.02, entries, card)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The study's folder. Read only."""
    folder = tmp_path_factory.mktemp("report")
    space = small_space()
    table = make_table(space)
    table.save(folder / "table.json")
    target = madds_target(space, BUDGET)
    objective = Objective(FakeEvaluator(space), make_reward("absolute"), [target])
    finals = Objective(FakeEvaluator(space, bonus=0.05), objective.reward, objective.budgets)
    config = {
        "space": space.to_dict(),
        "strategy": {"name": "evolution"},
        "tables": [{"budget_ms": BUDGET, "sha256": table.sha256}],
        "seed": 1,
    }
    arguments = {"trials": 40, "table": [str(folder / "table.json")], "budget_ms": [BUDGET], "data": "digits"}
    study = Study.create(folder / "my study", config, arguments)
    baseline = make_strategy("random", space, seed=2)
    run_search(study, Search(Undecided(space, seed=1), objective, 40, 10, baseline, finals, num_finalists=2))
    winner = study.architecture()
    (study.folder / "family").mkdir()
    for phi in (0, 1, 2):
        grown = scale_by_formula(winner, phi, Coefficients(1.2, 1.1, 1.15)) if phi else winner
        document = {"architecture": architecture_to_dict(grown), "accuracy": 0.7 + 0.05 * phi, "latency_ms": 10.0 + phi}
        (study.folder / "family" / f"phi{phi}.json").write_text(json.dumps(document))
    bench = {"file": "models/w.tflite", "quiet_ms": 26.0, "median_ms": 27.5, "predicted_ms": 25.0}
    (study.folder / "bench.json").write_text(json.dumps(bench))
    return study.folder


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium; skips where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("there is no Chromium (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as run:
        opened = run.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()
