"""From scratch: searched networks against MobileNetV2, MnasNet-A1 and random ones, on Fashion-MNIST and this machine.

    python -m tools.bench.from_scratch --out /somewhere/from_scratch [--seconds 1700]

Four kinds of networks, all trained by one recipe with three seeds, all measured as files in one process:
- searched: a predictor is taught by short trainings, evolution searches it, the finalists are trained longer;
- random search: as many short trainings, as many finalists, as many steps, of random architectures within the budget;
- random pick: another random architecture for every seed, nothing but near the budget;
- MobileNetV2 and MnasNet-A1 at several widths. With the strides of the space mnasnet-32 (theirs are for 224 px), their
  heads narrowed with the rest, which is faster than published; and MobileNetV2 with its own strides.

Every choice rests on the validation split. The test split is touched when a network's training has ended, and every
choice was made before the first of these trainings begins.

Time, on 2 cores at 2.5 GHz, where a step of 32 images takes about 11 ms for each million multiply-adds of the network:
- two budgets, two searches each: 20 short trainings of 60 steps at 9 M and 9 s of tracing and scoring, 15 s each; 2
  finalists of 200 steps, 40 s each: 6 minutes a search, 25 in all;
- 15 networks of 139 M together, 400 steps and 22 s of tracing and scoring each: 16 minutes a seed, 47 for three;
- measuring: 3 minutes. In all 75 minutes. Other programs make it longer, and the latencies worse.
Every result is kept in --out: stop it whenever you like (--seconds ends a call in time), the same command resumes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mnas.arch.codec import architecture_from_dict, architecture_to_dict
from mnas.arch.complexity import complexity
from mnas.arch.resize import resize
from mnas.arch.spec import Architecture
from mnas.arch.zoo import zoo
from mnas.latency.estimator import table_costs
from mnas.profiling.bench import measure_files
from mnas.search.build import prepare
from mnas.search.options import SearchOptions
from mnas.space.files import load_space
from mnas.system.native_output import load_tensorflow
from tools.bench.from_scratch_report import write_report
from tools.bench.resumable import ResumableRun, resumable_parser, run_parts

TABLE = "latency_tables/xeon-2.5ghz_litert_float32_mnasnet-32.json"
PARTS = ("search", "random", "train", "latency", "report")
FAMILIES = {  # zoo name, whether with the space's strides, widths that cover 0.14 to 0.8 ms on a 2.5 GHz Xeon
    "mobilenet-v2": ("mobilenet-v2", True, (0.2, 0.35, 0.5)),
    "mobilenet-v2, own strides": ("mobilenet-v2", False, (0.5, 0.75, 1.0)),
    "mnasnet-a1": ("mnasnet-a1", True, (0.2, 0.35, 0.5)),
}
OURS = ("searched", "random search", "random pick")


class Headline:
    """All of the work, step by step."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.given = arguments
        self.run = ResumableRun(arguments.out / "pieces", arguments.seconds)
        self.space = load_space(arguments.space)

    @cached_property
    def dataset(self) -> Any:
        """The images, loaded when they are needed first."""
        from mnas.data.dataset import load_dataset

        load_tensorflow()
        return load_dataset(self.given.data, resolution=self.space.resolution, limit=self.given.limit)

    def search(self) -> None:
        """One search for every budget."""
        for budget in self.given.budgets:
            self._search("searched", budget, evaluator="predictor", strategy="evolution", trials=self.given.trials)

    def random(self) -> None:
        """Random search for every budget, with as many trainings and steps."""
        for budget in self.given.budgets:
            self._search("random search", budget, evaluator="proxy", strategy="random", trials=self.given.samples)

    def _search(self, kind: str, budget: float, *, evaluator: str, strategy: str, trials: int) -> None:
        given = self.given
        options = SearchOptions(
            space=given.space,
            table=[given.table],
            budget_ms=[budget],
            data=given.data,
            max_train_images=given.limit,
            evaluator=evaluator,
            strategy=strategy,
            trials=trials,
            predictor_samples=given.samples,
            proxy_steps=given.proxy_steps,
            proxy_batch=given.proxy_batch,
            finalists=given.finalists,
            final_steps=given.final_steps,
            baseline=False,
        )
        self.run.do(f"{kind} {budget:g}", lambda: self._run_study(options, f"{kind} {budget:g}"))

    def _run_study(self, options: SearchOptions, name: str) -> dict[str, Any]:
        """The winner of one study, which is gone on with where it was begun."""
        from mnas.search.run import run_search
        from mnas.study.study import Study

        load_tensorflow()
        folder = self.given.out / "studies" / name.replace(" ", "_")
        prepared = prepare(options, folder)
        study = Study.resume(folder, prepared.config, options.to_dict())
        prepared.search.objective.evaluator.prepare(lambda share, what: self.run.stop_in_time())
        return run_search(study, prepared.search, on_trial=lambda phase, trial: self.run.stop_in_time())

    def networks(self) -> dict[str, list[Architecture]]:
        """Every network by name: for every seed one, mostly the same."""
        seeds, found = self.given.seeds, {}
        for budget in self.given.budgets:
            for kind in OURS[:2]:
                winner = self.run.get(f"{kind} {budget:g}")
                if winner is None:
                    sys.exit(f"{kind} for {budget:g} ms is not done: leave out --parts, the same command does it first")
                found[f"{kind} {budget:g}"] = [architecture_from_dict(winner["architecture"])] * seeds
            found[f"{OURS[2]} {budget:g}"] = self._picked(budget)
        for family, (name, adapted, widths) in FAMILIES.items():
            for width in widths[:: self.given.every_width]:
                network = resized(name, width, self.space.resolution, adapted=adapted, num_classes=10)
                found[f"{family} {width:g}"] = [network] * seeds
        return found

    def _picked(self, budget: float) -> list[Architecture]:
        """Random architectures that take nine tenths of the budget at least."""
        costs, _ = table_costs(self.given.table, self.space)
        rng = np.random.default_rng([99, round(1e6 * budget)])
        picked: list[Architecture] = []
        while len(picked) < self.given.seeds:
            columns = [rng.integers(len(decision.choices), size=2000) for decision in self.space.decisions]
            rows = np.stack(columns, axis=1)
            latencies = costs(rows)
            near = rows[(0.9 * budget <= latencies) & (latencies <= budget)]
            picked += [self.space.decode(row.tolist()) for row in near]
        return picked[: self.given.seeds]

    def train(self) -> None:
        """Train every network with every seed; seeds in the outer loop, so that early figures are of all networks."""
        networks = self.networks()
        for seed in range(self.given.seeds):
            for name, own in networks.items():
                self.run.do(f"train {name} seed {seed}", lambda: self._train(name, own[seed], seed))  # noqa: B023

    def _train(self, name: str, architecture: Architecture, seed: int) -> dict[str, Any]:
        from mnas.evaluators.proxy import ProxyEvaluator, ProxyRecipe

        given = self.given
        recipe = ProxyRecipe(given.steps, given.batch, label_smoothing=0.1, max_shift=2, seed=seed)
        trained = ProxyEvaluator(self.dataset, recipe).fit(architecture)
        if name.startswith(OURS[0]) and seed == 0:
            self._export(trained, architecture, name)
        return {
            "architecture": architecture_to_dict(architecture),
            "madds": complexity(architecture).madds,
            "params": complexity(architecture).params,
            "validation": trained.accuracy(self.dataset.validation.take(slice(2000))),
            "test": trained.accuracy(self.dataset.test),
        }

    def _export(self, trained: Any, architecture: Architecture, name: str) -> None:
        """The trained network as a file, refused unless it agrees with the Keras model."""
        from mnas.data.batches import plain_batches
        from mnas.export.pipeline import export_model
        from mnas.nn.build import build_model, set_layer_weights

        model = build_model(architecture)
        layers = trained.network.layer_weights(trained.weights, trained.statistics)
        set_layer_weights(model, architecture, [array for layer in layers for array in layer])
        batches = plain_batches(self.dataset.validation, 64, count=500)
        export_model(model, architecture, self._file(name), batches=batches)

    def _file(self, name: str) -> Path:
        return self.given.out / "models" / f"{name.replace(' ', '_')}.tflite"

    def latency(self) -> None:
        """Measure every network; in a process of its own, because TensorFlow's threads make small networks slower."""
        if self.run.get("latency") is not None:
            return
        if "tensorflow" in sys.modules:
            self.run.stop_in_time()
            line = [sys.executable, "-m", "tools.bench.from_scratch", *sys.argv[1:], "--parts", "latency"]
            if subprocess.run(line, check=False).returncode:
                sys.exit("measuring failed: see above")
            return
        self.run.do("latency", self._measure)

    def _measure(self) -> dict[str, Any]:
        from mnas.devices.registry import open_device
        from mnas.tflite.random_model import write_random_model

        files: dict[str, bytes] = {}
        for name, own in self.networks().items():
            for number, architecture in enumerate(dict.fromkeys(own)):
                files[f"{name} #{number}"] = write_random_model(architecture)
            if self._file(name).exists():
                files[f"{name} exported"] = self._file(name).read_bytes()
        bursts, seconds = [self.given.bursts] * len(files), self.given.measure_seconds
        times = measure_files(open_device("local"), list(files.values()), seconds=seconds, quiet_bursts=bursts)
        return {
            name: {"quiet_ms": one.quiet_ms, "median_ms": one.median_ms, "halves_ms": one.halves_ms}
            for name, one in zip(files, times, strict=True)
        }

    def report(self) -> None:
        """All figures: a document, a table, a picture; and the comparisons on the terminal."""
        runs = {
            name: [self.run.get(f"train {name} seed {seed}") for seed in range(self.given.seeds)]
            for name in self.networks()
        }
        times = self.run.get("latency")
        if times is None or not any(run for own in runs.values() for run in own):
            sys.exit("nothing is trained and measured yet: leave out --parts, the same command does it")
        facts = {
            "options": {name: str(value) for name, value in vars(self.given).items()},
            "minutes": self.run.minutes(),
        }
        write_report(self.given.out, runs, times, groups=(tuple(FAMILIES), OURS), facts=facts)


def resized(name: str, width: float, resolution: int, *, adapted: bool, num_classes: int) -> Architecture:
    """A published network for small images; `adapted`: stem and fourth stage keep the size, as in mnasnet-32."""
    network = replace(resize(zoo(name), width=width, resolution=resolution), num_classes=num_classes)
    if not adapted:
        return network
    stages = list(network.stages)
    stages[3] = replace(stages[3], block=replace(stages[3].block, stride=1))
    return replace(network, stages=tuple(stages), stem_stride=1)


def main(line: Sequence[str] | None = None) -> None:
    """Do what is left."""
    parser = resumable_parser("tools.bench.from_scratch", __doc__, PARTS)
    parser.add_argument("--space", default="mnasnet-32")
    parser.add_argument("--table", default=TABLE)
    parser.add_argument("--data", default="fashion_mnist")
    parser.add_argument("--limit", type=int, default=None, help="training images; all of them by default")
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.3, 0.5], help="ms")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=20, help="short trainings that teach, or that random search has")
    parser.add_argument("--trials", type=int, default=1000, help="predicted candidates of a search")
    parser.add_argument("--proxy-steps", type=int, default=60)
    parser.add_argument("--proxy-batch", type=int, default=32)
    parser.add_argument("--finalists", type=int, default=2)
    parser.add_argument("--final-steps", type=int, default=200)
    parser.add_argument("--steps", type=int, default=400, help="of the training that is compared")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--every-width", type=int, default=1, help="take every so many-th width of a family only")
    parser.add_argument("--bursts", type=int, default=12, help="undisturbed ones of every network")
    parser.add_argument("--measure-seconds", type=float, default=180)
    arguments = parser.parse_args(line)
    run_parts(Headline(arguments), PARTS, arguments.parts)


if __name__ == "__main__":
    main()
