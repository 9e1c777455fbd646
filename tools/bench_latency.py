"""Three ways to predict latency, on the same fresh networks, measured in one process and interleaved.

isolated   every block alone in a hot loop, added up (what most published tables do)
madds      a line through multiply-adds
shipped    what `mnas profile` writes

Run it as: python tools/bench_latency.py --space mnasnet-32 --minutes 3
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from mnas.arch.complexity import complexity
from mnas.arch.walk import unroll
from mnas.devices.registry import open_device
from mnas.latency.card import calibrate, make_report_card
from mnas.latency.estimator import LatencyEstimator
from mnas.latency.table import Entry, LatencyTable
from mnas.profiling.bench import open_reference
from mnas.profiling.measure import NetworkTime, measure_networks
from mnas.profiling.profile import ProfileOptions, profile
from mnas.profiling.skeleton import write_block, write_skeleton
from mnas.space.files import load_space

BURSTS = 12


def main() -> None:
    """Profile, measure fresh networks and their blocks, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="mnasnet-32")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--networks", type=int, default=60)
    parser.add_argument("--runtime", default="litert")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--seed", type=int, default=20_000)
    options = parser.parse_args()
    space = load_space(options.space)
    device = open_device("local", runtime=options.runtime)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        settings = ProfileOptions(minutes=options.minutes, dtype=options.dtype)
        table = profile(space, device, Path(folder) / "table.json", settings)
    seconds = time.monotonic() - start
    rng = np.random.default_rng(options.seed)
    networks = [space.sample(rng) for _ in range(options.networks)]
    blocks = list(dict.fromkeys(placed for network in networks for placed in unroll(network)))
    with device.measuring():
        models = [device.load(write_skeleton(network, dtype=options.dtype)) for network in networks]
        models += [device.load(write_block(placed, dtype=options.dtype)) for placed in blocks]
        wanted = [BURSTS] * len(networks) + [3] * len(blocks)
        reference = open_reference(device, known_ms=table.reference_ms)
        times = measure_networks(models, reference, seconds=240, quiet_bursts=wanted, seed=0)
    truth, alone = times[: len(networks)], times[len(networks) :]
    entries = {placed.key: Entry(t.quiet_ms, 0.0, 1) for placed, t in zip(blocks, alone, strict=True)}
    print(f"{options.space}, {options.runtime}, {options.dtype}: {len(networks)} fresh networks")
    print(f"noise floor {np.mean([abs(a / b - 1) for a, b in (t.halves_ms for t in truth)]):.2%}, ", end="")
    print(
        f"profiling took {seconds:.0f} s, {np.mean([t.num_quiet / t.num_bursts for t in truth]):.0%} of bursts quiet, ",
        end="",
    )
    print(f"device {np.median([t.slowdown for t in truth]):.2f} times slower than when the table was made")
    isolated = judge("isolated", replace(table, entries=entries, overhead_ms=0.0, relative_error=0.0), networks, truth)
    madds(networks, truth)
    shipped = judge("shipped", table, networks, truth)
    print(f"error of the shipped method over that of isolated blocks: {shipped / isolated:.2f}")


def judge(name: str, table: LatencyTable, networks: list, truth: list[NetworkTime]) -> float:
    """Print one method's figures; returns its mean error."""
    quiet = [t.quiet_ms for t in truth]
    estimates = [LatencyEstimator(table).predict(network) for network in networks]
    if table.relative_error == 0:
        table = replace(table, relative_error=calibrate(estimates, quiet))
        estimates = [LatencyEstimator(table).predict(network) for network in networks]
    card = make_report_card(estimates, quiet, [t.median_ms for t in truth], [t.halves_ms for t in truth])
    print(
        f"{name:9} error {card.mape:6.2%}  within 5 % {card.within_5_percent:4.0%}  within 10 % "
        f"{card.within_10_percent:4.0%}  tau {card.kendall_tau:.3f}  inside interval {card.within_interval:4.0%}  "
        f"against medians {card.median_mape:.2%}"
    )
    return card.mape


def madds(networks: list, truth: list[NetworkTime]) -> None:
    """The line is drawn through the very networks it is judged by, which flatters it."""
    work = np.array([complexity(network).madds for network in networks], dtype=float)
    quiet = np.array([t.quiet_ms for t in truth])
    slope, start = np.polyfit(work, quiet, 1, w=1 / quiet)
    errors = np.abs((slope * work + start) / quiet - 1)
    print(f"{'madds':9} error {errors.mean():6.2%}  within 5 % {(errors <= 0.05).mean():4.0%}  ", end="")
    print(f"within 10 % {(errors <= 0.1).mean():4.0%}")


if __name__ == "__main__":
    main()
