"""The parts of a report beyond a study's summary, as plain data for the terminal and `--json`."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from mnas.report.facts import ReportData, Target
from mnas.train.assessment import Assessment

_MOST_CONFUSIONS = 10


def details(facts: ReportData) -> dict[str, Any]:
    """Return the devices, and the winner's blocks, measurements, family and test.

    Returns:
        `devices`, `blocks`, `benches` and `family`, lists of rows; unknown values are None. `test` has the accuracy,
        `published_network` (the one that the search did not beat, whose test it is; else None),
        `classes`, `confusion` (rows are the images' own classes), the largest `confusions`, the worst `mistakes` and
        `recall_at_precision` (None but for two classes); None without a trained winner.
    """
    return {
        "devices": [_device(target) for target in facts.targets],
        "blocks": [
            {"key": row.placed.key, **_pick(row, "name", "params", "madds", "latency_ms")} for row in facts.blocks
        ],
        "benches": [{**structs.asdict(bench), "ratio": bench.ratio} for bench in facts.benches],
        "family": [
            {
                "resolution": member.architecture.resolution,
                **_pick(member, "name", "params", "madds", "latency_ms", "accuracy"),
            }
            for member in facts.family
        ],
        "test": None if facts.test is None else {"published_network": facts.tested, **_test(facts.test)},
    }


def _test(test: Assessment) -> dict[str, Any]:
    return {
        "accuracy": test.accuracy,
        "classes": [structs.asdict(own) for own in test.classes],
        "confusion": [list(row) for row in test.confusion],
        "confusions": [each._asdict() for each in test.confusions(_MOST_CONFUSIONS)],
        "mistakes": [
            {
                **_pick(mistake, "image", "probability"),
                "label": test.classes[mistake.label].name,
                "predicted": test.classes[mistake.predicted].name,
            }
            for mistake in test.mistakes
        ],
        "recall_at_precision": test.recall_at_precision and structs.asdict(test.recall_at_precision),
    }


def _pick(record: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(record, name) for name in names}


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
