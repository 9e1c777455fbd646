"""How far tables and single measurements are off when a share of a phone's program starts is disturbed.

The phone is simulated, with known true times: every burst and every look at the reference is a start of its own, and a
share of the starts is 1.3 to 3 times slower. For each share and seed it is profiled on its own clock, and the table is
compared with the true times of fresh networks. A table is flagged if its report card fails the limits of mnas.

    python -m tools.bench.disturbed [--space mnasnet-16] [--seeds 20] [--minutes 1] [--shares 0 0.02 0.05]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnas.arch.spec import Architecture
from mnas.latency.estimator import LatencyEstimator
from mnas.latency.limits import table_faults
from mnas.profiling.bench import bench
from mnas.profiling.profile import ProfileOptions, profile
from mnas.space.files import load_space
from mnas.space.space import SearchSpace
from mnas.statistics import Array, kendall_tau
from mnas.tflite.random_model import write_random_model
from tests.profiling.fakes import FakePhone, true_latency_ms
from tools.command_line import make_parser

_FRESH_SEED = 20_000
_BENCH_S = 1.0  # a few starts: with the default, 10 s, there are enough quiet ones on any phone
_ALLOWED = 0.01  # error in addition to that of the undisturbed table


@dataclass(frozen=True)
class Found:
    """A table's errors on fresh networks: mean, rank correlation, whether it is flagged; the worst error of `bench`."""

    error: float
    tau: float
    flagged: bool
    worst_bench: float


def main() -> None:
    """Profile with every seed and share, and print."""
    parser = make_parser("tools.bench.disturbed", __doc__)
    parser.add_argument("--space", default="mnasnet-16")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--networks", type=int, default=60, help="fresh ones, that every table is judged by")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.0, 0.02, 0.05], help="the first is undisturbed")
    options = parser.parse_args()
    space = load_space(options.space)
    rng = np.random.default_rng(_FRESH_SEED)
    networks = [space.sample(rng) for _ in range(options.networks)]
    files = [write_random_model(network) for network in networks]
    truth = np.array([true_latency_ms(data) for data in files])
    found: dict[float, list[Found]] = {share: [] for share in options.shares}
    for seed in range(options.seeds):
        for share, tables in found.items():
            tables.append(judge(space, share, seed, options.minutes, networks, files, truth))
            last = tables[-1]
            print(
                f"seed {seed:2} share {share:.0%}: error {last.error:6.2%}  tau {last.tau:.3f}  "
                f"{'flagged' if last.flagged else '       '}  bench {last.worst_bench:.1%} off at worst",
                flush=True,
            )
    show(options, found)


def judge(
    space: SearchSpace,
    share: float,
    seed: int,
    minutes: float,
    networks: Sequence[Architecture],
    files: Sequence[bytes],
    truth: Array,
) -> Found:
    """Profile a phone, and measure the fresh networks one by one on it."""
    phone = FakePhone(share, seed=seed)
    with tempfile.TemporaryDirectory() as folder, phone.own_clock():
        table = profile(space, phone, Path(folder) / "table.json", ProfileOptions(minutes=minutes, seed=seed))
        benches = np.array([bench(data, phone, seconds=_BENCH_S).quiet_ms for data in files])
    estimator = LatencyEstimator(table)
    predicted = np.array([estimator.predict(network).latency_ms for network in networks])
    return Found(
        error=float(np.abs(predicted / truth - 1).mean()),
        tau=kendall_tau(predicted, truth),
        flagged=bool(table_faults(table)),
        worst_bench=float(np.abs(benches / truth - 1).max()),
    )


def show(options: argparse.Namespace, found: dict[float, list[Found]]) -> None:
    """Print a row for each share."""
    undisturbed = found[options.shares[0]]
    print(f"\n{options.space}, {options.minutes:g} min, {options.seeds} seeds, {options.networks} fresh networks")
    print("disturbed starts | mean error, worst | tau, worst | over undisturbed + 1 %, of these not flagged | ", end="")
    print("flagged in all | bench off at worst")
    for share, tables in found.items():
        errors, taus = [table.error for table in tables], [table.tau for table in tables]
        off = [t for t, calm in zip(tables, undisturbed, strict=True) if t.error > calm.error + _ALLOWED]
        print(
            f"{share:.0%} | {np.mean(errors):.2%}, {max(errors):.2%} | {np.mean(taus):.3f}, {min(taus):.3f} | "
            f"{len(off)}, {sum(not table.flagged for table in off)} | {sum(table.flagged for table in tables)} | "
            f"{max(table.worst_bench for table in tables):.1%}"
        )


if __name__ == "__main__":
    main()
