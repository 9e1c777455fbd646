"""How much of the accuracy-cost front a strategy finds on NAS-Bench-Macro: hypervolume against the true front's.

    python -m tools.bench.front ../shared/data/nas-bench-macro_cifar10.json --seeds 20 --trials 300

The area that the front of the trials dominates in the plane of error and multiply-adds, each scaled to its range over
the whole space, as a share of the area that the space's true front dominates. No budget; the reward (for strategies
that have one) is MnasNet's soft one with the median multiply-adds as its target, which has a front of its own.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from statistics import fmean

from mnas.arch.spec import Architecture
from mnas.evaluators.tabular import TabularEvaluator
from mnas.reward import make_reward
from mnas.search.constraints import Constraint
from mnas.search.loop import run_trials
from mnas.search.objective import Objective
from mnas.space.files import load_space
from mnas.statistics import bootstrap_interval
from mnas.strategies.registry import make_strategy
from mnas.study.trial_log import MemoryLog
from tools.command_line import make_parser

SPACE = load_space("nas-bench-macro")
Point = tuple[float, float]


def main() -> None:
    """Run, print one JSON document."""
    parser = make_parser("tools.bench.front", __doc__)
    parser.add_argument("accuracies", type=Path)
    parser.add_argument("--strategies", default="random,evolution,nsga2")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=300)
    options = parser.parse_args()
    from mnas.arch.complexity import complexity

    evaluator = TabularEvaluator(options.accuracies)
    every = [SPACE.decode(indices) for indices in product(range(3), repeat=8)]
    points = {network: (1 - evaluator.accuracy(network), float(complexity(network).madds)) for network in every}
    costs = sorted(madds for _, madds in points.values())
    middle = costs[len(costs) // 2]
    target = Constraint("multiply-adds", lambda network: points[network][1], middle, "multiply-adds")
    objective = Objective(evaluator, make_reward("soft"), [target])
    whole = hypervolume(list(points.values()), list(points.values()))
    results = {}
    for name in options.strategies.split(","):
        shares = [_share(name, seed, objective, options.trials, points) / whole for seed in range(options.seeds)]
        results[name] = {"mean_share": fmean(shares), "interval": bootstrap_interval(shares)}
    print(json.dumps({"num_trials": options.trials, "num_seeds": options.seeds, "strategies": results}, indent=1))


def _share(name: str, seed: int, objective: Objective, count: int, points: dict[Architecture, Point]) -> float:
    strategy = make_strategy(name, SPACE, seed=seed)
    trials = run_trials(strategy, objective, MemoryLog(), num_trials=count, batch_size=10)
    return hypervolume([points[trial.architecture] for trial in trials], list(points.values()))


def hypervolume(points: list[Point], every: list[Point]) -> float:
    """The area that points dominate, both axes scaled to the range of `every`; the worst corner is the reference."""
    lows, highs = zip(*((min(axis), max(axis)) for axis in zip(*every, strict=True)), strict=True)
    scaled = [tuple((v - a) / (b - a) for v, a, b in zip(p, lows, highs, strict=True)) for p in points]
    area, ceiling = 0.0, 1.0
    for error, cost in sorted(scaled):
        if cost < ceiling:
            area += (1.0 - error) * (ceiling - cost)
            ceiling = cost
    return area


if __name__ == "__main__":
    main()
