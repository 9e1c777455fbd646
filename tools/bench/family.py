"""A scaled family that keeps its weights, beside published networks: test accuracy over measured latency.

    python -m tools.bench.family --data photos --base runs/photos --phis 1 2 --out /somewhere/family
        --published efficientnet-lite0:64 efficientnet-lite1:64 efficientnet-lite2:64 [--epochs 8]

- scale: `mnas scale BASE --phi P` for every P; the members keep the base's weights.
- train: `mnas train` of every member, from these weights.
- published: `mnas train NAME --weights imagenet --resolution PX`, for as many epochs.
- latency: all networks, interleaved in one run.
- report: a table, each member against the published ones at equal latency, and a picture.

Every result is kept in --out; the same command resumes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mnas.report.figure import Figure, Series
from mnas.report.png_files import write_pictures
from mnas.scaling.kept import find_weights
from mnas.train.trained_network import Trained, is_trained, open_trained
from tools.bench.commands import do_command, resumed
from tools.bench.family_comparison import Network, compare
from tools.bench.interleaved import interleaved_ms, latency_step
from tools.bench.resumable import ResumableRun, resumable_parser, run_parts

PARTS = ("scale", "train", "published", "latency", "report")
BASE = "base"
_NOISE = 0.05  # of a measured latency, relative


class FamilyBench:
    """The work that is left, part by part."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.run = ResumableRun(given.out / "results", given.seconds)

    def scale(self) -> None:
        """Scale the base; its weights are kept."""
        for phi in self.given.phis:
            out = str(self._folder(f"scaled-{phi:g}"))
            do_command(self.run, f"scale {phi:g}", ("scale", self.given.base, "--phi", f"{phi:g}", "--out", out))

    def train(self) -> None:
        """Train the members."""
        for phi in self.given.phis:
            self._train(f"phi {phi:g}", str(self._folder(f"scaled-{phi:g}")))

    def published(self) -> None:
        """Fine-tune the published networks."""
        for name, resolution in self.given.published:
            self._train(f"{name} {resolution}", name, "--weights", "imagenet", "--resolution", str(resolution))

    def _train(self, name: str, *network: str) -> None:
        folder = self._trained(name)
        how = ("--data", self.given.data, "--epochs", str(self.given.epochs), "--seed", str(self.given.seed))
        do_command(self.run, name, resumed(("train", *network, *how, "--out", str(folder)), folder))

    def _folder(self, name: str) -> Path:
        return Path(self.given.out / name)

    def _trained(self, name: str) -> Path:
        return self._folder(f"trained-{name.replace(' ', '-')}")

    def _networks(self) -> tuple[dict[str, Trained], dict[str, Trained]]:
        """The family's and the published networks that are trained, by name."""
        base = find_weights(self.given.base)
        assert base is not None, f"{self.given.base} has no weights"
        names = [f"phi {phi:g}" for phi in self.given.phis]
        others = [f"{name} {resolution}" for name, resolution in self.given.published]
        members, published = (
            {name: open_trained(self._trained(name)) for name in chosen if is_trained(self._trained(name))}
            for chosen in (names, others)
        )
        return {BASE: base, **members}, published

    def latency(self) -> None:
        """Measure all networks."""
        members, published = self._networks()
        networks = {name: one.architecture for name, one in {**members, **published}.items()}
        self.run.do(latency_step(networks), lambda: interleaved_ms(networks))

    def report(self) -> None:
        """Print what is known, and draw it."""
        both = self._networks()
        measured = self.run.get(latency_step([name for side in both for name in side]))
        if measured is None:
            return
        family, published = ([_network(name, one, measured[name]) for name, one in each.items()] for each in both)
        for side in both:
            for name, one in side.items():
                accuracies = [f"{split} {one.training[f'{split}_accuracy']:.2%}" for split in ("validation", "test")]
                print(f"{name}, {one.architecture.resolution} px: {measured[name]:.3f} ms, {', '.join(accuracies)}")
        if len(published) > 1:
            for network in family:
                found = compare(network, published, noise=_NOISE)
                print(f"{network.name}: {100 * found.difference:+.1f} points of the published at equal latency")
        write_pictures([picture(family, published)], self.given.out)


def _network(name: str, trained: Trained, latency_ms: float) -> Network:
    return Network(name, latency_ms, [trained.training["test_accuracy"]])


def picture(family: Sequence[Network], published: Sequence[Network]) -> Figure:
    """Test accuracy over measured latency: a line for the family, points for the published networks."""
    looks = {"designed and scaled": ("winner", family, "both"), "published": ("kernel3", published, "points")}
    series = []
    for name, (look, networks, kind) in looks.items():
        ordered = sorted(networks, key=lambda one: one.latency_ms)
        x, y = (tuple(one.latency_ms for one in ordered), tuple(one.accuracies[0] for one in ordered))
        series.append(Series(name, look, x, y, kind=kind, hover=tuple(one.name for one in ordered)))
    return Figure(
        "family",
        "A scaled family against published networks",
        "measured latency in ms",
        "test accuracy",
        tuple(series),
        "Test accuracy over measured latency of a family that was scaled with its weights, and of published networks.",
    )


def _at_resolution(text: str) -> tuple[str, int]:
    name, _, resolution = text.partition(":")
    if not resolution.isdigit():
        raise argparse.ArgumentTypeError(f"expected NAME:PIXELS, such as efficientnet-lite0:64, not {text!r}")
    return name, int(resolution)


def main() -> None:
    """Read the options and do the parts."""
    parser = resumable_parser("tools.bench.family", __doc__, PARTS)
    parser.add_argument("--data", required=True, help="a folder of images by class")
    parser.add_argument("--base", required=True, help="a trained folder, or a study whose winner is trained")
    parser.add_argument("--phis", type=float, nargs="+", default=[1.0, 2.0])
    parser.add_argument("--published", type=_at_resolution, nargs="*", default=[], metavar="NAME:PX")
    parser.add_argument("--epochs", type=int, default=8, help="of every training")
    parser.add_argument("--seed", type=int, default=0)
    run_parts(FamilyBench(given := parser.parse_args()), PARTS, given.parts)


if __name__ == "__main__":
    main()
