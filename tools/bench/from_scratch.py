"""Without published weights: designed networks against MobileNetV2 and MnasNet-A1, all trained on the same images.

    python -m tools.bench.from_scratch --data ./cifar10 --budgets-ms 0.45 --epochs 100 --out /somewhere/from_scratch
        [--limit 10000] [--longer mobilenet-v2-0.5]

- teacher: `mnas train` of EfficientNet-Lite0 with a stem of stride 1, from random weights, for every seed.
- families: `mnas train` of MobileNetV2 and MnasNet-A1 at several widths with the same stem, as long.
- longer: one of these for twice as many epochs, to see whether its validation accuracy had stopped rising.
- design: `mnas design --teacher FOLDER` for every budget; the winner begins with the library's weights.
- latency: all networks, interleaved in one run.
- report: a table, every designed network against both families, and a picture.

Everything is chosen by validation images. Every result is kept in --out; the same command resumes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mnas.arch.codec import architecture_to_json
from mnas.arch.complexity import complexity
from mnas.arch.resize import resize
from mnas.arch.spec import Architecture
from mnas.arch.zoo import network_for_images, zoo
from mnas.experiments.design import Design
from mnas.experiments.design_options import DesignOptions
from mnas.report.figure import Figure, Series
from mnas.report.png_files import write_pictures
from mnas.study.study import Study
from mnas.system.files import write_atomically
from mnas.train.trained_network import Trained, is_trained, open_trained
from tools.bench.commands import do_command, resumed
from tools.bench.family_comparison import Network, compare
from tools.bench.interleaved import interleaved_ms, latency_step
from tools.bench.resumable import ResumableRun, resumable_parser, run_parts
from tools.bench.tables import write_csv

PARTS = ("teacher", "families", "longer", "design", "latency", "report")
FAMILIES = ("mobilenet-v2", "mnasnet-a1")
TEACHER, DESIGNED = "teacher", "designed"
SPLITS = ("validation", "test")
_NOISE = 0.05  # of a measured latency, relative


class FromScratchBench:
    """The work that is left, part by part."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.run = ResumableRun(given.out / "results", given.seconds)

    def teacher(self) -> None:
        """Train the teachers."""
        for seed in range(self.given.seeds):
            self._train(TEACHER, network_for_images(self.given.resolution), seed)

    def families(self) -> None:
        """Train the published networks; seeds in the outer loop, so that early figures are of all networks."""
        for seed in range(self.given.seeds):
            for family in FAMILIES:
                for width in self.given.widths:
                    self._train(f"{family}-{width:g}", narrowed(family, width, self.given.resolution), seed)

    def longer(self) -> None:
        """Train one of them for twice as many epochs."""
        if self.given.longer is not None:
            family, _, width = self.given.longer.rpartition("-")
            network = narrowed(family, float(width), self.given.resolution)
            self._train(f"longer-{self.given.longer}", network, 0, epochs=2 * self.given.epochs)

    def _train(self, name: str, network: Architecture, seed: int, *, epochs: int | None = None) -> None:
        given, folder = self.given, self._folder(name, seed)
        file = given.out / "networks" / f"{name}.json"
        write_atomically(file, architecture_to_json(network, indent=1) + "\n")
        how = ["--data", given.data, "--epochs", str(epochs or given.epochs), "--seed", str(seed), "--out", str(folder)]
        how += self._limit()
        do_command(self.run, f"train {name} seed {seed}", resumed(("train", str(file), *how), folder))

    def _folder(self, name: str, seed: int) -> Path:
        return Path(self.given.out / f"seed-{seed}" / name)

    def _limit(self) -> list[str]:
        return [] if self.given.limit is None else ["--max-train-images", str(self.given.limit)]

    def design(self) -> None:
        """Design for every seed and budget."""
        given = self.given
        for seed in range(given.seeds):
            for budget_ms in given.budgets_ms:
                command = ["design", given.data, "--budget-ms", f"{budget_ms:g}"]
                command += ["--teacher", str(self._folder(TEACHER, seed)), "--seed", str(seed), "--family", "0"]
                command += ["--epochs", str(given.design_epochs), "--profile-minutes", f"{given.profile_minutes:g}"]
                command += ["--out", str(self._folder(DESIGNED, seed)), *self._limit()]
                do_command(self.run, f"design {budget_ms:g} seed {seed}", command)

    def _winner(self, budget_ms: float, seed: int) -> Path | None:
        """The trained folder of a designed network."""
        if self.run.get(f"design {budget_ms:g} seed {seed}") is None:
            return None
        options = DesignOptions(
            data=self.given.data,
            budget_ms=budget_ms,
            teacher=str(self._folder(TEACHER, seed)),
            epochs=self.given.design_epochs,
            profile_minutes=self.given.profile_minutes,
            family=0,
            max_train_images=self.given.limit,
            seed=seed,
        )
        study = Design(options, self._folder(DESIGNED, seed)).study
        best = Study.open(study).best()
        assert best is not None
        return study / str(best["trained"])

    def networks(self) -> dict[str, list[Trained]]:
        """Return what is trained by name, for every seed one: designed networks differ between seeds."""
        found: dict[str, list[Trained]] = {}
        for name, folders in self._folders():
            trained = [open_trained(folder) for folder in folders if folder is not None and is_trained(folder)]
            if trained:
                found[name] = trained
        return found

    def _folders(self) -> Iterator[tuple[str, list[Path | None]]]:
        seeds = range(self.given.seeds)
        for budget_ms in self.given.budgets_ms:
            yield f"{DESIGNED} {budget_ms:g}", [self._winner(budget_ms, seed) for seed in seeds]
        names = [TEACHER, *(f"{family}-{width:g}" for family in FAMILIES for width in self.given.widths)]
        if self.given.longer is not None:
            names.append(f"longer-{self.given.longer}")
        for name in names:
            yield name, [self._folder(name, seed) for seed in seeds]

    def latency(self) -> None:
        """Measure all networks."""
        networks = {name: one.architecture for name, one in _one_by_one(self.networks()).items()}
        self.run.do(latency_step(networks), lambda: interleaved_ms(networks))

    def report(self) -> None:
        """Print what is known; write a CSV file and a picture."""
        networks = self.networks()
        measured = self.run.get(latency_step(_one_by_one(networks)))
        if measured is None:
            return
        rows, known = [], {}
        for name, own in networks.items():
            latency_ms = float(np.mean([measured[each] for each in _one_by_one({name: own})]))
            validation, test = ([float(one.training[f"{split}_accuracy"]) for one in own] for split in SPLITS)
            known[name] = Network(name, latency_ms, test)
            accuracies = {"validation": float(np.mean(validation)), "test": float(np.mean(test))}
            madds = float(np.mean([complexity(one.architecture).madds for one in own]))
            rows.append({"name": name, "seeds": len(own), "latency_ms": latency_ms, "madds": madds, **accuracies})
            print(f"{name}: {latency_ms:.3f} ms, {madds / 1e6:.1f} M multiply-adds, " + _percents(accuracies))
        for name in (name for name in known if name.startswith(DESIGNED)):
            for family in FAMILIES:
                members = [one for other, one in known.items() if other.startswith(family)]
                if len(members) > 1:
                    print(describe(known[name], family, members))
        write_csv(self.given.out / "from_scratch.csv", rows)
        write_pictures([picture(known)], self.given.out)


def _one_by_one(networks: dict[str, list[Trained]]) -> dict[str, Trained]:
    """Networks by name and seed, as they are measured."""
    return {f"{name} {seed}": one for name, own in networks.items() for seed, one in enumerate(own)}


def _percents(accuracies: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.2%}" for name, value in accuracies.items())


def narrowed(name: str, width: float, resolution: int) -> Architecture:
    """Return a published network at another width for small images: its stem keeps their size, as the teacher's does.

    At its published strides one pixel would be left.
    """
    return replace(resize(zoo(name), width=width, resolution=resolution), stem_stride=1)


def describe(network: Network, family: str, members: Sequence[Network]) -> str:
    """Return how a network compares with a family, in a line."""
    one = compare(network, members, noise=_NOISE)
    bound = "at least " if one.beyond > 0.5 else "at most " if one.below > 0.5 else ""
    low, high = one.speed_up_interval
    faster = f"{bound}{one.speed_up:.2f} times as fast ({low:.2f} to {high:.2f}) at equal accuracy"
    low, high = (100 * value for value in one.difference_interval)
    better = f"{100 * one.difference:+.1f} points ({low:+.1f} to {high:+.1f}) at equal latency"
    return f"{network.name} against {family}: {faster}, {better}"


def picture(known: dict[str, Network]) -> Figure:
    """Test accuracy over measured latency: families as lines, with the range over seeds."""
    series = []
    for group, look in (
        (DESIGNED, "winner"),
        ("mobilenet-v2", "kernel3"),
        ("mnasnet-a1", "random"),
        (TEACHER, "family"),
    ):
        own = sorted((one for name, one in known.items() if name.startswith(group)), key=lambda one: one.latency_ms)
        if own:
            series.append(
                Series(
                    group,
                    look,
                    tuple(one.latency_ms for one in own),
                    tuple(float(np.mean(one.accuracies)) for one in own),
                    kind="both",
                    hover=tuple(one.name for one in own),
                    interval=tuple((min(one.accuracies), max(one.accuracies)) for one in own),
                )
            )
    title = "Networks trained without published weights"
    summary = "Test accuracy over measured latency of designed networks, MobileNetV2, MnasNet-A1 and the teacher."
    return Figure("from-scratch", title, "measured latency in ms", "test accuracy", tuple(series), summary)


def main() -> None:
    """Read the options and do the parts."""
    parser = resumable_parser("tools.bench.from_scratch", __doc__, PARTS)
    parser.add_argument("--data", required=True, help="a folder of images by class, or a data set's name")
    parser.add_argument("--resolution", type=int, default=32, help="in pixels, at most 48")
    parser.add_argument("--budgets-ms", type=float, nargs="+", required=True)
    parser.add_argument("--limit", type=int, help="maximum number of images to train and validate with")
    parser.add_argument("--epochs", type=int, default=100, help="of teachers and published networks")
    parser.add_argument("--design-epochs", type=int, default=12, help="of the winner, which begins with weights")
    parser.add_argument("--widths", type=float, nargs="+", default=[0.35, 0.5, 0.75])
    parser.add_argument("--longer", metavar="NETWORK", help="such as mobilenet-v2-0.5: for twice as many epochs")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--profile-minutes", type=float, default=3.0)
    run_parts(FromScratchBench(given := parser.parse_args()), PARTS, given.parts)


if __name__ == "__main__":
    main()
