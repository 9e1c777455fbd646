"""Memory over trials in one process, as a curve: `python tools/soak.py --memory 500 --evaluator supernet`."""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from mnas.reward import make_reward
from mnas.search.objective import Objective
from mnas.strategies.registry import make_strategy
from mnas.train.base import Evaluator
from tests.spaces import small_space

EVALUATORS = ("tabular", "proxy", "supernet")


def memory_curve(num_trials: int, evaluator_name: str, seconds: float) -> None:
    """Print this process's memory while it judges candidates; the first trials load and trace.

    Args:
        num_trials: how many.
        evaluator_name: one of `EVALUATORS`.
        seconds: stop after so long, wherever it is then.
    """
    start = time.monotonic()
    objective = Objective(_evaluator(evaluator_name), make_reward("absolute", []))
    candidates = make_strategy("random", small_space(), seed=0).ask(num_trials)
    points = sorted({round(num_trials * step / 10) for step in range(1, 11)})
    first = 0.0
    for number, candidate in enumerate(candidates, 1):
        trial = objective.judge(number, candidate)
        if trial.failed:
            sys.exit(f"trial {number} failed: {trial.error}")
        late = time.monotonic() - start > seconds
        if number in points or late:
            gc.collect()
            now = _resident_mb()
            first = first or now
            took = time.monotonic() - start
            print(
                f"{evaluator_name:8} {number:5} trials: {now:8.1f} MiB ({now - first:+.1f} since the first line; "
                f"{took:.0f} s)",
                flush=True,
            )
        if late:
            return


def _evaluator(name: str) -> Evaluator:
    if name == "tabular":
        return _tabular()
    from mnas.quiet import load_tensorflow
    from mnas.train.data import load_dataset

    load_tensorflow()
    dataset = load_dataset("digits", resolution=16, limit=300)
    if name == "proxy":
        from mnas.train.proxy import ProxyEvaluator, ProxyRecipe

        return ProxyEvaluator(dataset, ProxyRecipe(steps=2, batch_size=16), max_validation=32)
    from mnas.train.supernet import SupernetEvaluator
    from mnas.train.supernet_recipe import SupernetRecipe

    return SupernetEvaluator(small_space(), dataset, SupernetRecipe(steps=4, batch_size=16), max_validation=32)


def _tabular() -> Evaluator:
    from mnas.train.tabular import TabularEvaluator, stages_text

    space = small_space()
    indices = np.ndindex(*(len(decision.choices) for decision in space.decisions))
    names = [stages_text(space.decode([int(i) for i in row])) for row in indices]
    with tempfile.TemporaryDirectory() as folder:
        document = {"format": "mnas.accuracies", "version": 1, "accuracies": dict.fromkeys(names, 0.5)}
        path = Path(folder) / "table.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        return TabularEvaluator(path)


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20
