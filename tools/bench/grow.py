"""What kept weights are worth: a grown network after few epochs from them, against the same network from scratch.

    python -m tools.bench.grow --data photos/ --out /somewhere/grow [--base runs/winner] [--epochs 1 3 10] [--seeds 3]

A base is trained (or given as a trained folder), grown by the formula, and the grown network trained for E epochs: from
the kept weights, and from random ones, with the same recipe, data and seeds. As a third column the same weights without
spread: there all copies of a channel stay equal, so this is what the unequal shares are worth.

Every training is kept in --out: stop it whenever you like (--seconds ends a call in time), the same command resumes.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mnas.arch.codec import architecture_to_dict
from mnas.arch.complexity import complexity
from mnas.data.dataset import DataSource
from mnas.scaling.compound import scale_by_formula
from mnas.scaling.grow import SPREAD, grow_weights
from mnas.scaling.kept import KeptWeights, find_weights
from mnas.statistics import welch_interval
from mnas.study.references import resolve_architecture
from mnas.system.files import write_json
from mnas.system.native_output import load_tensorflow
from mnas.train.pretrained import Pretrained
from mnas.train.trained_network import Trained, open_trained
from tools.bench.resumable import ResumableRun, resumable_parser, run_parts

PARTS = ("base", "train", "report")
KEPT, EVEN, SCRATCH = "kept", "kept without spread", "scratch"


class Growth:
    """All of the work, step by step."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.given = arguments
        self.run = ResumableRun(arguments.out / "pieces", arguments.seconds)

    def base(self) -> None:
        """Train the base, unless it is trained."""
        if find_weights(self.given.base) is None:
            self.run.do("base", self._train_base)

    def _train_base(self) -> dict[str, Any]:
        folder = self.given.out / "base"
        return self._train(resolve_architecture(self.given.base), folder, self.given.base_epochs, None, 0)

    @property
    def trained(self) -> Trained:
        """The base."""
        return find_weights(self.given.base) or open_trained(self.given.out / "base")

    def train(self) -> None:
        """Train the grown network; seeds in the outer loop, so that early figures are of all epochs."""
        for seed in range(self.given.seeds):
            for epochs in self.given.epochs:
                for start in self.given.starts:
                    self.run.do(f"{start} {epochs} seed {seed}", lambda: self._grown(start, epochs, seed))  # noqa: B023

    def _grown(self, start: str, epochs: int, seed: int) -> dict[str, Any]:
        trained = self.trained
        kept = KeptWeights(trained, seed)
        grown = kept.fit(scale_by_formula(trained.architecture, self.given.phi))
        spread = SPREAD if start == KEPT else 0.0
        arrays = grow_weights(trained.architecture, kept.arrays, grown, seed=seed, spread=spread)
        weights = None if start == SCRATCH else Pretrained.of(arrays, trained.training["class_names"])
        folder = self.given.out / "trained" / f"{start.replace(' ', '_')}-{epochs}-{seed}"
        return self._train(grown, folder, epochs, weights, seed)

    def _train(
        self, architecture: Any, folder: Path, epochs: int, weights: Pretrained | None, seed: int
    ) -> dict[str, Any]:
        load_tensorflow()
        from mnas.train.trainer import train_network

        source = DataSource(self.given.data, limit=self.given.limit)
        found = train_network(
            architecture,
            source,
            folder,
            recipe=self.given.recipe,
            epochs=epochs,
            weights=weights,
            seed=seed,
            resume=True,
            progress=lambda state: self.run.stop_in_time() if state.epoch_ended else None,
        )
        return {
            "architecture": architecture_to_dict(found.architecture),
            "test": found.training["test_accuracy"],
            "validation": found.training["validation_accuracy"],
        }

    def report(self) -> None:
        """Print mean and deviation of the test accuracies, and write all of them."""
        base = self.trained
        grown = KeptWeights(base).fit(scale_by_formula(base.architecture, self.given.phi))
        sizes = [f"{complexity(each).madds / 1e6:.2f} M at {each.resolution} px" for each in (base.architecture, grown)]
        print(f"base {base.training['test_accuracy']:.2%}, {sizes[0]} multiply-adds; grown {sizes[1]}")
        rows = []
        for epochs in self.given.epochs:
            found = {start: self._accuracies(start, epochs) for start in self.given.starts}
            rows.append({"epochs": epochs, **found})
            words = [f"{start} {_mean(each)}" for start, each in found.items() if each]
            if min(len(found.get(KEPT, [])), len(found.get(SCRATCH, []))) > 1:
                low, high = welch_interval(found[KEPT], found[SCRATCH])
                words.append(f"kept - scratch {100 * low:+.1f} to {100 * high:+.1f} points (95 %)")
            print(f"{epochs} epochs: {'; '.join(words)}")
        options = {name: str(value) for name, value in vars(self.given).items()}
        write_json(self.given.out / "grow.json", {"options": options, "rows": rows, "minutes": self.run.minutes()})

    def _accuracies(self, start: str, epochs: int) -> list[float]:
        results = [self.run.get(f"{start} {epochs} seed {seed}") for seed in range(self.given.seeds)]
        return [result["test"] for result in results if result is not None]


def _mean(accuracies: Sequence[float]) -> str:
    deviation = statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0
    return f"{statistics.mean(accuracies):.2%} (± {deviation:.2%}, {len(accuracies)} seeds)"


def main(line: Sequence[str] | None = None) -> None:
    """Do what is left."""
    parser = resumable_parser("tools.bench.grow", __doc__, PARTS)
    parser.add_argument("--data", required=True, help="as mnas train takes it")
    parser.add_argument("--base", required=True, help="a trained folder, a study, or a network to train first")
    parser.add_argument("--base-epochs", type=int, default=10)
    parser.add_argument("--phi", type=float, default=1.0)
    parser.add_argument("--epochs", type=int, nargs="+", default=[1, 3, 10])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--limit", type=int, default=None, help="images to train and validate on; all by default")
    parser.add_argument("--recipe", default="short", help="of every training, as mnas train takes it")
    parser.add_argument("--starts", nargs="+", default=[KEPT, EVEN, SCRATCH], choices=(KEPT, EVEN, SCRATCH))
    arguments = parser.parse_args(line)
    run_parts(Growth(arguments), PARTS, arguments.parts)


if __name__ == "__main__":
    main()
