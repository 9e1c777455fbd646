"""Long work in steps whose results are kept, one JSON file each, so that it can be stopped and resumed."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mnas.system.files import write_atomically, write_json
from tools.command_line import make_parser


class ResumableRun:
    """The results of a program's steps; the same command resumes where the last call stopped.

    Args:
        folder: where the results are kept; not in the repository.
        seconds: how long this call may run. No step is begun after that, and long ones ask in between.
    """

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder, self.seconds = folder, seconds
        self._started = time.monotonic()

    def path(self, key: str) -> Path:
        """The file of a step's result."""
        return self.folder / f"{key.replace(' ', '_')}.json"

    def get(self, key: str) -> Any:
        """The result of a step that is done, else None."""
        path = self.path(key)
        return json.loads(path.read_text(encoding="utf-8"))["result"] if path.is_file() else None

    def do(self, key: str, work: Callable[[], Any]) -> Any:
        """The result of a step, which is kept: the work is done if it was not done before.

        Args:
            key: its name, letters, digits, points and spaces.
            work: gives plain data. It may call `stop_in_time`, if it keeps by itself what it has done so far.
        """
        if self.get(key) is None:
            self.stop_in_time()
            spent, start = self.path(key).with_suffix(".spent"), time.process_time()
            before = float(spent.read_text(encoding="utf-8")) if spent.is_file() else 0.0
            try:
                result = work()
            except BaseException:
                write_atomically(spent, f"{before + time.process_time() - start:.3f}")
                raise
            seconds = before + time.process_time() - start
            write_json(self.path(key), {"seconds": seconds, "result": result})
            spent.unlink(missing_ok=True)
            print(f"{key}: {seconds:.1f} s", file=sys.stderr, flush=True)
        return self.get(key)

    def seconds_of(self, key: str) -> float:
        """The processor time that a step took, in all calls; 0 if it is not done.

        Not wall-clock time: so other programs on the machine do not count, and a second thread counts twice.
        """
        path = self.path(key)
        return float(json.loads(path.read_text(encoding="utf-8"))["seconds"]) if path.is_file() else 0.0

    def minutes(self) -> dict[str, float]:
        """The processor time that the steps took, by the first word of their names."""
        spent: dict[str, float] = {}
        for path in sorted(self.folder.glob("*.json")):
            kind = path.stem.partition("_")[0]
            spent[kind] = spent.get(kind, 0.0) + float(json.loads(path.read_text(encoding="utf-8"))["seconds"]) / 60
        return spent

    @property
    def seconds_left(self) -> float:
        """How long this call may still run."""
        return self._started + self.seconds - time.monotonic()

    def stop_in_time(self) -> None:
        """End the program when this call has run as long as it may."""
        if self.seconds_left < 0:
            done = len(list(self.folder.glob("*.json")))
            sys.exit(f"stopped in time with {done} steps done; the same command resumes")


def resumable_parser(module: str, doc: str | None, parts: Sequence[str]) -> argparse.ArgumentParser:
    """The options that all resumable programs have: `--out`, `--seconds` and `--parts`."""
    parser = make_parser(module, doc)
    parser.add_argument("--out", type=Path, required=True, help="where all is kept: not in the repository")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin nothing more in this call after so long")
    parser.add_argument("--parts", nargs="+", default=list(parts), choices=parts, help="all of them by default")
    return parser


def run_parts(work: object, parts: Sequence[str], chosen: Sequence[str]) -> None:
    """Call the methods that were chosen, in the order of `parts`."""
    for part in parts:
        if part in chosen:
            getattr(work, part)()
