"""Which evaluator ranks architectures best for a minute of this machine? Asserts nothing.

The truth is stand-alone training, long enough to mean something, with two seeds; tau between these is the ceiling.
Against it, each with what judging 300 architectures would cost, training included:
- totals: parameters or multiply-adds alone, which cost nothing;
- proxy: short trainings, at several lengths, with a seed of their own;
- rungs: the long training as it stood on the way, and stopped early as a search does, against the other seed;
- predictor: what other architectures' short trainings teach, alone and together with a short training of the
  architecture itself.

Every result is kept in --out: stop it whenever you like (--seconds ends a call in time), the same command resumes.
The last part writes ranking.csv and .html.

Run: python -m tools.bench.ranking --out /somewhere/ranking [--seconds 1700] [--parts ...]
"""

from __future__ import annotations

import argparse
import sys
from functools import cached_property
from typing import Any

import numpy as np

from mnas.arch.spec import Architecture
from mnas.data.dataset import load_dataset
from mnas.errors import MnasError
from mnas.evaluators.proxy import ProxyEvaluator, ProxyRecipe
from mnas.latency.estimator import table_costs
from mnas.space.files import load_space
from mnas.system.native_output import load_tensorflow
from tools.bench.ranking_report import report
from tools.bench.ranking_results import RankingResults
from tools.bench.resumable import ResumableRun, resumable_parser, run_parts

TABLE = "latency_tables/epyc_litert_float32_mnasnet-32.json"
DRAWN = 20_000  # random architectures, of which those are taken whose latencies are wanted
PARTS = ("truth", "proxies", "taught", "report")
PROXY_SEED = 7  # not one of the truth's: two trainings with equal weights and images agree too well


class Ranking:
    """The work that is left, step by step."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.given = arguments
        self.run = ResumableRun(arguments.out, arguments.seconds)
        self.space = load_space(arguments.space)
        rng = np.random.default_rng(arguments.seed)
        self.costs = table_costs(arguments.table, self.space)[0]
        self.ranked = self._sampled(rng, arguments.count)
        self.teachers = self._sampled(rng, arguments.taught)

    def _sampled(self, rng: np.random.Generator, count: int) -> list[Architecture]:
        """Random architectures, their latencies evenly spread (by the logarithm) over the range that is asked for.

        Most of a space's architectures are alike in latency and accuracy; a search that trades one for the other has to
        tell apart those that are not.
        """
        rows = np.stack([rng.integers(len(one.choices), size=DRAWN) for one in self.space.decisions], axis=1)
        latencies = self.costs(rows)
        nearest = [int(np.argmin(np.abs(latencies - wanted))) for wanted in np.geomspace(*self.given.range_ms, count)]
        return [self.space.decode(rows[place].tolist()) for place in nearest]

    @cached_property
    def dataset(self) -> Any:
        """The images."""
        return load_dataset(self.given.data, resolution=self.space.resolution)

    def _train(self, architecture: Architecture, steps: int, seed: int, rungs: int) -> list[float] | None:
        """Accuracies of one training on its way, or None where it diverged."""
        recipe = ProxyRecipe(steps=steps, batch_size=self.given.batch, seed=seed, rungs=rungs)
        try:
            return list(ProxyEvaluator(self.dataset, recipe, max_validation=self.given.images).rungs(architecture))
        except MnasError as error:
            print(error, file=sys.stderr)
            return None

    def _train_all(self, kind: str, chosen: list[Architecture], steps: int, seed: int, rungs: int = 1) -> None:
        for number, architecture in enumerate(chosen):
            key = f"{kind} {steps}x{self.given.batch} seed {seed} number {number}"
            self.run.do(key, lambda: {"curve": self._train(architecture, steps, seed, rungs)})  # noqa: B023

    def truth(self) -> None:
        """Train every architecture by itself, with two seeds."""
        for seed in range(2):
            self._train_all("truth", self.ranked, self.given.truth_steps, seed, self.given.rungs)

    def proxies(self) -> None:
        """Train every architecture shortly, at several lengths."""
        for steps in self.given.proxy_steps:
            self._train_all("proxy", self.ranked, steps, PROXY_SEED)

    def taught(self) -> None:
        """Train other architectures shortly: they teach the predictor."""
        self._train_all("taught", self.teachers, self.given.taught_steps, PROXY_SEED)

    def report(self) -> None:
        """Print what was found, and draw it."""
        report(
            RankingResults(
                run=self.run,
                space=self.space,
                ranked=self.ranked,
                teachers=self.teachers,
                batch=self.given.batch,
                truth_steps=self.given.truth_steps,
                proxy_steps=self.given.proxy_steps,
                taught_steps=self.given.taught_steps,
                seed=PROXY_SEED,
            )
        )


def main() -> None:
    """Do what is left, then report."""
    parser = resumable_parser("tools.bench.ranking", __doc__, PARTS)
    parser.add_argument("--space", default="mnasnet-32")
    parser.add_argument("--table", default=TABLE)
    parser.add_argument(
        "--range-ms", type=float, nargs=2, default=[0.15, 0.6], help="of the architectures' latencies, by the table"
    )
    parser.add_argument("--data", default="fashion_mnist")
    parser.add_argument("--count", type=int, default=30, help="architectures that are ranked")
    parser.add_argument("--taught", type=int, default=40, help="other architectures, which teach the predictor")
    parser.add_argument("--seed", type=int, default=11, help="of the architectures")
    parser.add_argument("--images", type=int, default=3000, help="validation images")
    parser.add_argument("--batch", type=int, default=32, help="images a step, of everything")
    parser.add_argument("--truth-steps", type=int, default=640)
    parser.add_argument("--rungs", type=int, default=6, help="scores on the way of the truth's trainings")
    parser.add_argument("--proxy-steps", type=int, nargs="+", default=[15, 30, 60, 120])
    parser.add_argument("--taught-steps", type=int, default=60)
    arguments = parser.parse_args()
    if set(arguments.parts) != {"report"}:
        load_tensorflow()
    run_parts(Ranking(arguments), PARTS, arguments.parts)


if __name__ == "__main__":
    main()
