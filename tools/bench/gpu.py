"""What a GPU is worth: teacher, library, search and finalist on photographs at 224 px, within minutes. Prints a table.

    python -m tools.bench.gpu --data photos --table T.json --budget-ms 5 --out /somewhere/gpu [--seconds 480]

Runs mnas's own commands one after the other: the teacher's fine-tuning in float32 and in mixed precision, the library,
and an exact search whose winner is fine-tuned. After --seconds the running command is interrupted; the same call goes
on. The table is needed for the latencies only: nothing is measured. A whole command's time includes its start: reading
the images, importing TensorFlow, tracing; `an epoch` is the median of the epochs after the first.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from mnas.study.study import Study
from mnas.system.files import read_json, write_json
from mnas.train.trained_network import TRAINING
from tools.command_line import make_parser

_PATIENCE = 20.0  # seconds that an interrupted command has


def commands(given: argparse.Namespace) -> dict[str, list[str]]:
    """The arguments of mnas, by the name of the part and of its folder, without `--resume`."""
    out: Path = given.out
    network = ["efficientnet-lite0", "--weights", "imagenet", "--resolution", str(given.resolution)]
    train = ["train", *network, "--data", given.data]
    search = ["search", "--library", str(out / "library"), "--table", str(given.table), "--strategy", "exact"]
    finalist = ["--finalists", "1", "--final-epochs", str(given.epochs), "--measure-finalists", "none"]
    trials = ["--trials", "40", "--batch", "20", "--retrain-seeds", "0", "--no-baseline"]
    return {
        "teacher": train,
        "mixed": [*train, "--mixed-precision"],
        "library": ["library", "build", str(out / "teacher"), "--workers", str(given.workers), *_around(given)],
        "search": [*search, "--budget-ms", f"{given.budget_ms:g}", *trials, *finalist],
    }


def _around(given: argparse.Namespace) -> list[str]:
    return ["--space", str(given.space)] if given.space else []


def run(name: str, command: list[str], folder: Path, seconds: float) -> None:
    """Run a command, unless it is done, and keep the time it took; end the program if that is too long."""
    record = folder.with_suffix(".json")
    if record.is_file():
        return
    if folder.exists() and command[0] in ("train", "search"):
        command = [*command, "--resume"]
    where = "--study" if command[0] == "search" else "--out"
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "mnas", *command, where, str(folder)])
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE)
        process.kill()
        sys.exit(f"interrupted in the part {name}; the same command goes on")
    if process.returncode:
        sys.exit(f"the part {name} failed: see above")
    write_json(record, {"seconds": time.perf_counter() - start})


def report(out: Path) -> None:
    """Print what is done."""
    for record in sorted(out.glob("*.json"), key=lambda path: path.stat().st_mtime):
        folder = record.with_suffix("")
        line = f"{folder.name}: {read_json(record, 'a result')['seconds']:.0f} s"
        if (folder / "study.json").is_file():
            best = Study.open(folder).best()
            folder = folder / str(best["trained"]) if best is not None else folder
        if (folder / TRAINING).is_file():
            training = read_json(folder / TRAINING, "a training")
            later = [epoch["seconds"] for epoch in training["history"][1:]]
            line += f", an epoch {statistics.median(later):.1f} s" if later else ""
            line += f", test accuracy {training['test_accuracy']:.2%}"
        print(line)


def main() -> None:
    """Read the options, run what is left, print the table."""
    parser = make_parser("tools.bench.gpu", __doc__)
    parser.add_argument("--data", required=True, help="a folder of images by class")
    parser.add_argument("--table", required=True, help="a latency table of the space around EfficientNet-Lite0")
    parser.add_argument("--budget-ms", type=float, required=True)
    parser.add_argument("--space", help="the space around EfficientNet-Lite0 that the table is for")
    parser.add_argument("--resolution", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=12, help="of the winner's fine-tuning")
    parser.add_argument("--workers", type=int, default=4, help="that build the library")
    parser.add_argument("--seconds", type=float, default=480.0)
    parser.add_argument("--out", type=Path, required=True, help="where all is kept: not in the repository")
    given = parser.parse_args()
    start = time.perf_counter()
    for name, command in commands(given).items():
        left = given.seconds - (time.perf_counter() - start)
        run(name, command, given.out / name, max(0.0, left))
    report(given.out)


if __name__ == "__main__":
    main()
