"""How far a new device's table is off after N measured networks, by several ways of making it.

Targets are made from a table of this repository by factors of groups of entries (mild, strong), of every entry
(random), or are another table: int8 from float32, Xeon from EPYC, and ProxylessNAS's Pixel 1 from a table by
arithmetic. Every repetition draws other factors, networks and noise (1 % of a network's latency). Errors are mean
absolute errors on networks that were not measured. All ways but the last two get the same random networks; `chosen` is
the transfer with the networks that `mnas profile --from` would measure, `profile` a fit to many networks.

    python -m tools.bench.transfer [--repetitions 20] [--seed 0] [--counts 3 5 10 30] [--cases mild strong]
        [--pixel1 proxylessnas_mobile_trim.yaml] [--profile 150]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from mnas.arch.codec import parse_key
from mnas.arch.complexity import block_complexity
from mnas.arch.spec import Architecture, ClassifierSpec
from mnas.arch.walk import layers, unroll
from mnas.latency.estimator import LatencyEstimator
from mnas.latency.importers.importer import import_table
from mnas.latency.operator_regression import canonical, fit_operators
from mnas.latency.table import Entry, LatencyTable
from mnas.latency.transfer import TransferModel
from mnas.space.files import load_space
from mnas.statistics import Array, kendall_tau
from tools.command_line import make_parser

TABLES = Path(__file__).parents[2] / "latency_tables"
_CANDIDATES, _FRESH = 300, 80  # networks to choose from, and to judge by
_NOISE = 0.01
_MILD, _STRONG, _RANDOM = 0.19, 0.38, 0.25  # deviation of log factors
_MINOR = 0.5  # of it, for resolution and memory-bound blocks


@dataclass(frozen=True)
class Case:
    """A target: from which tables, of which space, and its true table by the seed."""

    sources: tuple[LatencyTable, ...]
    space: str
    target: Callable[[int], LatencyTable]


def main() -> None:
    """Print a row for each case, number of networks and way."""
    parser = make_parser("tools.bench.transfer", __doc__)
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--counts", type=int, nargs="+", default=[3, 5, 10, 30])
    parser.add_argument("--cases", nargs="+", default=[], help="all by default")
    parser.add_argument("--pixel1", type=Path, help="the published table, for one more case")
    parser.add_argument(
        "--profile", type=int, default=0, help="networks of a whole profile to compare with, 0 for none"
    )
    options = parser.parse_args()
    for name, case in make_cases(options.pixel1).items():
        if not options.cases or name in options.cases:
            run_case(name, case, options.repetitions, options.seed, options.counts, options.profile)


def make_cases(pixel1: Path | None) -> dict[str, Case]:
    """Return all cases by name."""
    epyc, xeon, int8 = (
        LatencyTable.load(TABLES / f"{name}_mnasnet-32.json")
        for name in ("epyc_litert_float32", "xeon-2.5ghz_litert_float32", "epyc_litert_int8")
    )
    cases = {
        "mild": Case((epyc,), "mnasnet-32", lambda seed: with_group_factors(epyc, _MILD, seed)),
        "strong": Case((epyc,), "mnasnet-32", lambda seed: with_group_factors(epyc, _STRONG, seed)),
        "random": Case((epyc,), "mnasnet-32", lambda seed: with_entry_factors(epyc, _RANDOM, seed)),
        "int8 from float32": Case((epyc, xeon), "mnasnet-32", lambda seed: int8),
        "Xeon from EPYC": Case((epyc,), "mnasnet-32", lambda seed: xeon),
    }
    if pixel1 is not None:
        phone = import_table(pixel1, "proxylessnas")
        cases["Pixel 1 from arithmetic"] = Case((by_arithmetic(phone),), "proxylessnas", lambda seed: phone)
    return cases


@cache
def groups_of(key: str) -> tuple[tuple[object, ...], int, bool]:
    """Return operation, kernel and squeeze-and-excitation; resolution; whether memory bounds the block."""
    placed = parse_key(key)
    block, cost = placed.block, block_complexity(placed)
    numbers = placed.in_size**2 * placed.in_filters + placed.out_size**2 * placed.out_filters + cost.params
    kind: tuple[object, ...] = ("classifier",)
    if not isinstance(block, ClassifierSpec):
        kind = (block.op, block.kernel_size, block.se_ratio > 0)
    return kind, placed.in_size, cost.madds < 40 * numbers


def with_group_factors(table: LatencyTable, deviation: float, seed: int) -> LatencyTable:
    """Multiply entries by a factor for each of their groups."""
    rng = np.random.default_rng([seed, 1])
    drawn: dict[tuple[int, object], float] = {}
    entries = {}
    for key in sorted(table.entries):
        factor = 0.0
        for axis, group in enumerate(groups_of(key)):
            effect = drawn.setdefault((axis, group), float(rng.standard_normal()))
            factor += effect * deviation * (_MINOR if axis else 1.0)
        entries[key] = _times(table.entries[key], math.exp(factor))
    return replace(table, entries=entries)


def with_entry_factors(table: LatencyTable, deviation: float, seed: int) -> LatencyTable:
    """Multiply every entry by a factor of its own."""
    factors = np.exp(deviation * np.random.default_rng([seed, 2]).standard_normal(len(table.entries)))
    pairs = zip(sorted(table.entries), factors, strict=True)
    return replace(table, entries={key: _times(table.entries[key], float(factor)) for key, factor in pairs})


def by_arithmetic(table: LatencyTable) -> LatencyTable:
    """Return a table of the same blocks by arithmetic: multiply-adds, numbers read or written, and a start each."""
    entries = {}
    for key in table.entries:
        placed = parse_key(key)
        cost = block_complexity(placed)
        numbers = sum(each.in_size**2 * each.in_filters + each.out_size**2 * each.filters for each in layers(placed))
        entries[key] = Entry(
            0.005 * len(layers(placed)) + cost.madds / 1e7 + (numbers + cost.params) / 1e6, 0.0, 0, "fitted"
        )
    return replace(table, entries=entries, overhead_ms=0.0)


def _times(entry: Entry, factor: float) -> Entry:
    return replace(entry, latency_ms=entry.latency_ms * factor)


def run_case(name: str, case: Case, repetitions: int, seed: int, counts: Sequence[int], profile_networks: int) -> None:
    """Repeat, and print."""
    space = load_space(case.space)
    print(f"\n{name}: {repetitions} repetitions, seed {seed}")
    found: dict[tuple[int, str], list[tuple[float, ...]]] = {}
    for repetition in range(repetitions):
        rng = np.random.default_rng([seed, repetition])
        if not repetition % 5:  # other networks
            candidates = [space.sample(rng) for _ in range(_CANDIDATES)]
            fresh = [space.sample(rng) for _ in range(_FRESH)]
            model = TransferModel(case.sources, candidates)
            shares = group_shares(case.sources[0], [*candidates, *fresh])
            predicted = latencies(case.sources[0], [*candidates, *fresh])
        target = case.target(1000 * seed + repetition)
        truth = latencies(target, [*candidates, *fresh])
        noisy = truth * np.exp(_NOISE * rng.standard_normal(len(truth)))
        place = {network: number for number, network in enumerate(candidates)}
        for count in counts:
            random = rng.choice(len(candidates), count, replace=False)
            for way, values in baselines(predicted, shares, noisy, random).items():
                found.setdefault((count, way), []).append(judge(values[_CANDIDATES:], truth[_CANDIDATES:]))
            chosen = [place[network] for network in model.choose(count)]
            same = baselines(predicted, shares, noisy, chosen)["one factor"]
            found.setdefault((count, "(one, chosen)"), []).append(judge(same[_CANDIDATES:], truth[_CANDIDATES:]))
            for way, places in (("transfer", random), ("chosen", chosen)):
                table, _ = model.fit([(candidates[number], noisy[number]) for number in places])
                found.setdefault((count, way), []).append(judge_table(table, fresh, truth[_CANDIDATES:]))
        if profile_networks and repetition < 2:
            values = profiled(case, space.sample, rng, target, profile_networks, fresh)
            found.setdefault((profile_networks, "profile"), []).append(judge(values, truth[_CANDIDATES:]))
    show(found)


def latencies(table: LatencyTable, networks: Sequence[Architecture]) -> Array:
    """Return what a table predicts, in ms."""
    estimator = LatencyEstimator(table)
    return np.array([estimator.predict(network).latency_ms for network in networks])


def group_shares(table: LatencyTable, networks: Sequence[Architecture]) -> Array:
    """Return networks' times by operation, kernel and squeeze-and-excitation, in ms."""
    estimator = LatencyEstimator(table)
    numbers: dict[object, int] = {}
    rows = []
    for network in networks:
        blocks = unroll(network)
        row: dict[int, float] = {}
        for placed, own in zip(blocks, estimator.predict_blocks(blocks).blocks_ms, strict=True):
            number = numbers.setdefault(groups_of(placed.key)[0], len(numbers))
            row[number] = row.get(number, 0.0) + own
        rows.append(row)
    return np.array([[row.get(number, 0.0) for number in range(len(numbers))] for row in rows])


def baselines(predicted: Array, shares: Array, noisy: Array, places: Sequence[int]) -> dict[str, Array]:
    """Return the predictions of one factor, of scale and offset, and of least squares by groups."""
    known, measured = predicted[places], noisy[places]
    line = np.column_stack([known, np.ones(len(known))]) / measured[:, None]
    scale, offset = np.linalg.lstsq(line, np.ones(len(known)), rcond=None)[0]
    factors = np.linalg.lstsq(shares[places] / measured[:, None], np.ones(len(known)), rcond=None)[0]
    return {
        "one factor": predicted * np.exp(np.log(measured / known).mean()),
        "scale, offset": np.maximum(predicted * scale + offset, 1e-6),
        "groups": np.maximum(shares @ factors, 1e-6),
    }


def profiled(
    case: Case,
    sample: Callable[[np.random.Generator], Architecture],
    rng: np.random.Generator,
    target: LatencyTable,
    count: int,
    fresh: Sequence[Architecture],
) -> Array:
    """Return the predictions of a fit to many measured networks, as a profile makes it."""
    networks = [sample(rng) for _ in range(count)]
    measured = latencies(target, networks) * np.exp(_NOISE * rng.standard_normal(count))
    walks = {
        network: [canonical(each) for placed in unroll(network) for each in layers(placed)] for network in networks
    }
    walks |= {network: [canonical(each) for placed in unroll(network) for each in layers(placed)] for network in fresh}
    operators = list(dict.fromkeys(each for walk in walks.values() for each in walk))
    fitted = fit_operators(networks, measured.tolist(), operators)
    params = np.array([sum(block_complexity(placed).params for placed in unroll(network)) for network in fresh])
    sums = [sum(fitted.mean_ms[fitted.operators[each]] for each in walks[network]) for network in fresh]
    return np.asarray((np.array(sums) + fitted.overhead_ms) * np.interp(params, *zip(*fitted.curve, strict=True)))


def judge(predicted: Array, truth: Array) -> tuple[float, ...]:
    """Return mean error, tau, and two blanks for coverage and margin."""
    return float(np.abs(predicted / truth - 1).mean()), kendall_tau(predicted, truth), math.nan, math.nan


def judge_table(table: LatencyTable, fresh: Sequence[Architecture], truth: Array) -> tuple[float, ...]:
    """Return mean error, tau, the share inside the 90 % intervals, and their mean margin."""
    estimator = LatencyEstimator(table)
    estimates = [estimator.predict(network) for network in fresh]
    predicted = np.array([estimate.latency_ms for estimate in estimates])
    low, high = (np.array([getattr(estimate, name) for estimate in estimates]) for name in ("low_ms", "high_ms"))
    inside = float(np.mean((low <= truth) & (truth <= high)))
    return *judge(predicted, truth)[:2], inside, float(np.mean(high / predicted - 1))


def show(found: dict[tuple[int, str], list[tuple[float, ...]]]) -> None:
    """Print a row for each number of networks and way."""
    print("  N    way            error   worst  tau    inside  margin  better than one factor on the same networks")
    for (count, way), rows in sorted(found.items(), key=lambda pair: pair[0][0]):
        error, tau, inside, margin = np.mean(rows, axis=0)
        line = f"  {count:<4} {way:14} {error:6.1%}  {max(row[0] for row in rows):6.1%}  {tau:.3f}"
        other = {"transfer": "one factor", "chosen": "(one, chosen)"}.get(way)
        if other is not None:
            better = [own[0] < one[0] for own, one in zip(rows, found[count, other], strict=True)]
            line += f"  {inside:5.0%}   {margin:5.1%}   {sum(better)} of {len(better)}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
