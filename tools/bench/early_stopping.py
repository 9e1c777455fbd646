"""What early stopping saves and costs: the same random search with and without rungs, on digits.

    python -m tools.bench.early_stopping --log curves.jsonl [--trials 30] [--steps 160] [--orders 50]

Every candidate is trained to the end once; what a search with rungs would have seen is read off those trainings. So
both searches judge the same candidates, and the winners can be compared by one figure: the fully trained accuracy.
Every candidate's curve is one line of the log, and is not trained again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import fmean

import numpy as np

from mnas.space.files import load_space
from mnas.study.summary import share_of_steps
from mnas.system.native_output import load_tensorflow
from tools.bench.early_stopping_replay import replay_early_stopping
from tools.command_line import make_parser


def main() -> None:
    """Train, replay, print one JSON document."""
    parser = make_parser("tools.bench.early_stopping", __doc__)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--space", default="mnasnet-16")
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--steps", type=int, default=160)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rungs", type=int, default=4)
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--orders", type=int, default=50, help="random orders in which the candidates are met")
    options = parser.parse_args()
    load_tensorflow()
    curves = _curves(options)
    replays = [_replay(curves, np.random.default_rng(order)) for order in range(options.orders)]
    final = curves[:, -1]
    document = {
        "options": {name: str(value) for name, value in vars(options).items()},
        "best_accuracy": float(final.max()),
        "spread_of_accuracies": float(final.std()),
        "mean_share_of_steps": fmean(share for share, _ in replays),
        "winner_kept": fmean(float(lost == 0) for _, lost in replays),
        "mean_accuracy_lost": fmean(lost for _, lost in replays),
        "correlation_of_rungs_with_the_end": [float(np.corrcoef(column, final)[0, 1]) for column in curves.T],
    }
    print(json.dumps(document, indent=1))


def _curves(options: argparse.Namespace) -> np.ndarray:
    """Accuracies at every rung, shape (trials, rungs)."""
    from mnas.data.dataset import load_dataset
    from mnas.evaluators.proxy import ProxyEvaluator, ProxyRecipe

    space = load_space(options.space)
    dataset = load_dataset(options.data, resolution=space.resolution, seed=0, limit=options.limit)
    recipe = ProxyRecipe(steps=options.steps, batch_size=options.batch, rungs=options.rungs)
    evaluator = ProxyEvaluator(dataset, recipe, max_validation=2000)
    rng = np.random.default_rng(0)
    candidates = [space.sample(rng) for _ in range(options.trials)]
    lines = options.log.read_text().splitlines() if options.log.exists() else []
    for candidate in candidates[len(lines) :]:
        with open(options.log, "a", encoding="utf-8") as file:
            file.write(json.dumps(list(evaluator.rungs(candidate))) + "\n")
    return np.array([json.loads(line) for line in options.log.read_text().splitlines()[: options.trials]])


def _replay(curves: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Share of the steps that is trained, and accuracy that the winner lost, with candidates in a random order."""
    space = load_space("mnasnet-16")
    order = rng.permutation(len(curves))
    trials = replay_early_stopping(curves, order, space.decode([0] * len(space.decisions)))
    best = max(trials, key=lambda trial: trial.reward or 0.0)
    winner = curves[order[best.number], -1]
    return share_of_steps(trials, curves.shape[1]), float(curves[:, -1].max() - winner)


if __name__ == "__main__":
    main()
