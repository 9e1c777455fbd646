"""Kill it at any moment, go on, and find everything as if nothing had happened. One line a kind: tried, survived, lost.

Run: python -m tools.soak [--kills 100] [--kinds random,evolution,...] [--seed 0]      kill -9 at random moments
     python -m tools.soak --memory 500 [--evaluator tabular|proxy] [--seconds S]  memory over trials, a curve

A kill is survived if the work can be gone on with, and lost if it cannot, if the end differs from that of undisturbed
work in one bit (times apart), or if something that was finished is done again.
"""

from __future__ import annotations

import logging
import os
import random
import sys
import time
from collections.abc import Callable
from functools import partial

from mnas.strategies.registry import SCORED_STRATEGIES, STRATEGIES
from mnas.system.native_output import quiet
from tools.command_line import make_parser
from tools.soak.kind import Kind
from tools.soak.memory import EVALUATORS, memory_curve
from tools.soak.runner import kill_often
from tools.soak.searches import grid_kind, predictor_kind, profile_kind, search_kind
from tools.soak.trainings import export_kind, train_kind

KINDS: dict[str, Callable[[], Kind]] = {
    **{name: partial(search_kind, name) for name in STRATEGIES if name not in SCORED_STRATEGIES},
    "workers": partial(search_kind, "evolution", workers=2),
    "predictor": predictor_kind,
    "profile": profile_kind,
    "grid": grid_kind,
    "train": train_kind,
    "export": export_kind,
}
LIGHT = ("random", "evolution", "nsga2", "workers", "predictor", "profile", "grid")  # these need no TensorFlow


def main() -> None:
    """Kill, or measure memory."""
    parser = make_parser("tools.soak", __doc__)
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
