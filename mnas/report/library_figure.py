"""The figure of a block library: what every alternative loses, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mnas.report.figure import CYCLE, Figure, Series


def library_figure(blocks: Sequence[Mapping[str, Any]]) -> Figure:
    """Return loss against saved latency, one series per block: the alternatives that no other one beats.

    Args:
        blocks: for each its `number` and `alternatives` with `block`, `loss` and `latency_ms`; the teacher's own first.
    """
    series = []
    for index, block in enumerate(blocks):
        rows = block["alternatives"]
        own = rows[0]["latency_ms"]
        best = _front(rows)
        hover = tuple(f"{row['block']}\nloss {row['loss']:.4f}\n{row['latency_ms']:.3f} ms" for row in best)
        saved = tuple(own - row["latency_ms"] for row in best)
        losses = tuple(row["loss"] for row in best)
        series.append(Series(f"block {block['number']}", CYCLE[index % len(CYCLE)], saved, losses, "both", hover))
    total = sum(max(own.x) for own in series if own.x)  # type: ignore[type-var,misc]
    return Figure(
        name="library",
        title="Where are the milliseconds cheap?",
        x_label="latency saved in the block (ms)",
        y_label="loss against the teacher's block",
        series=tuple(series),
        summary=f"Loss against saved latency for {len(series)} blocks; all cheapest alternatives save {total:.3g} ms.",
    )


def _front(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The alternatives that none is both faster and nearer to the teacher than, slowest first."""
    kept: list[Mapping[str, Any]] = []
    for row in sorted(rows, key=lambda row: (row["latency_ms"], row["loss"])):
        if not kept or row["loss"] < kept[-1]["loss"]:
            kept.append(row)
    return kept[::-1]
