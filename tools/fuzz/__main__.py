"""Bad input by the thousand: mutated files of every kind that mnas reads. One line a kind: tried, survived, lost.

Run: python -m tools.fuzz [--count 20000] [--seed 0] [--only NAME] [--keep FOLDER]

An input survives if it is refused with mnas's own error, or accepted with the meaning that an independent reading of
it has. It is lost if anything else is raised, if it takes longer than 5 s or more than 1 GiB, if anything is written
outside the scenario's folder, a program started, a connection opened or a pickle read, or if the meaning differs.
The kinds are in tools/fuzz/scenarios.py: a new one is three lines there.
"""

from __future__ import annotations

import logging
import resource
import sys
import time
import zlib
from collections import Counter
from pathlib import Path

from tools.command_line import make_parser
from tools.fuzz.runner import Tally, limit_memory, run_scenario
from tools.fuzz.scenarios import SCENARIOS


def main() -> None:
    """Try them all; exit with 1 if any was lost."""
    parser = make_parser("tools.fuzz", __doc__)
    parser.add_argument("--count", type=int, default=20_000, help="inputs in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=sorted(SCENARIOS), metavar="NAME", help=f"of {', '.join(SCENARIOS)}")
    parser.add_argument("--keep", type=Path, help="where to write the inputs that were lost")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    chosen = [options.only] if options.only else list(SCENARIOS)
    each = -(-options.count // len(chosen))
    for name in chosen:
        run_scenario(SCENARIOS[name], count=2, seed=0)  # whatever is imported late is imported now
    limit_memory()
    tried = lost = 0
    for name in chosen:
        start = time.monotonic()
        tally = run_scenario(SCENARIOS[name], count=each, seed=options.seed ^ zlib.crc32(name.encode()))
        tried, lost = tried + tally.tried, lost + len(tally.lost)
        print(
            f"{name:28} tried {tally.tried:6,}  survived {tally.tried - len(tally.lost):6,}  lost {len(tally.lost):4}"
            f"   (refused {tally.refused:,}, read {tally.accepted:,}; {time.monotonic() - start:.1f} s)",
            flush=True,
        )
        _explain(name, tally, options.keep)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{'all':28} tried {tried:6,}  survived {tried - lost:6,}  lost {lost:4}   (peak {peak:,.0f} MiB)")
    sys.exit(lost > 0)


def _explain(name: str, tally: Tally, keep: Path | None) -> None:
    for why, number in Counter(why for why, _ in tally.lost).most_common(5):
        print(f"    {number} times: {why}")
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        for number, (_, data) in enumerate(tally.lost[:20]):
            (keep / f"{name.replace(' ', '_')}-{number}").write_bytes(data)


if __name__ == "__main__":
    main()
