"""Which evaluator ranks architectures best for a minute of this machine? Asserts nothing.

The truth is stand-alone training, long enough to mean something, with two seeds; tau between these is the ceiling.
Against it, each with what judging 300 architectures would cost, training included:
- totals: parameters or multiply-adds alone, which cost nothing;
- proxy: short trainings, at several lengths, with a seed of their own;
- rungs: the long training as it stood on the way, and stopped early as a search does, against the other seed;
- predictor: what other architectures' short trainings teach, alone and together with a supernet's scores or with a
  short training of the architecture itself;
- supernet: by accuracy and by likelihood, as it is trained longer and longer; and with a few steps of its own for every
  architecture, from the weights that it inherits.
And images a second of a supernet's step beside plain Keras models of sampled architectures, where the time goes, and
what share of the processor's arithmetic is used.

Every result is kept in --out: stop it whenever you like (--seconds ends a call in time), the same command resumes.
Another recipe of a supernet (--paths 4, say) is added to what is there. The last part writes ranking.csv and .html.

Run: python -m tools.bench.ranking --out /somewhere/ranking [--seconds 1700] [--parts ...]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from mnas.arch.complexity import complexity
from mnas.arch.spec import Architecture
from mnas.data.dataset import load_dataset, normalise
from mnas.errors import MnasError
from mnas.evaluators.proxy import ProxyEvaluator, ProxyRecipe
from mnas.latency.estimator import table_costs
from mnas.oneshot.evaluator import SupernetEvaluator
from mnas.oneshot.recipe import SupernetRecipe
from mnas.oneshot.trainer import SupernetTrainer
from mnas.space.files import load_space
from mnas.system.native_output import load_tensorflow
from tools.bench.ranking_report import report
from tools.bench.ranking_results import RankingResults
from tools.bench.resumable import ResumableRun, resumable_parser, run_parts
from tools.bench.step_profile import peak_madds_per_second, time_shares

TABLE = "latency_tables/epyc_litert_float32_mnasnet-32.json"
DRAWN = 20_000  # random architectures, of which those are taken whose latencies are wanted
PARTS = ("speed", "truth", "proxies", "taught", "supernet", "tuned", "report")
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

    @property
    def _recipe(self) -> SupernetRecipe:
        given = self.given
        return SupernetRecipe(
            steps=given.steps,
            batch_size=given.batch,
            num_paths=given.paths,
            sampling=given.sampling,
            learning_rate=given.learning_rate,
        )

    @property
    def _name(self) -> str:
        recipe = self._recipe
        name = f"{recipe.sampling} {recipe.num_paths}x{recipe.batch_size} rate {recipe.learning_rate:g}"
        return f"{name} of {recipe.steps}"

    @cached_property
    def _evaluator(self) -> SupernetEvaluator:
        checkpoint = self.run.folder / f"supernet_{self._name.replace(' ', '_')}.safetensors"
        return SupernetEvaluator(
            self.space, self.dataset, self._recipe, checkpoint=checkpoint, max_validation=self.given.images
        )

    def supernet(self) -> None:
        """Train a supernet, and score the architectures on the way."""
        for share in self.given.milestones:
            until = round(self.given.steps * share)
            self.run.do(f"supernet {self._name} at {until}", lambda: self._score(self._evaluator, until))  # noqa: B023

    def tuned(self) -> None:
        """Train every architecture shortly from the weights that it inherits from the supernet."""
        for steps in self.given.tuned_steps:
            recipe = ProxyRecipe(
                steps=steps, batch_size=self.given.batch, seed=PROXY_SEED, learning_rate=self.given.tuned_rate
            )
            evaluator = ProxyEvaluator(
                self.dataset, recipe, max_validation=self.given.images, initial=self._evaluator.inherit
            )
            for number, architecture in enumerate(self.ranked):
                key = f"tuned {steps}x{self.given.batch} {self._name} number {number}"
                self.run.do(key, lambda: evaluator.accuracy(architecture))  # noqa: B023

    def _score(self, evaluator: SupernetEvaluator, until: int) -> dict[str, Any]:
        evaluator.train_until(until, lambda share, what: self.run.stop_in_time())
        start = time.process_time()
        evaluator.judge(self.ranked[0])  # traces, which is no cost of an architecture
        traced = time.process_time()
        scores = [evaluator.judge(architecture) for architecture in self.ranked]
        each = (time.process_time() - traced) / len(scores)
        others = [evaluator.judge(architecture) for architecture in self.teachers]
        spent = time.process_time() - start
        return {"scores": scores, "others": others, "seconds_each": each, "scoring_seconds": spent}

    def speed(self) -> None:
        """Images a second of a training step: the supernet's on a sampled architecture, and Keras's on it alone."""
        self.run.do(f"speed {self.given.batch}", self._measure_speed)

    def _measure_speed(self) -> list[dict[str, Any]]:
        madds = np.array([complexity(architecture).madds for architecture in self.ranked])
        chosen = [
            self.ranked[place] for place in np.argsort(madds)[[len(madds) // 6, len(madds) // 2, -len(madds) // 6]]
        ]
        count = self.given.batch
        images, labels = normalise(self.dataset.train.images[:count]), self.dataset.train.labels[:count]
        trainer = SupernetTrainer(self.space, self.dataset.train, self._recipe)
        found = []
        for architecture in chosen:
            ours, alone = images_per_second(
                [
                    lambda: trainer.learn([architecture], images, labels, 0.01),  # noqa: B023
                    keras_step(architecture, images, labels),
                ],
                count,
            )
            goes = time_shares(lambda: trainer.learn([architecture], images, labels, 0.01))  # noqa: B023
            cost = float(complexity(architecture).madds)
            peak = peak_madds_per_second()
            found.append({"supernet": ours, "keras": alone, "madds": cost, "peak": peak, "goes": goes})
        return found

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


def keras_step(architecture: Architecture, images: Any, labels: Any) -> Any:
    """A training step of a plain Keras model."""
    import keras

    from mnas.nn.build import build_model

    model = build_model(architecture, probabilities=False)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True), loss)
    return lambda: model.train_on_batch(images, labels)


def images_per_second(steps: Sequence[Callable[[], Any]], images: int) -> list[float]:
    """Images a second of several steps in turn, so that what disturbs the machine disturbs all of them.

    By each one's median after the first few, which trace.
    """
    times: list[list[float]] = [[] for _ in steps]
    for _ in range(28):
        for own, step in zip(times, steps, strict=True):
            start = time.perf_counter()
            step()
            own.append(time.perf_counter() - start)
    return [float(images / np.median(own[4:])) for own in times]


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
    parser.add_argument("--tuned-steps", type=int, nargs="+", default=[15, 30], help="from inherited weights")
    parser.add_argument("--tuned-rate", type=float, default=0.05, help="their learning rate")
    parser.add_argument("--steps", type=int, default=3000, help="of the supernet")
    parser.add_argument("--paths", type=int, default=1, help="architectures a step of the supernet")
    parser.add_argument("--sampling", default="fair")
    parser.add_argument("--learning-rate", type=float, default=0.1, help="of the supernet")
    parser.add_argument(
        "--milestones", type=float, nargs="+", default=[0.1, 0.25, 0.5, 1.0], help="shares of the steps"
    )
    arguments = parser.parse_args()
    if set(arguments.parts) != {"report"}:
        load_tensorflow()
    run_parts(Ranking(arguments), PARTS, arguments.parts)


if __name__ == "__main__":
    main()
