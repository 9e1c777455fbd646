"""Pricing what a table has no entries for."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mnas.arch.complexity import complexity, layer_complexity
from mnas.arch.resize import resize
from mnas.arch.walk import layers, unroll
from mnas.errors import InputError
from mnas.latency.estimator import LatencyEstimator
from mnas.latency.extrapolation import ExtendedEstimator, UnpricedError, describe_extrapolated
from mnas.latency.table import Entry, LatencyTable
from mnas.profiling.plan import table_blocks
from mnas.space.files import load_space
from tests.latency.tables import make_table
from tests.spaces import small_space

SPACE = small_space(3)
ROOT = Path(__file__).parents[2]


def truth(placed):
    """A device whose operators lie on lines."""
    rates = {"conv": 1e-7, "depthwise": 5e-7}
    return sum(0.001 + rates.get(layer.kind, 2e-7) * layer_complexity(layer).madds for layer in layers(placed))


@pytest.fixture(scope="module")
def table():
    entries = {placed.key: Entry(truth(placed), 0.0001, 5) for placed in table_blocks(SPACE)}
    return make_table(SPACE, entries=entries, overhead_ms=0.002)


@pytest.fixture(scope="module")
def estimator(table):
    return ExtendedEstimator(table)


def network(seed=0):
    return SPACE.sample(np.random.default_rng(seed))


def test_networks_of_the_space_are_priced_as_ever(table, estimator):
    assert estimator.predict(network()) == LatencyEstimator(table).predict(network())


@pytest.mark.parametrize("seed", range(4))
def test_larger_networks_lie_on_the_lines(seed, estimator):
    base = network(seed)
    grown = resize(base, width=1.6, depth=1.5, resolution=base.resolution * 2)
    expected = 0.002 + sum(truth(placed) for placed in unroll(grown))
    found = estimator.predict(grown)
    assert found.latency_ms == pytest.approx(expected, rel=0.1)
    assert found.low_ms < expected < found.high_ms
    assert found.num_fitted > 0
    assert estimator.latency_ms(grown) == pytest.approx(found.latency_ms)


def test_the_further_out_the_wider(estimator):
    base = network()
    shares = []
    for times in (1, 2, 4):
        found = estimator.predict(resize(base, width=1.5, resolution=base.resolution * times))
        shares.append((found.high_ms - found.low_ms) / found.latency_ms)
    assert shares == sorted(shares)
    assert shares[-1] > shares[0]


def test_a_curve_of_the_table_is_kept(table):
    params = complexity(network()).params
    bent = ExtendedEstimator(replace(table, params_curve=((params / 2, 1.0), (params * 100, 3.0))))
    grown = resize(network(), width=3)
    assert bent.latency_ms(grown) == pytest.approx(bent.predict(grown).latency_ms)
    assert bent.latency_ms(grown) > ExtendedEstimator(table).latency_ms(grown)


def test_kinds_that_the_table_does_not_know_are_an_error(estimator):
    swish = replace(network(), activation="swish", resolution=40)
    with pytest.raises(UnpricedError, match=r"(?s)has no entry '.*mnas profile.*None of its .* with swish activation"):
        estimator.predict(swish)
    assert not estimator.is_priced(swish)


def test_tables_with_hardly_any_entries_price_their_own_blocks_only(table):
    own = {placed.key for placed in unroll(network())}
    few = {key: entry for key, entry in table.entries.items() if key in own}
    small = replace(table, entries={**few, "something else": next(iter(few.values()))})
    assert len(few) < 20
    assert ExtendedEstimator(small).predict(network()) == LatencyEstimator(small).predict(network())
    with pytest.raises(InputError, match=f"{len(few)} blocks that can be read, too few"):
        ExtendedEstimator(small).predict(resize(network(), width=2))


def test_extrapolated_blocks_are_named_and_classifiers_of_other_sizes_are_interpolated(table, estimator):
    classes = replace(network(), num_classes=50)
    assert estimator.predict(classes) == LatencyEstimator(table).predict(classes)
    assert estimator.predict(classes).extrapolated == ()
    grown = resize(network(), width=1.6)
    keys = [placed.key for placed in dict.fromkeys(unroll(grown)) if placed.key not in table.entries]
    assert estimator.predict(grown).extrapolated == tuple(keys)
    assert describe_extrapolated(keys[:1]) == (
        f"1 of its blocks is not in the table and extrapolated, which widens the interval: {keys[0]}."
    )


def test_the_more_of_the_latency_is_extrapolated_the_wider(table):
    """And blocks smaller than all of the table are as far away as larger ones."""

    def margin(estimator, architecture):
        found = estimator.predict(architecture)
        return (found.high_ms - found.low_ms) / found.latency_ms

    blocks = sorted(unroll(network()), key=truth)
    margins = [
        margin(ExtendedEstimator(replace(table, entries=_without(table, dropped))), network())
        for dropped in ([], blocks[:1], blocks[-1:])
    ]
    assert margins == sorted(set(margins))
    tiny = resize(network(), resolution=network().resolution // 4)
    bare = ExtendedEstimator(table)
    assert margin(bare, tiny) > 1.2 * margin(bare, resize(network(), width=1.3))


def _without(table, blocks):
    dropped = {placed.key for placed in blocks}
    return {key: entry for key, entry in table.entries.items() if key not in dropped}


@pytest.mark.parametrize("name", ["epyc_litert_float32_mnasnet-32", "epyc_litert_int8_mnasnet-32"])
@pytest.mark.parametrize("slowest", [False, True])
def test_intervals_cover_blocks_that_a_measured_table_was_without(name, slowest):
    """The table's own error is taken out: what remains is the extrapolation's."""
    table = replace(LatencyTable.load(ROOT / f"latency_tables/{name}.json"), relative_error=0.0)
    exact = {key: replace(entry, error_ms=0.0) for key, entry in table.entries.items()}
    table, space, rng = replace(table, entries=exact), load_space("mnasnet-32"), np.random.default_rng(0)
    keys = sorted(exact, key=lambda key: exact[key].latency_ms)
    dropped = set(keys[-len(keys) // 5 :] if slowest else rng.choice(keys, len(keys) // 5, replace=False))
    reduced = ExtendedEstimator(replace(table, entries={k: entry for k, entry in exact.items() if k not in dropped}))
    inside = []
    for _ in range(30):
        found, drawn = reduced.predict(sampled := space.sample(rng)), LatencyEstimator(table).predict(sampled)
        if found.extrapolated:
            inside.append(found.low_ms <= drawn.latency_ms <= found.high_ms)
    assert len(inside) > 15
    assert np.mean(inside) >= 0.8
