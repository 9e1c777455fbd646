"""How quick the parts are that a search calls all the time. Prints figures; asserts nothing.

Run: python -m tools.bench.core [LATENCY_TABLE.json for the space mnasnet-32]
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mnas.arch.complexity import block_complexity, complexity
from mnas.latency.estimator import LatencyEstimator
from mnas.latency.table import LatencyTable
from mnas.space import SpaceCosts, load_space
from mnas.system.native_output import load_tensorflow

TABLE = Path(__file__).parents[2] / "latency_tables" / "xeon-2.5ghz_litert_float32_mnasnet-32.json"


def fastest_seconds(work: Callable[[], Any], repeats: int = 7) -> float:
    """The fastest of several runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def time_costing() -> None:
    """Parameters, multiply-adds and predicted latency of a batch, by look-up; one network at a time by the walk."""
    space = load_space("mnasnet-32")
    rng = np.random.default_rng(0)
    drawn = [space.sample(rng) for _ in range(1000)]
    codes = np.array([space.encode(architecture) for architecture in drawn])
    many = np.repeat(codes, 100, axis=0)
    start = time.perf_counter()
    folds = [
        SpaceCosts(space, lambda p: block_complexity(p).params),
        SpaceCosts(space, lambda p: block_complexity(p).madds),
    ]
    table = Path(sys.argv[1]) if len(sys.argv) > 1 else TABLE
    folds.append(LatencyEstimator(LatencyTable.load(table)).costs(space))
    print(f"set-up of three look-ups over {space.name}: {time.perf_counter() - start:.2f} s, once")
    looked_up = len(many) / fastest_seconds(lambda: [fold(many) for fold in folds])
    walked = len(drawn) / fastest_seconds(lambda: [complexity(architecture) for architecture in drawn], 3)
    print(f"architectures costed a second, parameters + multiply-adds + latency: {looked_up:,.0f} (aim: 100,000)")
    print(f"the same one at a time by the walk, without latency: {walked:,.0f}; ratio {looked_up / walked:.0f}")


def time_sampling() -> None:
    """Sampling 20 architectures from the controller."""
    from mnas.strategies.registry import make_strategy

    space = load_space("mnasnet-32")
    strategy = make_strategy("reinforce", space, seed=0)
    first = fastest_seconds(lambda: strategy.ask(20), 1)
    later = fastest_seconds(lambda: strategy.ask(20))
    print(f"ask(20) of the controller: first {first:.2f} s, then {1000 * later:.1f} ms (aim: 50)")


def time_help() -> None:
    """`mnas --help` as a user starts it, beside an empty Python."""
    code = "import sys; sys.argv[1:] = ['--help']; import mnas.cli.main as m; m.run()"
    program = fastest_seconds(lambda: subprocess.run([sys.executable, "-c", code], capture_output=True, check=True))
    nothing = fastest_seconds(lambda: subprocess.run([sys.executable, "-c", ""], capture_output=True, check=True))
    print(f"mnas --help: {program:.2f} s (aim: 0.3), {program / nothing:.1f} times an empty Python's {nothing:.3f} s")


if __name__ == "__main__":
    time_help()
    time_costing()
    load_tensorflow()
    time_sampling()
