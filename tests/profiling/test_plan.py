"""The networks to measure: a log names them by number alone, so the numbers have to mean the same everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TINY = Path(__file__).parents[1] / "fixtures" / "release_0_1" / "tiny.toml"
_CODE = f"""
from itertools import islice
from mnas.arch.codec import architecture_fingerprint
from mnas.profiling.plan import plan_networks
from mnas.space.files import load_space
plan = islice(plan_networks(load_space({str(TINY)!r}), seed=0), 24)
print(*(architecture_fingerprint(planned.architecture) for planned in plan))
"""


def test_the_networks_are_the_same_in_every_process() -> None:
    """With the hash seeds 7 and 14, the sum over the operators of two equal candidates once came out differently."""
    found = {
        subprocess.run(
            [sys.executable, "-c", _CODE],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(TINY.parents[3])},
        ).stdout
        for seed in ("0", "7", "14")
    }
    assert len(found) == 1
