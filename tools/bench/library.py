"""How well does a block library rank networks, how near do strategies come to its optimum, and what does it win?

- ranking: random networks over the whole range of latencies at the library's largest resolution, fine-tuned; beside
  their accuracy and loss on the test split the stitched networks' scores, the predictions, and multiply-adds.
- search: every strategy's best prediction within a budget, over seeds, against the optimum of the integer program.
- result: the whole search for shares of the teacher's latency, against the teacher fine-tuned at smaller resolutions.
- random: the same with random search of as many trials as a strategy has.
- latency: teacher, its smaller versions and the winners, measured interleaved in one run.
- report: what is known so far, as text.

Every result is kept in --out; the same command resumes. Nothing is chosen by the test split.

Run: python -m tools.bench.library --library runs/library --table T.json --out /somewhere/library [--parts ...]
"""

from __future__ import annotations

import argparse
import shutil
import time
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import bootstrap

from mnas.arch.complexity import complexity
from mnas.arch.spec import Architecture
from mnas.data.batches import plain_batches
from mnas.devices.registry import open_device
from mnas.evaluators.library import LibraryEvaluator, open_evaluator
from mnas.latency.estimator import table_costs
from mnas.profiling.bench import bench
from mnas.reward import REWARDS, make_reward
from mnas.search.build import rejection, strategy_for
from mnas.search.constraints import latency_budget
from mnas.search.loop import run_trials
from mnas.search.objective import Objective
from mnas.search.options import SearchOptions
from mnas.search.session import run_study
from mnas.study.study import Study
from mnas.study.trial_log import MemoryLog
from mnas.system.native_output import load_tensorflow
from mnas.tflite.random_model import write_random_model
from mnas.train.pretrained import Pretrained, open_pretrained
from mnas.train.trained_network import Trained, open_trained
from mnas.train.trainer import train_network
from tools.bench.interleaved import interleaved_ms, latency_step
from tools.bench.ranking_results import tau_with_interval
from tools.bench.resumable import ResumableRun, resumable_parser, run_parts

PARTS = ("ranking", "search", "result", "random", "latency", "report")
STRATEGIES = ("random", "reinforce", "ppo", "evolution", "differentiable")
DRAWN = 20_000


class LibraryBench:
    """The work that is left, step by step."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.run = ResumableRun(given.out, given.seconds)
        self.costs, self.estimator = table_costs(str(given.table), self.evaluator.data.library.space)

    @cached_property
    def evaluator(self) -> LibraryEvaluator:
        """The library's."""
        return open_evaluator(self.given.library)

    @property
    def teacher(self) -> Trained:
        """The library's teacher."""
        return self.evaluator.data.library.teacher

    @cached_property
    def teacher_ms(self) -> float:
        """The teacher's latency by the table."""
        return self.estimator.predict(self.teacher.architecture).latency_ms

    def networks(self) -> list[Architecture]:
        """Random networks of the largest resolution, their latencies evenly spread over the whole range."""
        space = self.evaluator.data.library.space
        rng = np.random.default_rng(self.given.seed)
        rows = []
        for _ in range(DRAWN):  # each with a preference of its own, or all would have the same middling latency
            keen = rng.uniform(0, 1)
            own = [
                int(rng.integers(len(row)))
                if rng.uniform() < keen
                else int(np.argmin(row + 1e-9 * rng.random(len(row))))
                for row in (self._latencies if rng.uniform() < 0.5 else [-each for each in self._latencies])
            ]
            rows.append([*own, 0] if space.resolutions else own)
        latencies = self.costs(np.array(rows))
        wanted = np.linspace(latencies.min(), latencies.max(), self.given.count)
        places = [int(np.argmin(np.abs(latencies - each))) for each in wanted]
        return [space.decode(rows[place]) for place in places]

    @cached_property
    def _latencies(self) -> list[Any]:
        return self.costs.additive(0)[1]

    def ranking(self) -> None:
        """Score and fine-tune random networks."""
        self.evaluator.prepare()
        for number, network in enumerate(self.networks()):
            self.run.do(f"score {number}", lambda network=network: self._scores(network))
        for seed in range(self.given.seeds):
            for number, network in enumerate(self.networks()):
                key = f"tuned {self.given.epochs} seed {seed} number {number}"
                self.run.do(key, lambda network=network, seed=seed: self._tune(network, seed))

    def _scores(self, network: Architecture) -> dict[str, float]:
        start = time.perf_counter()
        stitched = self.evaluator.data.stitcher.score(network)
        seconds = time.perf_counter() - start
        return {
            "stitched": stitched.accuracy,
            "stitched_loss": stitched.loss,
            "seconds": seconds,
            "predicted": self.evaluator.accuracy(network),
            "madds": complexity(network).madds,
            "latency_ms": self.estimator.predict(network).latency_ms,
        }

    def _tune(self, network: Architecture, seed: int) -> dict[str, float]:
        data = self.evaluator.data
        weights = Pretrained.of(data.stitcher.weights(network))
        return self._trained(network, weights, self.given.epochs, seed, f"tuned-{seed}")

    def _trained(
        self, network: Architecture, weights: Pretrained, epochs: int, seed: int, name: str
    ) -> dict[str, float]:
        """Train, test once, throw the network away."""
        folder = self.given.out / "scratch" / name
        shutil.rmtree(folder, ignore_errors=True)
        data = self.evaluator.data
        trained = train_network(
            network,
            data.source,
            folder,
            recipe="finetune",
            weights=weights,
            seed=seed,
            epochs=epochs,
            dataset=data.dataset(network.resolution),
        )
        found = {**accuracies(trained), "test_loss": test_loss(trained, data.dataset(network.resolution).test)}
        shutil.rmtree(folder)
        return found

    def search(self) -> None:
        """Run every strategy on the predictions, and the integer program."""
        for share in self.given.shares:
            budget = latency_budget(
                lambda network: self.estimator.predict(network).latency_ms, share * self.teacher_ms, self.costs
            )
            objective = Objective(self.evaluator, make_reward(self.given.reward, beta=self.given.beta), [budget])
            self.run.do(f"optimum {share}", lambda o=objective: self._search("exact", 0, o, 1))
            for strategy in self.given.strategies:
                for seed in range(self.given.search_seeds):
                    key = self._search_key(strategy, share, seed)
                    self.run.do(key, lambda s=strategy, n=seed, o=objective: self._search(s, n, o, self.given.trials))

    def _search_key(self, strategy: str, share: float, seed: int) -> str:
        given = (self.given.reward, self.given.beta)
        other = "" if given == ("absolute", None) else f" reward {given[0]} {given[1]}"
        return f"search {strategy} {share} seed {seed}{other}"

    def _search(self, strategy: str, seed: int, objective: Objective, trials: int) -> dict[str, float]:
        space = self.evaluator.data.library.space
        self.evaluator.prepare()
        feasible = rejection(strategy, self.evaluator, objective.budgets)
        made = strategy_for(strategy, space, self.evaluator, objective.budgets, seed=seed, feasible=feasible)
        start = time.perf_counter()
        found = run_trials(made, objective, MemoryLog(), num_trials=trials, batch_size=min(10, trials))
        seconds = time.perf_counter() - start
        met = [trial.measurement for trial in found if trial.measurement and objective.is_met_by(trial)]
        if not met:
            return {"best": 0.0, "budget_share": 0.0, "seconds": seconds}
        best = max(met, key=lambda each: each.accuracy)
        assert best.latency_ms is not None
        share = best.latency_ms / objective.budgets[0].limit
        return {"best": best.accuracy, "budget_share": share, "seconds": seconds}

    def result(self) -> None:
        """Search for shares of the teacher's latency; fine-tune the teacher at smaller resolutions."""
        self.run.do(
            "teacher", lambda: {**accuracies(self.teacher), "measured_ms": self._measure(self.teacher.architecture)}
        )
        for seed in range(self.given.seeds):
            for share in self.given.shares:
                self.run.do(f"result {share} seed {seed}", lambda share=share, seed=seed: self._result(share, seed))
            for size in self.given.sizes:
                self.run.do(f"smaller {size} seed {seed}", lambda size=size, seed=seed: self._smaller(size, seed))

    def random(self) -> None:
        """Fine-tune the best prediction of random search."""
        for seed in range(self.given.seeds):
            for share in self.given.shares:
                key = f"random {share} seed {seed}"
                self.run.do(key, lambda share=share, seed=seed: self._result(share, seed, "random"))

    def _result(self, share: float, seed: int, strategy: str = "exact") -> dict[str, float]:
        name = f"share{share}-seed{seed}"
        folder = self.given.out / "studies" / (name if strategy == "exact" else f"{strategy}-{name}")
        size: dict[str, Any] = {"trials": 40, "batch": 20} if strategy == "exact" else {"trials": self.given.trials}
        options = SearchOptions(
            library=str(self.given.library),
            table=[str(self.given.table)],
            budget_ms=[share * self.teacher_ms],
            strategy=strategy,
            **size,
            finalists=self.given.finalists,
            final_epochs=self.given.final_epochs,
            distill=self.given.distill,
            baseline=False,
            seed=seed,
        )
        start = time.perf_counter()
        report = run_study(options, folder, resume=folder.exists())
        best = report["best"]
        winner = max(
            (open_trained(path) for path in sorted((folder / "finalists").iterdir())),
            key=lambda trained: trained.training["validation_accuracy"],
        )
        measured = self._measure(winner.architecture)
        found = {**accuracies(winner), "measured_ms": measured, "table_ms": best["latency_ms"]}
        return {**found, "resolution": winner.architecture.resolution, "seconds": time.perf_counter() - start}

    def _smaller(self, size: int, seed: int) -> dict[str, float]:
        network = replace(self.teacher.architecture, resolution=size)
        weights = open_pretrained(str(self.teacher.folder), network)
        found = self._trained(network, weights, self.given.final_epochs, seed, f"smaller-{seed}")
        return {**found, "measured_ms": self._measure(network)}

    def _measure(self, network: Architecture) -> float:
        """Latency on this machine, LiteRT, one thread, XNNPACK, float32."""
        return bench(write_random_model(network), open_device("local"), seconds=8.0).quiet_ms

    def latency(self) -> None:
        """Measure the networks of `result` again, interleaved, so that a disturbance affects all of them."""
        networks = self._networks()
        self.run.do(latency_step(networks), lambda: interleaved_ms(networks))

    def _networks(self) -> dict[str, Architecture]:
        teacher = self.teacher.architecture
        networks = {f"teacher {size}": replace(teacher, resolution=size) for size in self.given.sizes}
        networks[f"teacher {teacher.resolution}"] = teacher
        for folder in sorted(path.parent for path in (self.given.out / "studies").glob("*/best.json")):
            networks[folder.name] = Study.open(folder).architecture()
        return networks

    def report(self) -> None:
        """Print what is known."""
        self._report_ranking()
        self._report_search()
        for kind in ("teacher", "result", "random", "smaller"):
            for path in sorted(self.given.out.glob(f"{kind}*.json")):
                found = self.run.get(path.stem)
                print(path.stem, {name: round(value, 4) for name, value in found.items()})
        measured = self.run.get(latency_step(self._networks())) or {}
        print("interleaved, in ms", {name: round(value, 4) for name, value in measured.items()})
        print("processor minutes:", {name: round(value, 1) for name, value in self.run.minutes().items()})

    def _report_ranking(self) -> None:
        scores = [self.run.get(f"score {number}") for number in range(self.given.count)]
        truths = [
            [
                self.run.get(f"tuned {self.given.epochs} seed {seed} number {number}")
                for number in range(self.given.count)
            ]
            for seed in range(self.given.seeds)
        ]
        if None in scores or None in truths[0]:
            return
        truth = {name: np.array([row[name] for row in truths[0]]) for name in truths[0][0]}
        low, high = truth["test_accuracy"].min(), truth["test_accuracy"].max()
        print(
            f"ranking of {self.given.count} networks, {self.given.epochs} epochs, test accuracy {low:.3f} to {high:.3f}"
        )
        print("  tau with test accuracy and test loss (95 %); the same within the faster and the slower half")
        middle = self.given.count // 2  # they are in the order of their latencies
        for name in ("stitched", "stitched_loss", "predicted", "madds", "latency_ms"):
            sign = -1 if name == "stitched_loss" else 1
            values = np.array([sign * row[name] for row in scores])
            for part in (slice(None), slice(middle), slice(middle, None)):
                taus = [_tau(values[part], each[part]) for each in (truth["test_accuracy"], -truth["test_loss"])]
                print(f"  {name}: {taus[0]} and {taus[1]}")
        print(f"  validation accuracy after fine-tuning: {_tau(truth['validation_accuracy'], truth['test_accuracy'])}")
        if len(truths) > 1 and None not in truths[1]:
            other = np.array([row["test_accuracy"] for row in truths[1]])
            other_loss = np.array([row["test_loss"] for row in truths[1]])
            print(f"  another seed: {_tau(other, truth['test_accuracy'])} and {_tau(-other_loss, -truth['test_loss'])}")
        print(f"  a stitched score: {np.median([row['seconds'] for row in scores]):.2f} s")

    def _report_search(self) -> None:
        for share in self.given.shares:
            optimum = self.run.get(f"optimum {share}")
            if optimum is None:
                continue
            print(f"search at {share:.0%} of the teacher's latency, optimum {optimum['best']:.4f}")
            runs = {
                name: [self.run.get(self._search_key(name, share, seed)) for seed in range(self.given.search_seeds)]
                for name in self.given.strategies
            }
            for name, rows in runs.items():
                if None in rows:
                    continue
                best = np.array([row["best"] for row in rows])
                near = int(np.sum(best >= 0.99 * optimum["best"]))
                line = f"  {name}: mean {best.mean():.4f}, least {best.min():.4f}, within 1 %: {near} of {len(rows)}"
                if name != "random" and None not in runs["random"]:
                    ahead = best - np.array([row["best"] for row in runs["random"]])
                    line += f", ahead of random by {ahead.mean():+.4f} {_interval(ahead)}"
                    filled = np.array([row["budget_share"] >= 0.97 for row in rows])
                    line += f", within 3 % of the budget: {filled.sum()}, and ahead: {np.sum(filled & (ahead > 0))}"
                print(f"{line}, {np.mean([row['seconds'] for row in rows]):.1f} s")


def accuracies(trained: Trained) -> dict[str, float]:
    """Validation and test accuracy of a trained network."""
    return {name: float(trained.training[name]) for name in ("validation_accuracy", "test_accuracy")}


def test_loss(trained: Trained, split: Any) -> float:
    """Mean cross-entropy on a split."""
    model, losses = trained.build(), []
    for images, labels in plain_batches(split, 64):
        shares = np.asarray(model.predict_on_batch(images))
        losses += list(-np.log(np.maximum(shares[np.arange(len(labels)), labels], 1e-12)))
    return float(np.mean(losses))


def _tau(one: Any, other: Any) -> str:
    return "{:.2f} ({:.2f} to {:.2f})".format(*tau_with_interval(one, other))


def _interval(values: Any) -> str:
    if np.ptp(values) == 0:
        return f"[{values[0]:+.4f}, {values[0]:+.4f}]"
    found = bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(0)).confidence_interval
    return f"[{found.low:+.4f}, {found.high:+.4f}]"


def main() -> None:
    """Read the options and do the parts."""
    parser = resumable_parser("tools.bench.library", __doc__, PARTS)
    parser.add_argument("--library", type=Path, required=True, help="a folder of mnas library build")
    parser.add_argument("--table", type=Path, required=True, help="a latency table of this machine for its space")
    parser.add_argument("--count", type=int, default=30, help="networks of the ranking")
    parser.add_argument("--epochs", type=int, default=2, help="of their fine-tuning")
    parser.add_argument("--seed", type=int, default=0, help="of the networks of the ranking")
    parser.add_argument("--seeds", type=int, default=1, help="of the fine-tunings")
    parser.add_argument("--reward", choices=REWARDS, default="absolute", help="of the strategies")
    parser.add_argument("--beta", type=float, help="its weight or exponent; by default its own")
    parser.add_argument("--search-seeds", type=int, default=10, help="of the strategies")
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES), help="random among them, to compare with")
    parser.add_argument("--trials", type=int, default=2000, help="of a strategy")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.58, 0.4, 0.25], help="of the teacher's latency")
    parser.add_argument("--sizes", type=int, nargs="+", default=[96, 64], help="of the teacher's smaller versions, px")
    parser.add_argument("--finalists", type=int, default=2)
    parser.add_argument("--final-epochs", type=int, default=8)
    parser.add_argument("--distill", type=float, default=0.5)
    given = parser.parse_args()
    load_tensorflow()
    run_parts(LibraryBench(given), PARTS, given.parts)


if __name__ == "__main__":
    main()
