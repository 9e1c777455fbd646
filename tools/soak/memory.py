"""Memory over trials in one process, as a curve: `python -m tools.soak --memory 500 --evaluator proxy`.

A line says how many different networks were judged, the resident memory, and the bytes of the C heap that are in use,
which is what a leak adds to: resident memory jumps beside, as glibc takes and gives it back. Short trainings of
networks that were not met before once added 0.1 MiB each: TensorFlow's kernels of networks long gone, which
`mnas.evaluators.proxy` makes it forget.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnas.arch.spec import Architecture
from mnas.evaluators.base import Evaluator
from mnas.reward import make_reward
from mnas.search.objective import Objective
from mnas.strategies.registry import make_strategy
from tests.spaces import small_space

EVALUATORS = ("tabular", "proxy")


@dataclass(frozen=True)
class Memory:
    """A process's memory.

    Attributes:
        networks: different ones that were judged so far.
        resident_mb: in MiB.
        in_use_mb: of the C heap, in MiB: what was asked for and not given back; None where the library does not tell.
    """

    networks: int
    resident_mb: float
    in_use_mb: float | None

    def since(self, first: Memory) -> str:
        """In words, with what was added since the first line."""
        text = f"{self.networks} networks, {self.resident_mb:.1f} MiB ({self.resident_mb - first.resident_mb:+.1f})"
        if self.in_use_mb is None or first.in_use_mb is None:
            return text
        added_mb, new = self.in_use_mb - first.in_use_mb, self.networks - first.networks
        each = f", {1024 * added_mb / new:+.0f} KiB a new network" if new else ""
        return f"{text}, {self.in_use_mb:.1f} MiB of the C heap in use ({added_mb:+.1f}{each})"


def memory_curve(num_trials: int, evaluator_name: str, seconds: float) -> None:
    """Print this process's memory while it judges candidates; the first trials load and trace.

    Args:
        num_trials: how many.
        evaluator_name: one of `EVALUATORS`.
        seconds: stop after so long, wherever it is then.
    """
    start = time.monotonic()
    objective = Objective(_evaluator(evaluator_name), make_reward("absolute"))
    candidates = make_strategy("random", small_space(), seed=0).ask(num_trials)
    points = sorted({round(num_trials * step / 10) for step in range(1, 11)})
    met: set[Architecture] = set()
    first: Memory | None = None
    for number, candidate in enumerate(candidates, 1):
        met.add(candidate)
        trial = objective.evaluate(number, candidate)
        if trial.failed:
            sys.exit(f"trial {number} failed: {trial.error}")
        late = time.monotonic() - start > seconds
        if number in points or late:
            gc.collect()
            now = Memory(len(met), _resident_mb(), in_use_mb())
            first = first or now
            print(
                f"{evaluator_name:8} {number:5} trials: {now.since(first)}; {time.monotonic() - start:.0f} s",
                flush=True,
            )
        if late:
            return


def _evaluator(name: str) -> Evaluator:
    if name == "tabular":
        return _tabular()
    from mnas.data.dataset import load_dataset
    from mnas.evaluators.proxy import ProxyEvaluator, ProxyRecipe
    from mnas.system.native_output import load_tensorflow

    load_tensorflow()
    dataset = load_dataset("digits", resolution=16, limit=300)
    return ProxyEvaluator(dataset, ProxyRecipe(steps=2, batch_size=16), max_validation=32)


def _tabular() -> Evaluator:
    from mnas.evaluators.tabular import TabularEvaluator, stages_text

    space = small_space()
    indices = np.ndindex(*(len(decision.choices) for decision in space.decisions))
    names = [stages_text(space.decode([int(i) for i in row])) for row in indices]
    with tempfile.TemporaryDirectory() as folder:
        document = {"format": "mnas.accuracies", "version": 1, "accuracies": dict.fromkeys(names, 0.5)}
        path = Path(folder) / "table.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        return TabularEvaluator(path)


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


_MALLINFO_FIELDS = (
    *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
    *("usmblks", "fsmblks", "uordblks", "fordblks", "keep"),
)


class _Mallinfo(ctypes.Structure):
    """glibc's `struct mallinfo2`, bytes; see mallinfo(3)."""

    _fields_ = [(name, ctypes.c_size_t) for name in _MALLINFO_FIELDS]


def in_use_mb() -> float | None:
    """What this process has of the C heap, in MiB; None where the C library does not tell."""
    try:
        mallinfo = ctypes.CDLL(None).mallinfo2
    except AttributeError:  # another C library, or glibc before 2.33
        return None
    mallinfo.restype = _Mallinfo
    said = mallinfo()
    return float(said.uordblks + said.hblkhd) / 2**20
