"""Kill it at any moment, go on, and find everything as if nothing had happened. One line a kind: tried, survived, lost.

Run: python tools/soak.py [--kills 100] [--kinds random,evolution,...] [--seed 0]      kill -9 at random moments
     python tools/soak.py --memory 500 [--evaluator tabular|proxy|supernet] [--seconds S]  memory over trials, a curve

A kill is survived if the work can be gone on with, and lost if it cannot, if the end differs from that of undisturbed
work in one bit (times apart), or if something that was finished is done again.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from mnas.quiet import quiet
from mnas.strategies.registry import STRATEGIES
from tools.soak_kinds import Kind, grid_kind, predictor_kind, profile_kind, search_kind
from tools.soak_memory import EVALUATORS, memory_curve
from tools.soak_training import export_kind, supernet_kind, train_kind

_MOST_KILLS = 6  # of one piece of work: after so many it is let be until its end
_WITH_SUPERNET = ("differentiable", "tunas")
KINDS: dict[str, Callable[[], Kind]] = {
    **{name: partial(supernet_kind if name in _WITH_SUPERNET else search_kind, name) for name in STRATEGIES},
    "workers": partial(search_kind, "evolution", workers=2),
    "supernet": partial(supernet_kind, "evolution"),
    "predictor": predictor_kind,
    "profile": profile_kind,
    "grid": grid_kind,
    "train": train_kind,
    "export": export_kind,
}
LIGHT = ("random", "evolution", "nsga2", "workers", "predictor", "profile", "grid")  # these need no TensorFlow


def begin(kind: Kind, folder: Path) -> int:
    """Start the work in a fork of this process, which has everything imported, and nothing started."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        if not os.environ.get("MNAS_DEBUG"):
            os.dup2(quiet, 2)
        kind.work(folder)
        code = 0
    except BaseException:
        (folder / "error").write_text(traceback.format_exc(), encoding="utf-8")
    finally:
        os._exit(code)


def kill_often(kind: Kind, kills: int, rng: random.Random) -> list[str]:
    """Kill the work so many times in all, over as many lives as that takes.

    Returns:
        What was lost, in words.
    """
    with _folder() as folder:
        start = time.monotonic()
        _finish(kind, folder)
        seconds, expected = time.monotonic() - start, kind.end(folder)
    lost: list[str] = []
    while kills > 0:
        with _folder() as folder:
            planned = min(kills, rng.randint(1, _MOST_KILLS))
            for _ in range(planned):
                kills -= 1
                if not _kill_once(kind, folder, rng.uniform(0, seconds / 1.5), lost):
                    break
            try:
                _life(kind, folder, lost, lambda child: None)
                if kind.end(folder) != expected:
                    lost.append("the end is another one")
            except Exception as error:
                lost.append(f"cannot go on: {error}")
    return lost


def _kill_once(kind: Kind, folder: Path, seconds: float, lost: list[str]) -> bool:
    """Let it live for some seconds; whether it was killed before it was done."""

    def kill(child: int) -> None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)

    return _life(kind, folder, lost, kill) == signal.SIGKILL


def _life(kind: Kind, folder: Path, lost: list[str], during: Callable[[int], None]) -> int:
    """One process from its beginning to its end; notes what it did that was finished before."""
    before = kind.finished(folder)
    with contextlib.suppress(FileNotFoundError):
        (folder / "begun").unlink()
    child = begin(kind, folder)
    during(child)
    status = os.waitpid(child, 0)[1]
    if (folder / "error").exists():
        raise RuntimeError((folder / "error").read_text(encoding="utf-8").strip().rpartition("\n")[2])
    begun = (folder / "begun").read_text(encoding="utf-8").splitlines() if (folder / "begun").exists() else []
    again = [what for what in begun if what in before]
    if again:
        lost.append(f"{len(again)} finished pieces of work were done again, such as {again[0][:80]}")
    (folder / "begun").unlink(missing_ok=True)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def _finish(kind: Kind, folder: Path) -> None:
    lost: list[str] = []
    _life(kind, folder, lost, lambda child: None)


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="mnas-soak-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Kill, or measure memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="in all, shared out over the kinds")
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"of {', '.join(KINDS)}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory", type=int, metavar="TRIALS")
    parser.add_argument("--evaluator", choices=EVALUATORS, default="tabular")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="the most that --memory may take")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    if options.memory:
        memory_curve(options.memory, options.evaluator, options.seconds)
        return
    names = options.kinds.split(",")
    if set(names) - set(KINDS):
        parser.error(f"--kinds is {options.kinds}: expected some of {', '.join(KINDS)}")
    if set(names) - set(LIGHT):
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        with quiet():
            import keras  # noqa: F401 - imported once here, started in each fork
            import tensorflow  # noqa: F401
    rng = random.Random(options.seed)
    failed = 0
    for place, name in enumerate(names):
        kills = options.kills // len(names) + (place < options.kills % len(names))
        start = time.monotonic()
        lost = kill_often(KINDS[name](), kills, rng)
        failed += len(lost)
        kept = max(0, kills - len(lost))
        took = time.monotonic() - start
        print(f"{name:14} tried {kills:4}  survived {kept:4}  lost {len(lost):3}   ({took:.0f} s)", flush=True)
        for why in sorted(set(lost))[:5]:
            print(f"    {why}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
