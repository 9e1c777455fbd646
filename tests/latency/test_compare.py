"""Comparing tables: what is noise, and what is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mnas.latency.compare import block_group, compare_tables
from mnas.latency.table import LatencyTable
from tests.latency.tables import CARD, make_table
from tests.spaces import small_space

TABLE = replace(make_table(small_space()), report_card=replace(CARD, margin=0.04))


def changed(table: LatencyTable, group: str = "", factor: float = 1.0, noise: float = 0.0) -> LatencyTable:
    """A table with one kind of block slower, and errors of its entries drawn anew."""
    rng = np.random.default_rng(0)
    entries = {
        key: replace(
            entry,
            latency_ms=entry.latency_ms * (factor if block_group(key) == group else 1)
            + entry.error_ms * noise * rng.standard_normal(),
        )
        for key, entry in sorted(table.entries.items())
    }
    return replace(table, entries=entries)


def test_two_runs_of_one_device_differ_by_noise() -> None:
    found = compare_tables(TABLE, changed(TABLE, noise=1.0))
    assert found.is_noise
    assert found.margin == pytest.approx(0.04 * 2**0.5)
    assert all(group.is_noise for group in found.groups)
    assert found.num_beyond <= 0.15 * found.num_shared
    assert sum(group.num_blocks for group in found.groups) == found.num_shared


def test_a_kind_of_block_that_is_slower_is_told_from_noise() -> None:
    group = max(compare_tables(TABLE, TABLE).groups, key=lambda each: each.num_blocks).group
    precise = replace(TABLE, entries={k: replace(e, error_ms=e.latency_ms / 50) for k, e in TABLE.entries.items()})
    found = compare_tables(precise, changed(precise, group, 1.3))
    assert [each.group for each in found.groups if not each.is_noise] == [group]
    assert found.num_beyond == next(each.num_blocks for each in found.groups if each.group == group)


def test_without_a_card_the_relative_error_counts() -> None:
    bare = replace(TABLE, report_card=None, relative_error=0.02)
    assert compare_tables(bare, bare).margin == pytest.approx(1.645 * 0.02 * 2**0.5, rel=1e-3)
    older = replace(TABLE, report_card=CARD)  # without margin
    assert 0.04 < compare_tables(older, older).margin < 0.08


@pytest.mark.parametrize(
    ("key", "group"),
    [
        ("56x56x24 ir_k5_s2_e3_c40_se0.25 relu", "ir k5 se"),
        ("56x56x24 cn_k3_s1_c12_pool relu", "cn k3"),
        ("14x14x64 uir_a3_k5_s1_e4_c64 relu", "uir a3 k5"),
        ("1x1x1280 classifier_n1000", "classifier"),
        ("8x8x3 what__k3", "what k3"),
        ("x", "x"),
    ],
)
def test_the_kind_of_a_block_is_read_from_any_key(key: str, group: str) -> None:
    assert block_group(key) == group
