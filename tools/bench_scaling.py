"""Trials an hour with more workers, and what handing a trial over costs. Prints figures; asserts nothing.

Run: python tools/bench_scaling.py [--trials 12] [--steps 30] [--handed-over 300] [--no-ray]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from mnas.arch.spec import Architecture
from mnas.machine import num_cpus
from mnas.search.executor import Executor
from mnas.search.parallel import open_executor
from mnas.search.setup import Prepared, SearchOptions, prepare
from mnas.strategies.registry import make_strategy

KINDS = (("local", 1), ("local", 2), ("ray", 1), ("ray", 2))


def timed(
    opened: AbstractContextManager[Executor], prepared: Prepared, candidates: Sequence[Architecture], warm_up: int
) -> tuple[float, float, list[object]]:
    """Seconds to start (a candidate a worker, too), seconds for the rest, and what was found."""
    objective, start = prepared.search.objective, time.perf_counter()
    with opened as executor:
        list(executor.run(objective, list(enumerate(candidates[:warm_up]))))
        ready = time.perf_counter()
        trials = list(executor.run(objective, list(enumerate(candidates[warm_up:], warm_up))))
        done = time.perf_counter()
    facts: list[object] = [(trial.number, trial.measurement) for trial in sorted(trials, key=lambda t: t.number)]
    return ready - start, done - ready, facts


def training(num_trials: int, steps: int, kinds: Sequence[tuple[str, int]]) -> None:
    """Proxy trainings; one thread each, so that all find the same; the sequential run with all threads beside them."""
    options = SearchOptions(
        space="mnasnet-16",
        data="digits",
        strategy="random",
        baseline=False,
        proxy_steps=steps,
        proxy_batch=32,
        threads=1,
    )
    prepared = prepare(options)
    candidates = make_strategy("random", prepared.space, seed=0).ask(num_trials + 2)
    found = []
    for kind, workers in kinds:
        opened = open_executor(options, prepared, workers=workers, kind=kind)
        started, seconds, facts = timed(opened, prepared, candidates, 2)
        found.append(facts)
        print(
            f"{kind} {workers} worker(s), 1 thread each: {3600 * num_trials / seconds:7.0f} trials an hour "
            f"({seconds:.1f} s for {num_trials}; started in {started:.1f} s)",
            flush=True,
        )
    print(f"all found the same, to the last bit: {all(facts == found[0] for facts in found)}")


def handing_over(num_trials: int, kinds: Sequence[tuple[str, int]]) -> None:
    """Look-ups that take no time: what is left is what the executor itself takes."""
    with tempfile.TemporaryDirectory() as folder:
        names = ["".join(digits) for digits in product("012", repeat=8)]
        table = {name: {"mean_acc": 80 + int(name, 3) / 1000} for name in names}
        path = Path(folder) / "accuracies.json"
        path.write_text(json.dumps(table), encoding="utf-8")
        options = SearchOptions(
            space="nas-bench-macro", evaluator=f"tabular:{path}", strategy="random", baseline=False, threads=1
        )
        prepared = prepare(options)
        candidates = make_strategy("random", prepared.space, seed=0).ask(num_trials + 2)
        here = 0.0
        for kind, workers in kinds:
            opened = open_executor(options, prepared, workers=workers, kind=kind)
            _, seconds, _ = timed(opened, prepared, candidates, 2)
            each = 1e3 * seconds / num_trials
            here = here or each
            print(f"{kind} {workers} worker(s): {each:6.2f} ms a trial, {each - here:+.2f} ms against this process")


def main() -> None:
    """Both, with and without Ray."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--handed-over", type=int, default=300)
    parser.add_argument("--no-ray", action="store_true")
    options = parser.parse_args()
    kinds = [kind for kind in KINDS if kind[0] != "ray" or not options.no_ray]
    print(f"{num_cpus()} CPUs")
    if options.handed_over:
        handing_over(options.handed_over, kinds)
    if options.trials:
        from mnas.quiet import load_tensorflow

        load_tensorflow(threads=1)
        training(options.trials, options.steps, kinds)


if __name__ == "__main__":
    main()
