"""Trials an hour with more workers, what handing a trial over costs, and a step of ImageNet's size. Prints figures.

Run: python -m tools.bench.workers [--trials 12] [--steps 30] [--handed-over 300] [--no-ray]
     python -m tools.bench.workers --trials 0 --handed-over 0 --large-steps 5 [--large-batch 32]
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import pairwise, product
from pathlib import Path

import numpy as np

from mnas.arch.complexity import complexity
from mnas.arch.spec import Architecture
from mnas.arch.zoo import ZOO
from mnas.data.dataset import Dataset, Split
from mnas.evaluators.proxy import ProxyEvaluator, ProxyRecipe
from mnas.search.build import Prepared, prepare
from mnas.search.executor import Executor
from mnas.search.executors.factory import open_executor
from mnas.search.options import SearchOptions
from mnas.space.files import load_space
from mnas.strategies.registry import make_strategy
from mnas.system.environment import num_cpus
from tools.command_line import make_parser

KINDS = (("local", 1), ("local", 2), ("ray", 1), ("ray", 2))


def time_trials(
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


def time_training(num_trials: int, steps: int, kinds: Sequence[tuple[str, int]]) -> None:
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
        started, seconds, facts = time_trials(opened, prepared, candidates, 2)
        found.append(facts)
        print(
            f"{kind} {workers} worker(s), 1 thread each: {3600 * num_trials / seconds:7.0f} trials an hour "
            f"({seconds:.1f} s for {num_trials}; started in {started:.1f} s)",
            flush=True,
        )
    print(f"all found the same, to the last bit: {all(facts == found[0] for facts in found)}")


def time_handing_over(num_trials: int, kinds: Sequence[tuple[str, int]]) -> None:
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
            _, seconds, _ = time_trials(opened, prepared, candidates, 2)
            each = 1e3 * seconds / num_trials
            here = here or each
            print(f"{kind} {workers} worker(s): {each:6.2f} ms a trial, {each - here:+.2f} ms against this process")


def time_large_steps(steps: int, batch: int) -> None:
    """Steps of networks of the space `mnasnet` at 224 px, on noise and with all CPUs."""
    space = load_space("mnasnet")
    rng = np.random.default_rng(0)
    size = (2 * batch, space.resolution, space.resolution, 3)
    split = Split(rng.integers(0, 255, size, np.uint8), rng.integers(0, space.num_classes, 2 * batch))
    names = tuple(str(number) for number in range(space.num_classes))
    evaluator = ProxyEvaluator(Dataset("noise", names, split, split, split), ProxyRecipe(steps=steps, batch_size=batch))
    for name, network in {"mnasnet-a1": ZOO["mnasnet-a1"], "a sample": space.sample(rng)}.items():
        first, each, scoring = _seconds(evaluator, network, split)
        madds = complexity(network).madds
        print(
            f"{name} ({madds / 1e6:.0f} M multiply-adds, {space.resolution} px): {batch} images a step, {each:.2f} s, "
            f"the first one {first:.1f} s; scoring {scoring / len(split):.4f} s an image; "
            f"{6 * madds * batch / each / 1e9:.1f} GFLOP/s in training",
            flush=True,
        )


def _seconds(evaluator: ProxyEvaluator, network: Architecture, split: Split) -> tuple[float, float, float]:
    """Of the first step, of each of the others, and of scoring a split."""
    stamps = [time.perf_counter()]
    trained = evaluator.fit(network, on_step=lambda step, loss: stamps.append(time.perf_counter()))
    trained.logits(split.images)  # traces
    start = time.perf_counter()
    trained.logits(split.images)
    scoring = time.perf_counter() - start
    return stamps[1] - stamps[0], statistics.median(b - a for a, b in pairwise(stamps[1:])), scoring


def main() -> None:
    """What is asked for, with and without Ray."""
    parser = make_parser("tools.bench.workers", __doc__)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--handed-over", type=int, default=300)
    parser.add_argument("--large-steps", type=int, default=0)
    parser.add_argument("--large-batch", type=int, default=32)
    parser.add_argument("--no-ray", action="store_true")
    options = parser.parse_args()
    kinds = [kind for kind in KINDS if kind[0] != "ray" or not options.no_ray]
    print(f"{num_cpus()} CPUs")
    if options.handed_over:
        time_handing_over(options.handed_over, kinds)
    if options.trials:
        from mnas.system.native_output import load_tensorflow

        load_tensorflow(threads=1)
        time_training(options.trials, options.steps, kinds)
    if options.large_steps:
        from mnas.system.native_output import load_tensorflow

        load_tensorflow()
        time_large_steps(options.large_steps, options.large_batch)


if __name__ == "__main__":
    main()
