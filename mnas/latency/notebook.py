"""A latency table as notebooks show it."""

from __future__ import annotations

from mnas import html
from mnas.latency.table import LatencyTable

_SLOWEST = 8


def table_html(table: LatencyTable) -> str:
    """Where it was measured, its report card, and its slowest blocks."""
    where = table.configuration
    note = (
        f"{where.cpu or where.soc or where.device}, {where.runtime} {where.runtime_version}, {where.delegate}, "
        f"{where.dtype}, {where.threads} thread(s), {table.date}. {len(table.entries)} blocks. "
    )
    card = table.report_card
    if card is None:
        note += "No report card: no network was held out."
    else:
        note += (
            f"On {card.num_networks} networks that it never saw, predictions are {card.mape:.1%} off on average, "
            f"{card.within_10_percent:.0%} within 10 %, Kendall's tau {card.kendall_tau:.2f}."
        )
    slowest = sorted(table.entries.items(), key=lambda item: -item[1].latency_ms)[:_SLOWEST]
    rows = [[key, f"{entry.latency_ms:.4g}", f"{entry.error_ms:.2g}", entry.source] for key, entry in slowest]
    title = f"Latency table for {table.space} at {table.resolution} px"
    return html.table(title, ["slowest blocks", "ms", "give or take", "source"], rows, note=note)
