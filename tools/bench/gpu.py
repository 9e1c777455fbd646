"""What a GPU is worth: teacher, library, search and finalist on photographs at 224 px, within minutes.

    python -m tools.bench.gpu --data photos --table T.json --budget-ms 5 --out /somewhere/gpu [--seconds 480]

- teacher, mixed: the teacher's fine-tuning in float32, and in mixed precision.
- library: the block library of the first.
- search: an exact search, whose winner is fine-tuned.
- report: seconds and accuracies.

Every part is one of mnas's own commands, after the other. After --seconds it is interrupted; the same call goes on, and
then its seconds are those of the last call. The table is needed for the latencies only: nothing is measured. Seconds
include the start: importing TensorFlow, reading the images, tracing. An epoch's are the median after the first one.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from mnas.study.study import Study
from mnas.train.trained_network import is_trained, open_trained
from tools.bench.commands import do_command, resumed
from tools.bench.resumable import ResumableRun, resumable_parser, run_parts

PARTS = ("teacher", "mixed", "library", "search", "report")


class GpuBench:
    """The work, part by part."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.run = ResumableRun(given.out / "results", given.seconds)

    def teacher(self) -> None:
        """Fine-tune the teacher."""
        self._train("teacher")

    def mixed(self) -> None:
        """Fine-tune it in mixed precision."""
        self._train("mixed", "--mixed-precision")

    def _train(self, name: str, *options: str) -> None:
        network = ("efficientnet-lite0", "--weights", "imagenet", "--resolution", str(self.given.resolution))
        folder = self._folder(name)
        command = ("train", *network, "--data", self.given.data, *options, "--out", str(folder))
        do_command(self.run, name, resumed(command, folder))

    def library(self) -> None:
        """Build the library."""
        space = ("--space", self.given.space) if self.given.space else ()
        how = ("--workers", str(self.given.workers), *space, "--out", str(self._folder("library")))
        do_command(self.run, "library", ("library", "build", str(self._folder("teacher")), *how))

    def search(self) -> None:
        """Search it, and fine-tune the winner."""
        given, study = self.given, self._folder("search")
        budget = ("--table", given.table, "--budget-ms", f"{given.budget_ms:g}", "--measure-finalists", "none")
        trials = ("--strategy", "exact", "--trials", "40", "--batch", "20", "--retrain-seeds", "0", "--no-baseline")
        final = ("--finalists", "1", "--final-epochs", str(given.epochs))
        library = ("--library", str(self._folder("library")), "--study", str(study))
        do_command(self.run, "search", resumed(("search", *library, *budget, *trials, *final), study))

    def _folder(self, name: str) -> Path:
        return Path(self.given.out / name)

    def report(self) -> None:
        """Print what is done."""
        for name in PARTS[:-1]:
            seconds, folder = self.run.get(name), self._folder(name)
            if seconds is None:
                continue
            line = f"{name}: {seconds:.0f} s"
            if name == "search" and (best := Study.open(folder).best()) is not None:
                folder /= best["trained"]
            if is_trained(folder):
                training = open_trained(folder).training
                if later := [epoch["seconds"] for epoch in training["history"][1:]]:
                    line += f", an epoch {statistics.median(later):.1f} s"
                line += f", test accuracy {training['test_accuracy']:.2%}"
            print(line)


def main() -> None:
    """Read the options and do the parts."""
    parser = resumable_parser("tools.bench.gpu", __doc__, PARTS)
    parser.set_defaults(seconds=480.0)
    parser.add_argument("--data", required=True, help="a folder of images by class")
    parser.add_argument("--table", required=True, help="a latency table of the space around EfficientNet-Lite0")
    parser.add_argument("--budget-ms", type=float, required=True)
    parser.add_argument("--space", help="the space around EfficientNet-Lite0 that the table is for")
    parser.add_argument("--resolution", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=12, help="of the winner's fine-tuning")
    parser.add_argument("--workers", type=int, default=4, help="that build the library")
    run_parts(GpuBench(given := parser.parse_args()), PARTS, given.parts)


if __name__ == "__main__":
    main()
