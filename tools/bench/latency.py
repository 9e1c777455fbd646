"""Four ways to predict latency, on the same fresh networks, measured in one process and interleaved.

madds       a line through multiply-adds (drawn through the very networks it is judged by, which flatters it)
isolated    every block alone in a hot loop, added up: what most published tables do
in context  every block's latency out of the whole networks that `mnas profile` measured, added up
shipped     what `mnas profile` writes

With `--files` the fresh networks are measured as the real converter's files, some of them as skeletons too.
`python -m tools.bench.latency_networks --out DIR` writes them; without, skeletons stand for them.

Run it as: python -m tools.bench.latency --space mnasnet-32 --minutes 3 --files DIR --out latency_tables/NAME.json
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.linear_model import RidgeCV

from mnas.arch.complexity import block_complexity, complexity
from mnas.arch.spec import Architecture
from mnas.arch.walk import unroll
from mnas.devices.base import Device
from mnas.devices.registry import open_device
from mnas.latency.estimator import LatencyEstimator
from mnas.latency.report_card import conformal_relative_error, make_report_card
from mnas.latency.table import Entry, LatencyTable
from mnas.profiling.bench import measure_files
from mnas.profiling.collect import collect
from mnas.profiling.log import ProfileLog
from mnas.profiling.measure import NetworkTime
from mnas.profiling.plan import table_blocks
from mnas.profiling.profile import fit_table
from mnas.space.files import load_space
from mnas.space.space import SearchSpace
from mnas.tflite.random_model import write_block, write_random_model
from tools.command_line import make_parser

BURSTS, BLOCK_BURSTS = 30, 3  # quiet ones; a block's is shorter than a network's, and takes as many runs
TWICE = 20  # networks that are measured both ways
FIT_SHARE = 0.06  # of the time, as in `mnas profile`

Measured = list[tuple[Architecture, float]]  # and its quiet latency in ms


def main() -> None:
    """Profile, measure fresh networks and their blocks, print."""
    parser = make_parser("tools.bench.latency", __doc__)
    parser.add_argument("--space", default="mnasnet-32")
    parser.add_argument("--minutes", type=float, default=3.0, help="for the table")
    parser.add_argument("--seconds", type=float, default=240.0, help="at most, for the fresh networks")
    parser.add_argument("--networks", type=int, default=60)
    parser.add_argument("--runtime", default="litert")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--seed", type=int, default=20_000, help="of the fresh networks")
    parser.add_argument("--files", type=Path, help="of `python -m tools.bench.latency_networks`")
    parser.add_argument("--out", type=Path, help="where to keep the table")
    options = parser.parse_args()
    space = load_space(options.space)
    device = open_device("local", runtime=options.runtime)
    start = time.monotonic()
    table, learned_from = make_table(space, device, options.dtype, options.minutes)
    seconds = time.monotonic() - start
    if options.out:
        table.save(options.out)
    rng = np.random.default_rng(options.seed)
    networks = [space.sample(rng) for _ in range(options.networks)]
    files = [write_random_model(network, dtype=options.dtype) for network in networks]
    print(f"{options.space}, {options.runtime} {device.configuration(options.dtype).runtime_version}, ", end="")
    print(f"{options.dtype}, 1 thread: {len(networks)} fresh networks, ", end="")
    print("the converter's files" if options.files else "skeletons")
    skeletons = files[:TWICE] if options.files else []
    if options.files:
        files = [(options.files / file_name(options, number)).read_bytes() for number in range(len(networks))]
    truth, twice, alone = measure(device, table, files, skeletons, networks, options)
    print(f"noise floor {np.mean([abs(a / b - 1) for a, b in (t.halves_ms for t in truth)]):.2%}, ", end="")
    print(f"profiling took {seconds:.0f} s for {len(learned_from)} networks, ", end="")
    print(f"{np.mean([t.num_quiet / t.num_bursts for t in truth]):.0%} of bursts quiet, ", end="")
    print(f"device {np.median([t.slowdown for t in truth]):.2f} times slower than when the table was made")
    if twice:
        ratios = np.array([b.quiet_ms / a.quiet_ms for a, b in zip(twice, truth[:TWICE], strict=True)])
        print(f"converter's file over skeleton: {ratios.mean():.3f} on average, {ratios.std():.3f} deviation")
    evaluate_madds(networks, truth)
    bare = replace(table, overhead_ms=0.0, relative_error=0.0, params_curve=())
    isolated = evaluate_method("isolated", replace(bare, entries=alone), networks, truth)
    evaluate_method("in context", replace(bare, entries=in_context(space, learned_from)), networks, truth)
    shipped = evaluate_method("shipped", table, networks, truth)
    print(f"error of the shipped method over that of isolated blocks: {shipped / isolated:.2f}")


def file_name(options: argparse.Namespace, number: int) -> str:
    """Of a fresh network's converted file; `python -m tools.bench.latency_networks` takes the same options."""
    return f"{options.space}-{options.dtype}-{options.seed}-{number}.tflite"


def make_table(space: SearchSpace, device: Device, dtype: str, minutes: float) -> tuple[LatencyTable, Measured]:
    """What `mnas profile` does, and the networks that its table was made from."""
    configuration = device.configuration(dtype)
    with tempfile.TemporaryDirectory() as folder, device.measuring():
        log = ProfileLog(Path(folder) / "log", {})
        seconds = minutes * 60 * (1 - FIT_SHARE)
        networks, reference_ms = collect(space, device, log, dtype=dtype, seed=0, seconds=seconds)
    times = {number: measured.at(reference_ms) for number, measured in log.times.items()}
    table = replace(fit_table(space, configuration, networks, times), reference_ms=reference_ms)
    fitting = [number for number, planned in enumerate(networks) if not planned.held_out]
    return table, [(networks[number].architecture, times[number].quiet_ms) for number in fitting]


def measure(
    device: Device,
    table: LatencyTable,
    files: Sequence[bytes],
    skeletons: Sequence[bytes],
    networks: Sequence[Architecture],
    options: argparse.Namespace,
) -> tuple[list[NetworkTime], list[NetworkTime], dict[str, Entry]]:
    """All in one go: the fresh networks' latencies, the skeletons', and the blocks' each by itself."""
    blocks = list(dict.fromkeys(placed for network in networks for placed in unroll(network)))
    whole = [*files, *skeletons]
    contents = [*whole, *(write_block(placed, dtype=options.dtype) for placed in blocks)]
    wanted = [BURSTS] * len(whole) + [BLOCK_BURSTS] * len(blocks)
    times = measure_files(
        device, contents, seconds=options.seconds, quiet_bursts=wanted, reference_ms=table.reference_ms
    )
    alone = times[len(files) + len(skeletons) :]
    entries = {placed.key: Entry(t.quiet_ms, 0.0, 1) for placed, t in zip(blocks, alone, strict=True)}
    return times[: len(files)], times[len(files) : len(files) + len(skeletons)], entries


def in_context(space: SearchSpace, learned_from: Measured) -> dict[str, Entry]:
    """Every block by itself: a line in multiply-adds, and what ridge regression on whole networks adds to it.

    A block that no network had keeps the line's latency.
    """
    blocks = {placed.key: index for index, placed in enumerate(table_blocks(space))}
    madds = np.array([block_complexity(placed).madds for placed in table_blocks(space)], dtype=float)
    counts = np.zeros((len(learned_from), len(blocks)))
    for row, (network, _) in enumerate(learned_from):
        for key, times in Counter(placed.key for placed in unroll(network)).items():
            counts[row, blocks[key]] = times
    latency_ms = np.array([latency_ms for _, latency_ms in learned_from])
    slope, start = np.linalg.lstsq(
        np.column_stack([counts @ madds, counts.sum(axis=1)]) / latency_ms[:, None], np.ones(len(latency_ms))
    )[0]
    prior = slope * madds + start
    shares = counts * prior / latency_ms[:, None]
    ridge = RidgeCV(alphas=np.logspace(-5, 1, 13), fit_intercept=False).fit(shares, 1 - shares.sum(axis=1))
    found = np.maximum(prior * (1 + ridge.coef_), 0.0)
    return {key: Entry(float(found[index]), 0.0, 1) for key, index in blocks.items()}


def evaluate_method(name: str, table: LatencyTable, networks: list[Architecture], truth: list[NetworkTime]) -> float:
    """Print one method's figures; returns its mean error."""
    quiet = [t.quiet_ms for t in truth]
    estimates = [LatencyEstimator(table).predict(network) for network in networks]
    if table.relative_error == 0:
        table = replace(table, relative_error=conformal_relative_error(estimates, quiet))
        estimates = [LatencyEstimator(table).predict(network) for network in networks]
    card = make_report_card(estimates, quiet, [t.median_ms for t in truth], [t.halves_ms for t in truth])
    print(
        f"{name:10} error {card.mape:6.2%}  within 5 % {card.within_5_percent:4.0%}  within 10 % "
        f"{card.within_10_percent:4.0%}  tau {card.kendall_tau:.3f}  inside interval {card.within_interval:4.0%}  "
        f"against medians {card.median_mape:.2%}",
        flush=True,
    )
    return card.mape


def evaluate_madds(networks: list[Architecture], truth: list[NetworkTime]) -> None:
    """Print how far latency is from a line through multiply-adds."""
    work = np.array([complexity(network).madds for network in networks], dtype=float)
    quiet = np.array([t.quiet_ms for t in truth])
    slope, start = np.polyfit(work, quiet, 1, w=1 / quiet)
    errors = np.abs((slope * work + start) / quiet - 1)
    print(f"{'madds':10} error {errors.mean():6.2%}  within 5 % {(errors <= 0.05).mean():4.0%}  ", end="")
    print(f"within 10 % {(errors <= 0.1).mean():4.0%}")


if __name__ == "__main__":
    main()
