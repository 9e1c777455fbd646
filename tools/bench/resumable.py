"""Work in pieces: a folder with one JSON file for each that is done, so that it can be stopped and gone on with."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mnas.files import write_atomically, write_json


class Pieces:
    """What is done stays done: the same command goes on where the last call stopped.

    Args:
        folder: where the pieces are kept; not in the repository.
        seconds: how long this call may run. No piece is begun after that, and long ones ask in between.
    """

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder, self.seconds = folder, seconds
        self._started = time.monotonic()

    def path(self, key: str) -> Path:
        """Of a piece's file."""
        return self.folder / f"{key.replace(' ', '_')}.json"

    def get(self, key: str) -> Any:
        """A piece that is done, else None."""
        path = self.path(key)
        return json.loads(path.read_text(encoding="utf-8"))["result"] if path.is_file() else None

    def do(self, key: str, work: Callable[[], Any]) -> Any:
        """A piece's result, which is kept: the work is done if it was not done before.

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
        """The processor's time that a piece took, in all calls; 0 if it is not done.

        Not the clock's: so others on the machine do not count, and a thread more counts as a thread more.
        """
        path = self.path(key)
        return float(json.loads(path.read_text(encoding="utf-8"))["seconds"]) if path.is_file() else 0.0

    def minutes(self) -> dict[str, float]:
        """The processor's time that the pieces took, by the first word of their names."""
        spent: dict[str, float] = {}
        for path in sorted(self.folder.glob("*.json")):
            kind = path.stem.partition("_")[0]
            spent[kind] = spent.get(kind, 0.0) + float(json.loads(path.read_text(encoding="utf-8"))["seconds"]) / 60
        return spent

    def stop_in_time(self) -> None:
        """End the program when this call has run as long as it may."""
        if time.monotonic() - self._started > self.seconds:
            done = len(list(self.folder.glob("*.json")))
            sys.exit(f"stopped in time with {done} pieces done; the same command goes on")
