"""A new device's table from a few networks and tables of other devices."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from mnas.arch.codec import parse_key
from mnas.arch.spec import Architecture, BlockSpec
from mnas.errors import InputError
from mnas.latency.calibration import GROUPS, calibrate_table
from mnas.latency.estimator import LatencyEstimator
from mnas.latency.table import LatencyTable
from mnas.latency.transfer import TransferModel
from mnas.statistics import kendall_tau
from tests.latency.tables import make_table
from tests.spaces import small_space

SPACE = small_space(3)
TABLE = make_table(SPACE)
RNG = np.random.default_rng(0)
NETWORKS = list(dict.fromkeys(SPACE.sample(RNG) for _ in range(200)))
CANDIDATES, FRESH = NETWORKS[:-40], NETWORKS[-40:]
MODEL = TransferModel([TABLE], CANDIDATES)


def by_operation(seed: int, deviation: float = 0.6, table: LatencyTable = TABLE) -> LatencyTable:
    """A device on which operations, kernels and squeeze-and-excitation take longer or shorter each."""
    rng = np.random.default_rng(seed)
    factors: dict[object, float] = {}
    entries = {}
    for key in sorted(table.entries):
        block = parse_key(key).block
        group = (block.op, block.kernel_size, block.se_ratio > 0) if isinstance(block, BlockSpec) else "classifier"
        factor = factors.setdefault(group, math.exp(deviation * rng.standard_normal()))
        entries[key] = replace(table.entries[key], latency_ms=table.entries[key].latency_ms * factor)
    return replace(table, entries=entries)


def times(table: LatencyTable, networks: list[Architecture], noise: float = 0.0) -> list[tuple[Architecture, float]]:
    rng = np.random.default_rng(len(networks))
    estimator = LatencyEstimator(table)
    return [(each, estimator.predict(each).latency_ms * math.exp(noise * rng.standard_normal())) for each in networks]


def error(table: LatencyTable, truth: LatencyTable) -> float:
    pairs = zip(times(table, FRESH), times(truth, FRESH), strict=True)
    return float(np.mean([abs(got / ms - 1) for (_, got), (_, ms) in pairs]))


def one_factor(measured: list[tuple[Architecture, float]]) -> LatencyTable:
    known = [ms for _, ms in times(TABLE, [network for network, _ in measured])]
    factor = float(np.exp(np.mean([math.log(ms / own) for own, (_, ms) in zip(known, measured, strict=True)])))
    entries = {key: replace(entry, latency_ms=entry.latency_ms * factor) for key, entry in TABLE.entries.items()}
    return replace(TABLE, entries=entries, overhead_ms=TABLE.overhead_ms * factor)


def test_factors_of_groups_are_found() -> None:
    errors, plain, taus = [], [], []
    for seed in range(6):
        truth = by_operation(seed)
        measured = times(truth, MODEL.choose(10), noise=0.005)
        table, _ = MODEL.fit(measured)
        errors.append(error(table, truth))
        plain.append(error(one_factor(measured), truth))
        taus.append(kendall_tau([ms for _, ms in times(table, FRESH)], [ms for _, ms in times(truth, FRESH)]))
    assert np.mean(errors) < 0.05
    assert np.mean(errors) < 0.5 * np.mean(plain)
    assert np.mean(taus) > 0.9


@pytest.mark.parametrize("count", [3, 10])
def test_a_device_that_is_slower_throughout_needs_no_groups(count: int) -> None:
    truth = one_factor(times(TABLE, CANDIDATES[:3]))
    truth = replace(truth, entries={k: replace(e, latency_ms=3 * e.latency_ms) for k, e in truth.entries.items()})
    truth = replace(truth, overhead_ms=3 * truth.overhead_ms)
    measured = times(truth, MODEL.choose(count), noise=0.01)
    table, found = MODEL.fit(measured)
    assert found.factor == pytest.approx(3, rel=0.02)
    assert error(table, truth) < error(one_factor(measured), truth) + 0.012


def test_few_networks_are_hardly_worse_than_one_factor() -> None:
    better = []
    for seed in range(10):
        truth = by_operation(seed, 0.3)
        measured = times(truth, MODEL.choose(5), noise=0.01)
        better.append(error(MODEL.fit(measured)[0], truth) < error(one_factor(measured), truth) + 0.01)
    assert sum(better) >= 9


@pytest.mark.parametrize("count", [3, 10])
def test_intervals_cover_nine_of_ten_fresh_networks(count: int) -> None:
    inside = []
    for seed in range(8):
        truth = by_operation(seed, 0.3)
        table, _ = MODEL.fit(times(truth, CANDIDATES[seed * count :][:count], noise=0.01))
        estimator = LatencyEstimator(table)
        for network, ms in times(truth, FRESH):
            estimate = estimator.predict(network)
            inside.append(estimate.low_ms <= ms <= estimate.high_ms)
    assert np.mean(inside) > 0.8


def test_of_several_tables_the_one_that_fits_is_the_start() -> None:
    other = by_operation(1, 1.0)
    model = TransferModel([TABLE, other], CANDIDATES)
    slower = replace(other, entries={k: replace(e, latency_ms=2 * e.latency_ms) for k, e in other.entries.items()})
    slower = replace(slower, overhead_ms=2 * other.overhead_ms)
    phone = replace(TABLE.configuration, device="adb", model="Pixel 4")
    table, found = model.fit(times(slower, model.choose(5), noise=0.005), phone)
    assert found.source == 1
    assert error(table, slower) < 0.02
    assert (table.configuration, table.report_card, table.reference_ms) == (phone, None, 0.0)
    assert all(entry.source == "fitted" for entry in table.entries.values())


def test_more_networks_are_expected_to_bring_narrower_intervals() -> None:
    table, found = MODEL.fit(times(by_operation(2), MODEL.choose(6), noise=0.01))
    assert 0 < found.margin_at_twice < found.margin
    estimates = [LatencyEstimator(table).predict(network) for network in CANDIDATES]
    margins = [estimate.high_ms / estimate.latency_ms - 1 for estimate in estimates]
    assert np.mean(margins) == pytest.approx(found.margin, rel=0.25)


def test_networks_are_chosen_in_order_and_no_two_are_the_same() -> None:
    chosen = MODEL.choose(12)
    assert len(set(chosen)) == 12
    assert MODEL.choose(5) == chosen[:5]
    assert len(MODEL.choose(10_000)) == len(CANDIDATES)


def test_what_cannot_be_transferred() -> None:
    with pytest.raises(InputError, match="at least 3 different networks; got 2"):
        MODEL.fit(times(TABLE, CANDIDATES[:2]) * 4)
    with pytest.raises(InputError, match="at least one table"):
        TransferModel([], CANDIDATES)
    with pytest.raises(InputError, match="no entry"):
        TransferModel([TABLE], [replace(CANDIDATES[0], activation="swish")])
    with pytest.raises(InputError, match=r"latency is 0\.0 ms"):
        MODEL.fit([(network, 0.0) for network in CANDIDATES[:3]])


def test_calibrate_gives_groups_their_own_factors_where_that_is_better() -> None:
    truth = by_operation(3)
    measured = times(truth, CANDIDATES[:20], noise=0.005)
    table, found = calibrate_table(TABLE, measured)
    assert found.applied
    assert found.method == GROUPS
    assert found.error_after < found.error_before
    assert error(table, truth) < 0.5 * error(one_factor(measured), truth)
    assert "factors of groups of blocks" in table.method
    estimates = [LatencyEstimator(table).predict(network) for network in FRESH]
    pairs = zip(estimates, times(truth, FRESH), strict=True)
    assert np.mean([estimate.low_ms <= ms <= estimate.high_ms for estimate, (_, ms) in pairs]) > 0.7
