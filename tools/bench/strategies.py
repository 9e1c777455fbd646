"""Search strategies on NAS-Bench-Macro's real accuracies, at equal numbers of trials, over seeds.

    python -m tools.bench.strategies ../shared/data/nas-bench-macro_cifar10.json --log bench.jsonl \
        --table latency_tables/NAME_nas-bench-macro.json --strategies random,evolution --seeds 20 --trials 50,300,1000

The budget is the 30th percentile of the space: of the table's latencies, or of the multiply-adds without a table. Every
run is one line of the log, and is not run again: add strategies, or interrupt it, as you like. The figures are those of
all runs in the log. One JSON document on stdout: standings with 95 % intervals for each number of trials, and how near
to the budget the winners' predicted latencies are.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from mnas.arch.complexity import block_complexity
from mnas.evaluators.tabular import TabularEvaluator
from mnas.experiments.comparison import Comparison, best_curve, run_one, with_madds_budget
from mnas.experiments.standings import compare
from mnas.latency.estimator import table_costs
from mnas.reward import make_reward
from mnas.search.constraints import latency_budget
from mnas.search.finalists import choose_finalists
from mnas.search.loop import MeasurementCache
from mnas.search.objective import Objective
from mnas.space.costs import SpaceCosts
from mnas.space.files import load_space
from mnas.strategies.registry import needs_tensorflow
from tools.command_line import make_parser

SPACE = load_space("nas-bench-macro")
EVERY = np.stack(np.meshgrid(*[np.arange(3)] * 8, indexing="ij"), axis=-1).reshape(-1, 8)
PERCENTILE = 30


def main() -> None:
    """Run what is missing, then print the figures."""
    parser = make_parser("tools.bench.strategies", __doc__)
    parser.add_argument("accuracies", type=Path)
    parser.add_argument("--table", help="a latency table for nas-bench-macro; multiply-adds without one")
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--strategies", default="random,evolution,nsga2")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", default="50,300,1000")
    options = parser.parse_args()
    counts = [int(count) for count in options.trials.split(",")]
    comparison = _contest(options, counts)
    _run_missing(comparison, options.log, comparison.strategies)
    print(json.dumps(_document(comparison, _read(options.log)), indent=1))


def _contest(options: argparse.Namespace, counts: list[int]) -> Comparison:
    evaluator = TabularEvaluator(options.accuracies)
    plain = Objective(evaluator, make_reward("absolute"))
    if options.table:
        costs, estimator = table_costs(options.table, SPACE)
        budget = float(np.percentile(costs(EVERY), PERCENTILE))
        target = latency_budget(lambda architecture: estimator.predict(architecture).latency_ms, budget, costs)
        objective = Objective(evaluator, make_reward("absolute"), [target])
    else:
        madds = SpaceCosts(SPACE, lambda placed: block_complexity(placed).madds)(EVERY)
        budget = float(np.percentile(madds, PERCENTILE))
        objective = with_madds_budget(plain, SPACE, budget, reward="absolute", beta=None)
    names = options.strategies.split(",")
    return Comparison(
        space=SPACE, objective=objective, strategies=names, num_seeds=options.seeds, num_trials=counts, batch_size=10
    )


def _read(log: Path) -> dict[tuple[str, int], dict[str, Any]]:
    lines = log.read_text().splitlines() if log.exists() else []
    return {(run["strategy"], run["seed"]): run for run in map(json.loads, lines)}


def _run_missing(comparison: Comparison, log: Path, names: Any) -> None:
    done = _read(log)
    objective, cache = comparison.fast_objective, MeasurementCache()
    longest = max(comparison.num_trials)
    if any(map(needs_tensorflow, names)):
        from mnas.system.native_output import load_tensorflow

        load_tensorflow()
    for seed in range(comparison.num_seeds):
        for name in names:
            if len(done.get((name, seed), {}).get("curve", [])) >= longest:
                continue
            start = time.perf_counter()
            trials = run_one(comparison, name, seed, cache)
            run = {
                "strategy": name,
                "seed": seed,
                "curve": best_curve(comparison, trials, name),
                "winner_over_budget": [_share(trials[:count], objective) for count in comparison.num_trials],
                "counts": list(comparison.num_trials),
                "seconds": time.perf_counter() - start,
            }
            with open(log, "a", encoding="utf-8") as file:
                file.write(json.dumps(run) + "\n")
            print(f"{name}, seed {seed}: {run['curve'][-1]:.4f}, {run['seconds']:.1f} s", file=sys.stderr, flush=True)


def _share(trials: Any, objective: Objective) -> float:
    """The winner's predicted latency over the budget."""
    (winner,) = choose_finalists(trials, objective, 1)
    assert winner.measurement is not None
    return winner.measurement.latencies_ms[0] / objective.budgets[0].limit


def _document(comparison: Comparison, runs: dict[tuple[str, int], dict[str, Any]]) -> dict[str, Any]:
    (target,) = comparison.objective.budgets
    objective = comparison.fast_objective
    within = [network for network in map(SPACE.decode, EVERY.tolist()) if objective.is_feasible(network)]
    optimum = max(objective.evaluate(0, network).reward or 0.0 for network in within)
    document: dict[str, Any] = {"budget": target.limit, "unit": target.unit, "optimum": optimum, "results": []}
    for count in comparison.num_trials:
        best: dict[str, list[float]] = {}
        for name in comparison.strategies:
            own = [runs.get((name, seed)) for seed in range(comparison.num_seeds)]
            curves = [run["curve"] for run in own if run is not None and len(run["curve"]) >= count]
            if len(curves) == comparison.num_seeds:
                best[name] = [curve[count - 1] for curve in curves]
        standings = [row.to_dict() for row in compare(best)]
        document["results"].append({"num_trials": count, "strategies": standings, **_hits(comparison, runs, count)})
    return document


def _hits(comparison: Comparison, runs: dict[tuple[str, int], dict[str, Any]], count: int) -> dict[str, Any]:
    """Of each strategy's first 10 seeds: how many winners are within 3 % of the budget, and the extremes."""
    hits = {}
    for name in comparison.strategies:
        own = [runs[name, seed] for seed in range(min(10, comparison.num_seeds)) if (name, seed) in runs]
        shares = [run["winner_over_budget"][run["counts"].index(count)] for run in own if count in run["counts"]]
        if shares:
            within = sum(abs(share - 1) <= 0.03 for share in shares)
            hits[name] = {"within_3_percent": within, "of": len(shares), "least": min(shares), "most": max(shares)}
    return {"winner_over_budget": hits}


if __name__ == "__main__":
    main()
