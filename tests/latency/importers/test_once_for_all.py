"""Once-for-All's networks, priced with its tables."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from mnas.errors import InputError
from mnas.latency.estimator import LatencyEstimator
from mnas.latency.importers.flat import parse_rows
from mnas.latency.importers.importer import import_table
from mnas.latency.importers.once_for_all import once_for_all_blocks
from tests.latency.importers.published import once_for_all_times, real_file, rows

DEPTHS = (2, 3, 4, 2, 3)


def by_names(
    times: dict[str, float], kernels: Sequence[int], expansions: Sequence[int], depths: Sequence[int]
) -> float:
    """What Once-for-All's own estimator would say: rows looked up by what their names say, one by one."""
    total = sum(ms for name, ms in times.items() if "-kernel:" not in name or "-expand:24-" in name)
    filters = 24
    for stage, wanted in enumerate((32, 48, 96, 136, 192)):
        for repeat in range(depths[stage]):
            kernel, middle = kernels[4 * stage + repeat], filters * expansions[4 * stage + repeat]
            pattern = rf"x{filters}-output:\d+x\d+x{wanted}-expand:{middle}-kernel:{kernel}-"
            (found,) = [ms for name, ms in times.items() if re.search(pattern, name)]
            total += found
            filters = wanted
    return total


def choices(seed: int) -> tuple[list[int], list[int], list[int]]:
    rng = random.Random(seed)
    return rng.choices((3, 5, 7), k=20), rng.choices((3, 4, 6), k=20), rng.choices((2, 3, 4), k=5)


@pytest.mark.parametrize(("resolution", "seed"), [(160, 0), (160, 1), (192, 2), (224, 3)])
def test_a_network_costs_the_sum_of_its_rows(tmp_path: Path, resolution: int, seed: int) -> None:
    times = once_for_all_times(resolution)
    (tmp_path / "note10.yaml").write_text(rows(times, "std"))
    table = import_table(tmp_path / "note10.yaml", "once-for-all")
    assert table.resolution == resolution
    assert len(table.entries) == len(times) - 1
    assert table.overhead_ms == times[f"AvgPool2D-input:{resolution // 32}x{resolution // 32}x1152-output:1x1x1152"]
    estimate = LatencyEstimator(table).predict_blocks(once_for_all_blocks(*choices(seed), resolution))
    assert estimate.latency_ms == pytest.approx(by_names(times, *choices(seed)))


def test_a_network_for_another_resolution_is_not_priced(tmp_path: Path) -> None:
    (tmp_path / "note10.yaml").write_text(rows(once_for_all_times(160), "std"))
    estimator = LatencyEstimator(import_table(tmp_path / "note10.yaml", "once-for-all"))
    with pytest.raises(InputError, match="no entry '224x224x3 cn_k3_s2_c24 hswish'"):
        estimator.predict_blocks(once_for_all_blocks(*choices(0), 224))


@pytest.mark.parametrize("seed", range(5))
def test_the_published_table_prices_every_network_of_its_space(seed: int) -> None:
    path = real_file("ofa_note10_160_lookup_table.yaml")
    times = {row.name: row.values["mean"] for row in parse_rows(path.read_text())}
    estimator = LatencyEstimator(import_table(path, "once-for-all"))
    estimate = estimator.predict_blocks(once_for_all_blocks(*choices(seed), 160))
    assert estimate.latency_ms == pytest.approx(by_names(times, *choices(seed)))
    assert estimate.num_fitted == 0


@pytest.mark.parametrize(
    ("kernels", "expansions", "depths", "message"),
    [
        ([3] * 19, [3] * 20, DEPTHS, "20 kernels"),
        ([3] * 20, [3] * 20, (2,) * 6, "5 depths"),
        ([4] * 20, [3] * 20, DEPTHS, "kernel is '4'"),
        ([3] * 20, [5] * 20, DEPTHS, "expansion is '5'"),
        ([3] * 20, [3] * 20, (1, 2, 2, 2, 2), "depth is 1"),
    ],
)
def test_encodings_that_are_none(
    kernels: list[int], expansions: list[int], depths: tuple[int, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        once_for_all_blocks(kernels, expansions, depths, 160)
