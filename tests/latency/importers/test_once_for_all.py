"""Once-for-All's tables: every row becomes an entry."""

from __future__ import annotations

from pathlib import Path

import pytest

from mnas.latency.importers.blocks import once_for_all_block
from mnas.latency.importers.flat import Row, parse_rows
from mnas.latency.importers.importer import import_table
from mnas.latency.table import LatencyTable
from tests.latency.importers.published import once_for_all_times, real_file, rows


def check_entries(table: LatencyTable, times: dict[str, float]) -> None:
    placed = {name: once_for_all_block(Row(name, 1)) for name in times}
    assert {block.key: times[name] for name, block in placed.items() if block is not None} == {
        key: entry.latency_ms for key, entry in table.entries.items()
    }
    assert {entry.source for entry in table.entries.values()} == {"imported"}
    assert len(table.entries) == len(times) - 1


@pytest.mark.parametrize("resolution", [160, 192, 224])
def test_every_row_is_an_entry_and_the_pooling_is_the_overhead(tmp_path: Path, resolution: int) -> None:
    times = once_for_all_times(resolution)
    (tmp_path / "note10.yaml").write_text(rows(times, "std"))
    table = import_table(tmp_path / "note10.yaml", "once-for-all")
    assert table.resolution == resolution
    assert table.overhead_ms == times[f"AvgPool2D-input:{resolution // 32}x{resolution // 32}x1152-output:1x1x1152"]
    check_entries(table, times)


def test_the_published_table_is_read_whole() -> None:
    path = real_file("ofa_note10_160_lookup_table.yaml")
    times = {row.name: row.values["mean"] for row in parse_rows(path.read_text())}
    check_entries(import_table(path, "once-for-all"), times)
