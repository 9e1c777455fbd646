"""Tables for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mnas.arch.complexity import block_complexity
from mnas.latency.table import Configuration, Entry, LatencyTable, ReportCard
from mnas.profiling.plan import table_blocks
from mnas.space.space import SearchSpace

CONFIGURATION = Configuration(
    device="local",
    soc="x86_64",
    cpu="a CPU",
    os="Linux",
    runtime="litert",
    runtime_version="2.3.0",
    delegate="xnnpack",
    dtype="float32",
    threads=1,
)
CARD = ReportCard(
    num_networks=40,
    mape=0.02,
    within_5_percent=0.95,
    within_10_percent=1.0,
    within_interval=0.9,
    kendall_tau=0.97,
    repeatability=0.01,
    median_mape=0.05,
)


def make_table(space: SearchSpace, **fields: Any) -> LatencyTable:
    """A table in which a block takes a microsecond and one for every 10,000 multiply-adds."""
    entries = {
        placed.key: Entry(0.001 + block_complexity(placed).madds / 1e7, 0.0001, 5) for placed in table_blocks(space)
    }
    table = LatencyTable(
        configuration=CONFIGURATION,
        space=space.name,
        resolution=space.resolution,
        resolutions=space.resolutions,
        date="2026-01-31",
        method="by arithmetic",
        mnas_version="0.1.0",
        overhead_ms=0.002,
        relative_error=0.02,
        entries=entries,
        report_card=CARD,
    )
    return replace(table, **fields)
