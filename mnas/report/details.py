"""What a report's page shows beyond a study's summary, as plain data for the terminal and `--json`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mnas.report.facts import ReportData, Target


def details(facts: ReportData) -> dict[str, Any]:
    """Devices with the winner's interval and their tables' report cards, its blocks, its measurements, its family.

    Returns:
        `devices`, `blocks`, `benches` and `family`, lists of rows; what is not known is None in them.
    """
    return {
        "devices": [_device(target) for target in facts.targets],
        "blocks": [
            {
                "name": block.name,
                "key": block.placed.key,
                "params": block.params,
                "madds": block.madds,
                "latency_ms": block.latency_ms,
            }
            for block in facts.blocks
        ],
        "benches": [{**asdict(bench), "ratio": bench.ratio} for bench in facts.benches],
        "family": [
            {
                "name": member.name,
                "resolution": member.architecture.resolution,
                "params": member.params,
                "madds": member.madds,
                "latency_ms": member.latency_ms,
                "accuracy": member.accuracy,
            }
            for member in facts.family
        ],
    }


def _device(target: Target) -> dict[str, Any]:
    estimate = target.estimate
    card = None if target.table is None else target.table.header()["report_card"]
    return {
        "name": target.name,
        "table": target.path,
        "budget_ms": target.budget_ms,
        "latency_ms": estimate and estimate.latency_ms,
        "interval_ms": estimate and [estimate.low_ms, estimate.high_ms],
        "report_card": card and {name: value for name, value in card.items() if name != "pairs_ms"},
    }
