"""How well a supernet ranks architectures, how fast it trains, and what an architecture costs. Asserts nothing.

Kendall's tau between the supernet's scores and stand-alone training, as it grows with the supernet's steps, and beside
it the ceiling: tau between two seeds of stand-alone training. Everything is kept in a folder, so that the work can be
stopped (--seconds) and gone on with by the same command; the last call prints the report.

Run: python tools/bench_supernet.py --out /somewhere/bench [--steps 600] [--alone-steps 60] [--seconds 220]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from mnas.arch.complexity import complexity
from mnas.arch.spec import Architecture
from mnas.errors import MnasError
from mnas.latency.card import kendall_tau
from mnas.quiet import load_tensorflow
from mnas.space import load_space
from mnas.train.data import load_dataset, normalise
from mnas.train.proxy import ProxyEvaluator, ProxyRecipe
from mnas.train.supernet import SupernetEvaluator
from mnas.train.supernet_recipe import SupernetRecipe
from mnas.train.weight_sharing import SupernetTrainer


class Bench:
    """The work that is left, piece by piece; what is done is in one file."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.started = time.monotonic()
        self.file = arguments.out / "results.json"
        self.results: dict[str, Any] = json.loads(self.file.read_text()) if self.file.exists() else {}
        self.space = load_space(arguments.space)
        self.dataset = load_dataset(arguments.data, resolution=self.space.resolution)
        rng = np.random.default_rng(arguments.seed)
        self.architectures = [self.space.sample(rng) for _ in range(arguments.count)]

    def keep(self, key: str, value: Any) -> None:
        """File one result; stop if the time is up."""
        self.results[key] = value
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps(self.results, indent=1))
        self.stop_in_time()

    def stop_in_time(self) -> None:
        """End the program when this call has run as long as it may."""
        if time.monotonic() - self.started > self.arguments.seconds:
            sys.exit(f"stopped in time with {len(self.results)} results; the same command goes on")

    def alone(self) -> None:
        """Train every architecture by itself, with two seeds."""
        for seed in range(self.arguments.alone_seeds):
            recipe = ProxyRecipe(steps=self.arguments.alone_steps, batch_size=self.arguments.alone_batch, seed=seed)
            evaluator = ProxyEvaluator(self.dataset, recipe)
            for number, architecture in enumerate(self.architectures):
                key = f"alone {recipe.steps}x{recipe.batch_size} seed {seed} #{number}"
                if key not in self.results:
                    self.keep(key, self.train_alone(evaluator, architecture))

    def train_alone(self, evaluator: ProxyEvaluator, architecture: Architecture) -> dict[str, Any]:
        """Accuracy and seconds; no accuracy where the training diverged."""
        start, accuracy = time.perf_counter(), None
        try:
            accuracy = evaluator.fit(architecture).accuracy(self.dataset.validation.take(slice(self.arguments.images)))
        except MnasError as error:
            print(error, file=sys.stderr)
        return {"accuracy": accuracy, "seconds": time.perf_counter() - start}

    def supernet(self) -> None:
        """Train a supernet, and score the architectures on the way."""
        given = self.arguments
        recipe = SupernetRecipe(
            steps=given.steps, batch_size=given.batch, num_paths=given.paths, sampling=given.sampling
        )
        name = f"supernet {given.sampling} {given.paths}x{given.batch} of {given.steps}"
        evaluator = SupernetEvaluator(
            self.space,
            self.dataset,
            recipe,
            checkpoint=given.out / f"{name.replace(' ', '_')}.npz",
            max_validation=given.images,
        )
        for milestone in given.milestones:
            until = round(given.steps * milestone)
            if f"{name} at {until}" in self.results:
                continue

            def stop(share: float, what: str) -> None:
                self.stop_in_time()

            start = time.perf_counter()
            try:
                evaluator.train_until(until, stop)
            finally:
                spent = self.results.setdefault(f"seconds of {name}", 0.0) + time.perf_counter() - start
                self.results[f"seconds of {name}"] = spent
                self.file.parent.mkdir(parents=True, exist_ok=True)
                self.file.write_text(json.dumps(self.results, indent=1))
            evaluator.judge(self.architectures[0])  # traces, which is no cost of an architecture
            start = time.perf_counter()
            scores = [evaluator.judge(architecture) for architecture in self.architectures]
            each = (time.perf_counter() - start) / len(scores)
            self.keep(f"{name} at {until}", {"scores": scores, "seconds_each": each})

    def speed(self) -> None:
        """Images a second of a training step: the supernet's on the average architecture, and Keras's on it alone."""
        if "speed" in self.results:
            return
        madds = np.array([complexity(architecture).madds for architecture in self.architectures])
        average = self.architectures[int(np.argmin(np.abs(madds - madds.mean())))]
        images = normalise(self.dataset.train.images[: self.arguments.batch])
        labels = self.dataset.train.labels[: self.arguments.batch]
        trainer = SupernetTrainer(self.space, self.dataset.train, SupernetRecipe(batch_size=self.arguments.batch))
        shared = per_second(lambda: trainer.learn([average], images, labels, 0.01), len(labels))
        alone = per_second(keras_step(average, images, labels), len(labels))
        self.keep("speed", {"supernet": shared, "keras": alone, "madds": int(complexity(average).madds)})

    def report(self) -> None:
        """Print what was found."""
        given = self.arguments
        tag = f"alone {given.alone_steps}x{given.alone_batch}"
        runs = []
        for number in range(given.count):
            found = [self.results.get(f"{tag} seed {seed} #{number}") for seed in (0, 1)]
            runs.append([run for run in found if run is not None and run["accuracy"] is not None])
        done = [number for number, own in enumerate(runs) if own]
        twice = [[run["accuracy"] for run in own] for own in runs if len(own) == 2]
        if len(done) < 3:
            sys.exit(f"only {len(done)} architectures were trained alone: nothing to rank")
        mean = [float(np.mean([run["accuracy"] for run in runs[number]])) for number in done]
        seconds = float(np.mean([run["seconds"] for own in runs for run in own]))
        print(f"{len(done)} architectures of {given.space} on {given.data}, {given.images} validation images")
        print(
            f"stand-alone: {given.alone_steps} steps of {given.alone_batch}, accuracies {min(mean):.3f} to "
            f"{max(mean):.3f}, {seconds:.1f} s a training"
        )
        if len(twice) > 2:
            ceiling = kendall_tau(*zip(*twice, strict=True))
            print(f"ceiling, tau between two seeds: {ceiling:.3f} over {len(twice)} architectures")
        for key, found in self.results.items():
            if key.startswith("supernet"):
                accuracies, losses = zip(*(found["scores"][number] for number in done), strict=True)
                by_loss = kendall_tau([-loss for loss in losses], mean)
                print(
                    f"{key}: tau {kendall_tau(accuracies, mean):.3f} by accuracy, {by_loss:.3f} by loss; accuracies "
                    f"{min(accuracies):.3f} to {max(accuracies):.3f}, {found['seconds_each']:.2f} s an architecture"
                )
            if key.startswith("seconds of"):
                each = (self.results[key] + 300 * found_each(self.results)) / 300
                print(f"{key}: {self.results[key]:.0f}; with 300 architectures scored, {each:.2f} s each")
        madds = [complexity(self.architectures[number]).madds for number in done]
        print(f"for scale, tau of multiply-adds alone: {kendall_tau(madds, mean):.3f}")
        speed = self.results.get("speed")
        if speed is None:
            return
        share = speed["supernet"] / speed["keras"]
        print(
            f"a step at {speed['madds'] / 1e6:.1f} M multiply-adds: {speed['supernet']:.0f} images/s in the supernet, ",
            end="",
        )
        print(f"{speed['keras']:.0f} as a Keras model alone ({share:.2f} of it)")


def found_each(results: dict[str, Any]) -> float:
    """Seconds to score an architecture, the mean over what was scored."""
    return float(np.mean([found["seconds_each"] for key, found in results.items() if key.startswith("supernet")]))


def keras_step(architecture: Architecture, images: Any, labels: Any) -> Any:
    """A training step of a plain Keras model."""
    import keras

    from mnas.nn.build import build_model

    model = build_model(architecture, probabilities=False)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True), loss)
    return lambda: model.train_on_batch(images, labels)


def per_second(step: Any, images: int) -> float:
    """Images a second, by the median of some steps after the first, which trace."""
    times = []
    for _ in range(14):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return float(images / np.median(times[4:]))


def main() -> None:
    """Do what is left, then report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="where results are kept: not in the repository")
    parser.add_argument("--space", default="mnasnet-32")
    parser.add_argument("--data", default="fashion_mnist")
    parser.add_argument("--count", type=int, default=30, help="architectures")
    parser.add_argument("--seed", type=int, default=11, help="of the architectures")
    parser.add_argument("--images", type=int, default=2000, help="validation images")
    parser.add_argument("--alone-steps", type=int, default=400)
    parser.add_argument("--alone-batch", type=int, default=64)
    parser.add_argument("--alone-seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3000, help="of the supernet")
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--paths", type=int, default=1, help="architectures a step")
    parser.add_argument("--sampling", default="fair")
    parser.add_argument("--milestones", type=float, nargs="+", default=[0.25, 0.5, 1.0], help="shares of the steps")
    parser.add_argument("--seconds", type=float, default=1e9, help="stop this call after so long")
    parser.add_argument("--parts", nargs="+", default=["speed", "supernet", "alone", "report"])
    arguments = parser.parse_args()
    load_tensorflow()
    bench = Bench(arguments)
    for part in arguments.parts:
        getattr(bench, part)()


if __name__ == "__main__":
    main()
