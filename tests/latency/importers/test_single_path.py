"""Single-Path NAS's runtime model."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from mnas.arch.walk import unroll
from mnas.errors import InputError
from mnas.latency.importers.single_path import REST_MS, entries, network
from tests.latency.importers.published import single_path_json, single_path_times


@pytest.mark.parametrize(("choice", "number"), [("k3_e3", 0), ("k3_e6", 1), ("k5_e3", 2), ("k5_e6", 3)])
def test_networks_cost_what_their_program_says(choice: str, number: int) -> None:
    times, table = single_path_times(), entries(single_path_json())
    expected = REST_MS + sum(times[str(block)][str(number)] for block in range(1, 21))
    assert math.fsum(table[placed.key].latency_ms for placed in unroll(network(choice))) == pytest.approx(expected)


def test_blocks_that_are_alike_share_an_entry_with_their_scatter() -> None:
    table = entries(single_path_json())
    assert len(table) == 4 * 5 * 2 + 5
    first, repeated = table["112x112x16 ir_k5_s2_e3_c24_noskip relu"], table["56x56x24 ir_k5_s1_e3_c24 relu"]
    assert (first.latency_ms, first.error_ms, first.num_networks) == (1 + 1 / 8 + 2 / 64, 0, 1)
    assert (repeated.latency_ms, repeated.num_networks) == (1 + 3 / 8 + 2 / 64, 3)
    assert repeated.error_ms > 0
    assert repeated.source == "imported"


def test_what_is_known_as_a_sum_only_is_fitted() -> None:
    table = entries(single_path_json())
    fitted = {key: entry for key, entry in table.items() if entry.source == "fitted"}
    assert set(fitted) == {
        "224x224x3 cn_k3_s2_c32 relu",
        "112x112x32 ds_k3_s1_c16_noskip relu",
        "7x7x192 ir_k3_s1_e6_c320_noskip relu",
        "7x7x320 cn_k1_s1_c1280 relu",
        "7x7x1280 classifier_n1000",
    }
    assert math.fsum(entry.latency_ms for entry in fitted.values()) == pytest.approx(REST_MS)
    assert all(entry.latency_ms > 0 for entry in fitted.values())


def change(block: str, value: Any) -> str:
    return json.dumps({**single_path_times(), block: value})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1", "is JSON"),
        ("[" * 100_000, "is JSON"),
        ("[]", "the blocks 0 to 21"),
        (change("22", {}), "the blocks 0 to 21"),
        (change("3", {"0": 1, "1": 1, "2": 1}), "block 3: expected four times"),
        (change("3", {"0": 1, "1": 1, "2": 1, "3": -1}), "block 3, choice 3 is -1"),
        (change("3", {"0": 1, "1": 1, "2": 1, "3": "1"}), "block 3, choice 3 is '1'"),
        (change("3", {"0": 1, "1": 1, "2": 1, "3": math.nan}), "choice 3 is nan"),
        (change("3", {"0": 1, "1": 1, "2": 1, "3": math.inf}), "choice 3 is inf"),
        ('{"0": {"0": 1, "0": 2}}', "twice"),
    ],
)
def test_anything_else_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        entries(text)
