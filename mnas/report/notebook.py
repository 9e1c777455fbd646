"""Architectures, latency tables and studies as notebooks show them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from mnas.arch.complexity import block_complexity, complexity
from mnas.arch.spec import Architecture
from mnas.arch.walk import named_blocks
from mnas.latency.table import LatencyTable
from mnas.study.study import Study
from mnas.study.summary import report

_SLOWEST = 8

_CELL = "text-align:right;padding:.15em .7em;white-space:nowrap"
_FIRST = "text-align:left;padding:.15em .7em;white-space:nowrap;font-family:monospace"


def architecture_html(architecture: Architecture) -> str:
    """A table of the blocks, where they stand and what they cost."""
    total = complexity(architecture)
    rows = []
    for name, placed in named_blocks(architecture):
        cost = block_complexity(placed)
        text = placed.key.split(" ")[1]
        shape = f"{placed.in_size}×{placed.in_size}×{placed.in_filters}"
        share = f"{cost.madds / total.madds:.0%}"
        rows.append([name.replace("_", " "), text, shape, f"{cost.params:,}", f"{cost.madds:,}", share])
    note = (
        f"{architecture.resolution} px, {architecture.num_classes} classes, {architecture.activation}; "
        f"{total.params:,} parameters, {total.madds:,} multiply-adds"
    )
    header = ["where", "block", "input", "parameters", "multiply-adds", "share"]
    return html_table("Architecture", header, rows, note=note)


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
    return html_table(title, ["slowest blocks", "ms", "give or take", "source"], rows, note=note)


def study_html(study: Study) -> str:
    """The verdict, the winner, and the front."""
    facts = report(study)
    best = facts["best"]
    note = f"{facts['num_trials']} trials of {facts['strategy']} on {facts['space']}. "
    note += "No winner yet. " if best is None else f"The winner is trial {best['number']}. "
    note += facts["baseline"]["verdict"] if facts["baseline"] else ""
    header = ["trial", "accuracy", "ms", "parameters", "multiply-adds"]
    winner = [] if best is None else [_row(best, "winner, ")]
    return html_table(f"Study {study.folder}", header, [*winner, *map(_row, facts["front"])], note=note)


def _row(row: dict[str, Any], what: str = "") -> list[str]:
    latency = "" if row["latency_ms"] is None else f"{row['latency_ms']:.4g}"
    return [f"{what}#{row['number']}", f"{row['accuracy']:.2%}", latency, f"{row['params']:,}", f"{row['madds']:,}"]


def html_table(title: str, header: Sequence[str], rows: Iterable[Sequence[object]], *, note: str = "") -> str:
    """A table under a title; every value is escaped, columns after the first align right.

    Args:
        title: above it.
        header: names of the columns.
        rows: as many values as there are columns.
        note: a sentence between title and table.
    """
    head = "".join(_html_cell("th", name, number) for number, name in enumerate(header))
    body = "".join(
        "<tr>" + "".join(_html_cell("td", value, n) for n, value in enumerate(row)) + "</tr>" for row in rows
    )
    said = f"<div>{escape(note)}</div>" if note else ""
    return (
        f"<div><strong>{escape(title)}</strong>{said}<table><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _html_cell(tag: str, value: object, number: int) -> str:
    return f'<{tag} style="{_CELL if number else _FIRST}">{escape(str(value))}</{tag}>'
