"""Limits on what a network takes beside time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mnas.arch.memory import footprint
from mnas.errors import InputError
from mnas.reward import make_reward
from mnas.search.build import prepare
from mnas.search.constraints import Constraint, memory_limit, size_limit
from mnas.search.objective import Objective
from mnas.search.options import SearchOptions
from mnas.search.run import Search, run_search
from mnas.space.files import load_space
from mnas.strategies.registry import make_strategy
from mnas.study.study import Study
from tests.latency.tables import make_table


def median_mb(space):
    rng = np.random.default_rng(0)
    return float(np.median([footprint(space.sample(rng)).file_bytes for _ in range(50)])) / 1e6


def test_what_is_over_a_limit_is_neither_proposed_nor_a_winner(tmp_path, space, evaluator):
    limit = size_limit(median_mb(space), dtype="float32")
    objective = Objective(evaluator, make_reward("absolute"), (), [limit])
    study = Study.create(tmp_path / "study", {"space": space.to_dict()})
    strategy = make_strategy("evolution", space, seed=0, feasible=objective.is_feasible)
    best = run_search(study, Search(strategy, objective, 30, 10))
    assert all(limit.is_met(trial.architecture) for trial in study.trials)
    assert limit.is_met(study.architecture(str(best["number"])))

    careless = Study.create(tmp_path / "careless", {"space": space.to_dict()})
    best = run_search(careless, Search(make_strategy("random", space, seed=0), objective, 30, 10))
    over = [trial for trial in careless.trials if not limit.is_met(trial.architecture)]
    assert over
    assert best["number"] not in {trial.number for trial in over}


def test_a_limit_that_nothing_keeps_is_refused_at_once(space, evaluator):
    objective = Objective(evaluator, make_reward("absolute"), (), [size_limit(1e-4, dtype="float32")])
    with pytest.raises(InputError, match=r"file size \(float32\) of 0.0001 MB: the smallest takes 0\.\d+ MB"):
        Search(make_strategy("random", space), objective, 10)


@pytest.mark.parametrize("maximum", [0, -1, float("nan"), float("inf")])
def test_absurd_limits(maximum):
    with pytest.raises(InputError, match="positive number of MB"):
        Constraint("file size", lambda network: 1.0, maximum, "MB")


def test_int8_takes_a_quarter():
    network = load_space("mnasnet").sample(np.random.default_rng(0))
    sizes = [size_limit(1, dtype=dtype).measure(network) for dtype in ("float32", "int8")]
    assert sizes[0] / sizes[1] == pytest.approx(3.7, rel=0.1)
    xnnpack, none = (
        memory_limit(1, dtype="int8", delegate=delegate).measure(network) for delegate in ("xnnpack", "none")
    )
    assert xnnpack > none


def test_an_imported_table_limits_what_float32_takes(tmp_path):
    table = make_table(load_space("mnasnet-16"))
    where = replace(table.configuration, dtype="unknown", delegate="unknown")
    replace(table, configuration=where).save(tmp_path / "t.json")
    options = SearchOptions(
        space="mnasnet-16",
        data="digits",
        strategy="random",
        table=[str(tmp_path / "t.json")],
        budget_ms=[5.0],
        max_size_mb=1,
        max_memory_mb=2,
    )
    assert prepare(options).config["limits_mb"] == {"file size (float32)": 1, "memory (float32, xnnpack)": 2}


def test_the_options_reach_the_search():
    prepared = prepare(
        SearchOptions(space="mnasnet-32", data="digits", proxy_steps=1, max_size_mb=2, max_memory_mb=4, trials=1)
    )
    assert prepared.config["limits_mb"] == {"file size (float32)": 2, "memory (float32, xnnpack)": 4}
    assert [limit.limit for limit in prepared.search.objective.limits] == [2, 4]
    proposed = prepared.search.strategy.ask(5)
    assert all(footprint(network).file_bytes <= 2e6 for network in proposed)
