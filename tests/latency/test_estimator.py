"""Sums over blocks."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mnas.arch.complexity import block_complexity, complexity
from mnas.arch.walk import unroll
from mnas.arch.zoo import ZOO
from mnas.errors import InputError
from mnas.latency.estimator import Z90, LatencyEstimator, table_costs
from mnas.latency.table import Entry
from mnas.space.space import SearchSpace
from tests.latency.tables import make_table
from tests.spaces import small_space

SPACE = small_space(3)
SIZES = small_space(3, resolutions=(16, 12, 8))


def test_a_prediction_is_the_sum_of_its_blocks_and_the_overhead() -> None:
    network = SPACE.sample(np.random.default_rng(0))
    estimate = LatencyEstimator(make_table(SPACE)).predict(network)
    expected = [0.001 + block_complexity(placed).madds / 1e7 for placed in unroll(network)]
    assert estimate.blocks_ms == pytest.approx(expected)
    assert estimate.latency_ms == pytest.approx(sum(expected) + 0.002)
    assert estimate.num_fitted == 0


def test_the_interval_has_a_closed_form() -> None:
    network = SPACE.decode([0] * len(SPACE.decisions))
    blocks = len(set(unroll(network)))
    assert blocks == len(unroll(network))
    bare = LatencyEstimator(make_table(SPACE, relative_error=0.0)).predict(network)
    assert bare.high_ms - bare.latency_ms == pytest.approx(Z90 * 0.0001 * math.sqrt(blocks))
    table = make_table(SPACE, entries={key: replace(e, error_ms=0.0) for key, e in make_table(SPACE).entries.items()})
    estimate = LatencyEstimator(table).predict(network)
    assert estimate.high_ms - estimate.latency_ms == pytest.approx(Z90 * 0.02 * estimate.latency_ms)
    assert estimate.latency_ms - estimate.low_ms == pytest.approx(estimate.high_ms - estimate.latency_ms)


def test_a_repeated_block_is_wrong_twice_in_the_same_direction() -> None:
    stage = replace(SPACE.decode([0] * len(SPACE.decisions)).stages[0], repeats=4)
    network = replace(SPACE.decode([0] * len(SPACE.decisions)), stages=(stage,))
    walk = unroll(network)
    assert len(set(walk)) < len(walk)
    entries = {placed.key: Entry(0.01, 0.001, 1) for placed in walk}
    table = make_table(SPACE, entries=entries, relative_error=0.0, overhead_ms=0.0)
    estimate = LatencyEstimator(table).predict(network)
    counts = [walk.count(placed) for placed in set(walk)]
    assert estimate.high_ms - estimate.latency_ms == pytest.approx(Z90 * 0.001 * math.sqrt(sum(c**2 for c in counts)))


def test_a_missing_key_is_named_with_what_would_measure_it() -> None:
    entries = dict(make_table(SPACE).entries)
    network = SPACE.decode([0] * len(SPACE.decisions))
    lost = unroll(network)[1].key
    del entries[lost]
    with pytest.raises(InputError) as caught:
        LatencyEstimator(make_table(SPACE, entries=entries)).predict(network)
    assert lost in str(caught.value)
    assert "mnas profile --space" in str(caught.value)
    assert "--dtype float32" in str(caught.value)


def test_another_resolution_is_said() -> None:
    with pytest.raises(InputError, match=r"for 16 px \(small\); this network is for 224 px"):
        LatencyEstimator(make_table(SPACE)).predict(ZOO["mnasnet-a1"])


@pytest.mark.parametrize("curve", [(), ((2_000, 0.9), (8_000, 1.0), (16_000, 1.3))])
@pytest.mark.parametrize("space", [SPACE, SIZES], ids=["one size", "sizes"])
def test_batches_are_priced_as_single_networks_are(space: SearchSpace, curve: tuple[tuple[float, float], ...]) -> None:
    estimator = LatencyEstimator(make_table(space, params_curve=curve))
    rng = np.random.default_rng(3)
    networks = [space.sample(rng) for _ in range(50)]
    costs = estimator.costs(space)
    priced = costs([space.encode(network) for network in networks])
    assert priced == pytest.approx([estimator.predict(network).latency_ms for network in networks])
    for largest in (False, True):
        network, cost = costs.extreme(largest=largest)
        assert cost == pytest.approx(estimator.predict(network).latency_ms)
        assert (cost >= priced.max()) if largest else (cost <= priced.min())


def test_a_table_of_several_resolutions_serves_spaces_of_some_of_them(tmp_path: Path) -> None:
    path = str(tmp_path / "table.json")
    make_table(SIZES).save(path)
    for space in (SIZES, SIZES.at(12), SIZES.with_data(resolutions=(16, 8))):
        assert table_costs(path, space)[0].extreme()[1] > 0
    with pytest.raises(InputError, match=r"16, 12 and 8 px \(small\) and small has 6 px.*--resolutions 12,6"):
        table_costs(path, SIZES.with_data(resolutions=(12, 6)))
    with pytest.raises(InputError, match="is for 16, 12 and 8 px"):
        LatencyEstimator(make_table(SIZES)).predict(ZOO["mnasnet-a1"])


def test_the_factor_is_interpolated_and_constant_outside() -> None:
    network = SPACE.sample(np.random.default_rng(0))
    plain = LatencyEstimator(make_table(SPACE)).predict(network)
    params = complexity(network).params
    for curve, factor in (
        (((params - 10, 0.8), (params + 10, 1.2)), 1.0),
        (((params + 10, 0.8), (params + 20, 1.2)), 0.8),
        (((params - 20, 0.8), (params - 10, 1.2)), 1.2),
    ):
        bent = LatencyEstimator(make_table(SPACE, params_curve=curve)).predict(network)
        assert bent.latency_ms == pytest.approx(factor * plain.latency_ms)
        assert sum(bent.blocks_ms) == pytest.approx(factor * sum(plain.blocks_ms))
        assert bent.high_ms - bent.latency_ms == pytest.approx(factor * (plain.high_ms - plain.latency_ms))


@pytest.mark.parametrize("num_classes", [2, 37, 500, 5000])
def test_classifiers_for_other_numbers_of_classes_lie_on_a_line(num_classes: int) -> None:
    estimator = LatencyEstimator(make_table(SPACE))
    space = SPACE.with_data(num_classes=num_classes)
    classifier = unroll(space.sample(np.random.default_rng(0)))[-1]
    entry = estimator.entry(classifier)
    assert entry.source == "fitted"
    # Multiply-adds are linear in the classes, and so is this table.
    assert entry.latency_ms == pytest.approx(0.001 + block_complexity(classifier).madds / 1e7)
    assert entry.error_ms > 0.0001
    assert len(estimator.costs(space)([[0] * len(space.decisions)])) == 1


def test_a_classifier_with_a_convolution_after_pooling_lies_on_a_line_too() -> None:
    space = replace(SPACE, pooled_filters=24)
    classifier = unroll(space.with_data(num_classes=37).sample(np.random.default_rng(0)))[-1]
    entry = LatencyEstimator(make_table(space)).entry(classifier)
    assert entry.latency_ms == pytest.approx(0.001 + block_complexity(classifier).madds / 1e7)
    with pytest.raises(InputError, match="classifier_c24_n37"):
        LatencyEstimator(make_table(SPACE)).entry(classifier)


def test_one_number_of_classes_is_no_line() -> None:
    entries = {k: e for k, e in make_table(SPACE).entries.items() if "classifier" not in k or k.endswith("_n10")}
    estimator = LatencyEstimator(make_table(SPACE, entries=entries))
    with pytest.raises(InputError, match="classifier_n37"):
        estimator.predict(SPACE.with_data(num_classes=37).sample(np.random.default_rng(0)))
