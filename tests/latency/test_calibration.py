"""Fitting a table to a few whole networks."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnas.arch.codec import architecture_to_dict
from mnas.arch.spec import Architecture
from mnas.arch.zoo import ZOO
from mnas.errors import InputError
from mnas.latency.calibration import calibrate_table, read_configuration, read_measurements
from mnas.latency.estimator import LatencyEstimator
from tests.latency.tables import make_table
from tests.spaces import small_space

SPACE = small_space(3)
TABLE = make_table(SPACE)
ESTIMATOR = LatencyEstimator(TABLE)


def networks(count: int, seed: int = 0) -> list[Architecture]:
    rng = np.random.default_rng(seed)
    return list(dict.fromkeys(SPACE.sample(rng) for _ in range(3 * count)))[:count]


def measure(
    chosen: list[Architecture], scale: float, offset_ms: float = 0.0, noise: float = 0.0, seed: int = 0
) -> list[tuple[Architecture, float]]:
    rng = np.random.default_rng(seed)
    return [
        (network, (ESTIMATOR.predict(network).latency_ms * scale + offset_ms) * (1 + noise * rng.standard_normal()))
        for network in chosen
    ]


def test_a_device_that_is_slower_throughout() -> None:
    measured = measure(networks(4), 1.3)
    table, found = calibrate_table(TABLE, measured)
    assert found.applied
    assert (found.scale, found.offset_ms) == (pytest.approx(1.3), pytest.approx(0, abs=1e-9))
    assert (found.error_before, found.error_after) == (pytest.approx(0.3 / 1.3), pytest.approx(0, abs=1e-9))
    fresh = networks(20, seed=9)
    for network in fresh:
        before, after = ESTIMATOR.predict(network), LatencyEstimator(table).predict(network)
        assert after.latency_ms == pytest.approx(1.3 * before.latency_ms)
    key = min(TABLE.entries)
    assert table.entries[key].error_ms == pytest.approx(1.3 * TABLE.entries[key].error_ms)
    assert table.report_card is None
    assert "Calibrated to 4 whole networks" in table.method


def test_a_device_that_needs_a_while_for_every_network() -> None:
    table, found = calibrate_table(TABLE, measure(networks(8), 1.2, 0.5))
    assert (found.scale, found.offset_ms) == (pytest.approx(1.2), pytest.approx(0.5))
    assert table.overhead_ms == pytest.approx(TABLE.overhead_ms * 1.2 + 0.5)


def test_fresh_networks_gain_and_are_inside_their_intervals() -> None:
    table, found = calibrate_table(TABLE, measure(networks(15), 0.7, 0.1, noise=0.03))
    fresh = measure(networks(60, seed=5), 0.7, 0.1, noise=0.03, seed=6)
    estimates = [LatencyEstimator(table).predict(network) for network, _ in fresh]
    errors = [abs(estimate.latency_ms / ms - 1) for estimate, (_, ms) in zip(estimates, fresh, strict=True)]
    assert np.mean(errors) < 0.04
    assert found.error_after == pytest.approx(np.mean(errors), abs=0.02)
    inside = [estimate.low_ms <= ms <= estimate.high_ms for estimate, (_, ms) in zip(estimates, fresh, strict=True)]
    assert np.mean(inside) >= 0.8


def test_noise_alone_hardly_ever_changes_a_good_table() -> None:
    results = [
        calibrate_table(TABLE, measure(networks(count, seed), 1.0, noise=0.03, seed=seed))
        for count in (3, 5, 8)
        for seed in range(20)
    ]
    assert sum(found.applied for _, found in results) <= 3
    for table, found in results:
        assert found.applied or table is TABLE


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_networks_change_nothing(count: int) -> None:
    table, found = calibrate_table(TABLE, measure(networks(count), 2.0))
    assert table is TABLE
    assert (found.applied, found.scale, found.offset_ms) == (False, 1.0, 0.0)
    assert found.error_before == found.error_after == pytest.approx(0.5)


def test_from_three_networks_on_it_is_a_table_of_the_device_they_were_measured_on() -> None:
    phone = replace(TABLE.configuration, device="adb", model="Pixel 4", dtype="int8")
    known = replace(TABLE, reference_ms=0.2)
    slower, found = calibrate_table(known, measure(networks(4), 1.3), phone)
    assert found.applied
    assert (slower.configuration, slower.reference_ms) == (phone, 0.0)  # the reference network's is the other device's
    alike, found = calibrate_table(TABLE, measure(networks(6), 1.0, noise=0.01, seed=3), phone)
    assert not found.applied
    assert alike.configuration == phone
    assert alike.entries == TABLE.entries
    assert alike.report_card is None
    assert 0.0 < alike.relative_error != TABLE.relative_error
    assert "left as it is, with a mean error of" in alike.method
    unlike, found = calibrate_table(TABLE, measure(networks(6), 1.0, noise=0.4, seed=3), phone)
    assert not found.applied
    assert unlike is TABLE
    few, _ = calibrate_table(TABLE, measure(networks(2), 1.3), phone)
    assert few is TABLE


def test_one_network_measured_often_is_one_network() -> None:
    (pair,) = measure(networks(1), 2.0)
    _, found = calibrate_table(TABLE, [pair] * 10)
    assert (found.num_networks, found.applied) == (1, False)


def test_what_cannot_be_calibrated() -> None:
    with pytest.raises(InputError, match="at least one"):
        calibrate_table(TABLE, [])
    with pytest.raises(InputError, match="no entry"):
        calibrate_table(TABLE, [(ZOO["mnasnet-a1"], 20.0)])
    with pytest.raises(InputError, match="no time at all"):
        calibrate_table(replace(TABLE, overhead_ms=-1e6), measure(networks(3), 1.0))


def write(path: Path, rows: Any, **fields: Any) -> Path:
    path.write_text(json.dumps({"format": "mnas.measurements", "version": 1, "measurements": rows, **fields}))
    return path


def test_measurements_are_read(tmp_path: Path) -> None:
    network = networks(1)[0]
    rows = [
        {"architecture": "mnasnet-a1", "latency_ms": 20},
        {"architecture": architecture_to_dict(network), "latency_ms": 1.5},
    ]
    assert read_measurements(write(tmp_path / "m.json", rows)) == [(ZOO["mnasnet-a1"], 20.0), (network, 1.5)]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"architecture": "mnasnet-a1", "latency_us": 20},
            r"measurements\[0\] has unknown fields latency_us; known are .*latency_ms",
        ),
        ({"architecture": "mnasnet-a1", "latency_ms": 0}, r"measurements\[0\].latency_ms is 0"),
        ({"architecture": "mnasnet-a1", "latency_ms": True}, "latency_ms is True"),
        ({"architecture": "nothing", "latency_ms": 1}, "unknown network 'nothing'"),
        ({"architecture": {}, "latency_ms": 1}, r"measurements\[0\].architecture: not an architecture"),
        ("mnasnet-a1", r"measurements\[0\] is 'mnasnet-a1': expected an object"),
    ],
)
def test_measurements_that_are_none(tmp_path: Path, row: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_measurements(write(tmp_path / "m.json", [row]))


def test_where_they_were_measured_is_read(tmp_path: Path) -> None:
    rows = [{"architecture": "mnasnet-a1", "latency_ms": 20}]
    assert read_configuration(write(tmp_path / "m.json", rows)) is None
    said = write(tmp_path / "m.json", rows, configuration=asdict(TABLE.configuration))
    assert read_configuration(said) == TABLE.configuration
    with pytest.raises(InputError, match=r"m\.json: configuration lacks soc"):
        read_configuration(write(tmp_path / "m.json", rows, configuration={"device": "local"}))


@pytest.mark.parametrize("fields", [{"format": "other"}, {"version": 2}, {"measurements": []}, {"measurements": {}}])
def test_files_that_hold_none(tmp_path: Path, fields: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"m\.json"):
        read_measurements(write(tmp_path / "m.json", [1], **fields))
