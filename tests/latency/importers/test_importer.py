"""Published tables as tables of ours: sums, provenance, missing keys."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from pathlib import Path

import pytest

from mnas.arch.codec import parse_stages
from mnas.arch.spec import Architecture
from mnas.arch.walk import unroll
from mnas.arch.zoo import ZOO
from mnas.errors import InputError
from mnas.latency.estimator import LatencyEstimator
from mnas.latency.importers.importer import RELATIVE_ERROR, import_table
from mnas.latency.importers.single_path import network
from mnas.latency.table import LatencyTable
from tests.latency.importers.published import STAGES, proxylessnas_times, real_file, rows, single_path_json

FIRST = "ds_k3_s1_c16_noskip"
EVERY_BLOCK_MS = {(3, 3): 76.05, (3, 5): 87.72, (3, 7): 103.67, (6, 3): 136.47, (6, 5): 158.95, (6, 7): 191.03}
# ProxylessNAS mobile as it was released (mit-han-lab/proxylessnas): its first stage has 32 filters, the table's 24.
PROXYLESS_MOBILE = (
    f"{FIRST}|ir_k5_s2_e3_c32|ir_k3_s1_e3_c32|ir_k7_s2_e3_c40|ir_k3_s1_e3_c40|ir_k5_s1_e3_c40|ir_k5_s1_e3_c40|"
    "ir_k7_s2_e6_c80|ir_k5_s1_e3_c80|ir_k5_s1_e3_c80|ir_k5_s1_e3_c80|ir_k5_s1_e6_c96|ir_k5_s1_e3_c96|ir_k5_s1_e3_c96|"
    "ir_k5_s1_e3_c96|ir_k7_s2_e6_c192|ir_k7_s1_e6_c192|ir_k7_s1_e3_c192|ir_k7_s1_e3_c192|ir_k7_s1_e6_c320"
)


def every_block(expand: int, kernel: int) -> Architecture:
    """ProxylessNAS's network with one choice everywhere."""
    stages = [f"ir_r4_k{kernel}_s{stride}_e{expand}_c{filters}" for stride, filters in STAGES]
    text = "|".join([FIRST, *stages, f"ir_k{kernel}_s1_e{expand}_c320"])
    return Architecture(parse_stages(text), activation="relu6")


@pytest.fixture
def written(tmp_path: Path) -> Path:
    (tmp_path / "mobile.yaml").write_text(rows(proxylessnas_times()))
    return tmp_path / "mobile.yaml"


@pytest.mark.parametrize("expand", [3, 6])
@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_a_network_costs_the_sum_of_its_rows(written: Path, expand: int, kernel: int) -> None:
    times = proxylessnas_times()
    expected = math.fsum(ms for name, ms in times.items() if "-expand" not in name or "expand:1-" in name)
    for name, ms in times.items():
        if f"expand:{expand}-kernel:{kernel}-" in name:
            expected += ms * (3 if name.endswith("idskip:1") else 1)
    estimate = LatencyEstimator(import_table(written, "proxylessnas")).predict(every_block(expand, kernel))
    assert estimate.latency_ms == pytest.approx(expected)
    assert estimate.low_ms < expected / (1 + RELATIVE_ERROR)


def test_the_table_says_where_it_comes_from(written: Path, tmp_path: Path) -> None:
    table = import_table(written, "proxylessnas", device_name="Pixel 1", threads=2)
    assert (table.space, table.resolution, table.date, table.report_card) == ("proxylessnas", 224, "unknown", None)
    assert "mobile.yaml" in table.method
    assert hashlib.sha256(written.read_bytes()).hexdigest() in table.method
    assert (table.configuration.cpu, table.configuration.threads) == ("Pixel 1", 2)
    assert table.configuration.runtime == table.configuration.device == "unknown"
    entry = table.entries["224x224x3 cn_k3_s2_c32 relu6"]
    assert (entry.source, entry.num_networks, entry.error_ms) == ("imported", 12, pytest.approx(0.02))
    table.save(tmp_path / "table.json")
    assert LatencyTable.load(tmp_path / "table.json") == table


def test_a_missing_block_is_an_error_that_names_it(written: Path) -> None:
    estimator = LatencyEstimator(import_table(written, "proxylessnas"))
    with pytest.raises(InputError, match=r"no entry '112x112x16 ir_k5_s2_e3_c32_noskip relu6'") as caught:
        estimator.predict(Architecture(parse_stages(PROXYLESS_MOBILE), activation="relu6"))
    assert "imported" in str(caught.value)
    with pytest.raises(InputError, match="no entry '224x224x3 cn_k3_s2_c32 relu'"):
        estimator.predict(ZOO["mnasnet-a1"])
    ten_classes = replace(every_block(3, 3), num_classes=10)
    with pytest.raises(InputError, match="classifier_n10'"):
        estimator.predict(ten_classes)


def test_a_single_path_network_can_have_fewer_blocks(tmp_path: Path) -> None:
    (tmp_path / "pixel1.json").write_text(single_path_json())
    table = import_table(tmp_path / "pixel1.json", "single-path")
    estimator = LatencyEstimator(table)
    whole = network("k3_e6")
    stages = list(whole.stages)
    stages[2] = type(stages[2])(stages[2].block, 3)
    shorter = Architecture(tuple(stages), activation="relu")
    block_ms = table.entries["28x28x40 ir_k3_s1_e6_c40 relu"].latency_ms
    assert estimator.predict(whole).latency_ms - estimator.predict(shorter).latency_ms == pytest.approx(block_ms)
    assert estimator.predict(whole).num_fitted == 5
    assert "0.7 ms" in table.method


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected one row of the stem"),
        ("Conv_1-input:7x7x3-output:7x7x8:\n  count: 1\n  mean: 1\n  var: 0\n", "row of the stem"),
        ("Conv-input:8x8x3-output:4x4x8:\n  mean: 1\n  var: 0\n", "line 1: expected count, mean, var; found mean, var"),
        ("Conv-input:8x8x3-output:4x4x8:\n  count: 1\n  mean: 1\n  std: 0\n", "line 1: expected count, mean, var"),
        ("Conv-input:8x8x3-output:4x4x8:\n  count: 1.5\n  mean: 1\n  var: 0\n", "line 1: expected a whole count"),
        ("Conv-input:8x8x3-output:4x4x8:\n  count: 1\n  mean: 0\n  var: 0\n", "a mean above 0"),
        ("Conv-input:8x8x3-output:4x4x8:\n  count: 1\n  mean: 1e9\n  var: 0\n", "line 1: latency_ms is"),
        (
            "Conv_1-input:8x8x3-output:8x8x8:\n  count: 1\n  mean: 1\n  var: 0\n"
            "Conv_1-input:08x08x3-output:8x8x8:\n  count: 1\n  mean: 1\n  var: 0\n",
            "line 5: another row is about the same block",
        ),
    ],
)
def test_files_that_are_no_such_tables(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "table.yaml").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        import_table(tmp_path / "table.yaml", "proxylessnas")
    assert "table.yaml is not a proxylessnas table" in str(caught.value)


def test_an_unknown_format_is_refused(written: Path) -> None:
    with pytest.raises(InputError, match="expected one of proxylessnas, once-for-all, single-path"):
        import_table(written, "fbnet")


def test_the_published_proxylessnas_table_gives_the_published_sums() -> None:
    table = import_table(real_file("proxylessnas_mobile_trim.yaml"), "proxylessnas")
    assert len(table.entries) == 72
    estimator = LatencyEstimator(table)
    ends = ("224x224x3 cn_k3_s2_c32", "112x112x32 ds_k3_s1_c16_noskip", "7x7x320 cn_k1_s1_c1280")
    total = sum(table.entries[f"{key} relu6"].latency_ms for key in ends)
    assert total + table.entries["7x7x1280 classifier_n1000"].latency_ms == pytest.approx(11.364, abs=5e-4)
    for (expand, kernel), expected in EVERY_BLOCK_MS.items():
        assert estimator.predict(every_block(expand, kernel)).latency_ms == pytest.approx(expected, abs=5e-3)


def test_the_published_table_lacks_three_blocks_of_the_released_network() -> None:
    table = import_table(real_file("proxylessnas_mobile_trim.yaml"), "proxylessnas")
    walk = unroll(Architecture(parse_stages(PROXYLESS_MOBILE), activation="relu6"))
    assert [placed.key for placed in walk if placed.key not in table.entries] == [
        "112x112x16 ir_k5_s2_e3_c32_noskip relu6",
        "56x56x32 ir_k3_s1_e3_c32 relu6",
        "56x56x32 ir_k7_s2_e3_c40_noskip relu6",
    ]
