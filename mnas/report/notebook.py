"""How notebooks display architectures, latency tables and studies."""

from __future__ import annotations

from typing import Any

import jinja2

from mnas.arch.complexity import block_complexity, complexity
from mnas.arch.spec import Architecture
from mnas.arch.walk import named_blocks
from mnas.latency.table import LatencyTable
from mnas.study.study import Study
from mnas.study.summary import report

_SLOWEST = 8

# A table under a title; columns after the first align right.
_TABLE = jinja2.Environment(autoescape=True, trim_blocks=True).from_string("""
{%- macro cell(tag, value, first) -%}
<{{ tag }} style="padding:.15em .7em;white-space:nowrap;
{{- "text-align:left;font-family:monospace" if first else "text-align:right" }}">{{ value }}</{{ tag }}>
{%- endmacro -%}
<div><strong>{{ title }}</strong><div>{{ note }}</div><table>
<thead><tr>{% for name in header %}{{ cell("th", name, loop.first) }}{% endfor %}</tr></thead><tbody>
{% for row in rows %}<tr>{% for value in row %}{{ cell("td", value, loop.first) }}{% endfor %}</tr>{% endfor %}
</tbody></table></div>""")


def architecture_html(architecture: Architecture) -> str:
    """Return a table of the blocks with their costs."""
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
    return _TABLE.render(title="Architecture", header=header, rows=rows, note=note)


def table_html(table: LatencyTable) -> str:
    """Return the table's device, its report card and its slowest blocks."""
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
            f"On {card.num_networks} held-out networks the mean error of its predictions is {card.mape:.1%}, "
            f"{card.within_10_percent:.0%} are within 10 %, Kendall's tau is {card.kendall_tau:.2f}."
        )
        note += "".join(f" At {size} px it is {own.mape:.1%}." for size, own in table.report_cards.items())
    slowest = sorted(table.entries.items(), key=lambda item: -item[1].latency_ms)[:_SLOWEST]
    rows = [[key, f"{entry.latency_ms:.4g}", f"{entry.error_ms:.2g}", entry.source] for key, entry in slowest]
    title = f"Latency table for {table.space} at {table.input_text}"
    return _TABLE.render(title=title, header=["slowest blocks", "ms", "± ms", "source"], rows=rows, note=note)


def study_html(study: Study) -> str:
    """Return the verdict, the winner and the front."""
    facts = report(study)
    best = facts["best"]
    note = f"{facts['num_trials']} trials of {facts['strategy']} on {facts['space']}. "
    note += "No winner yet. " if best is None else f"The winner is trial {best['number']}. "
    note += facts["baseline"]["verdict"] if facts["baseline"] else ""
    header = ["trial", "accuracy", "ms", "parameters", "multiply-adds"]
    winner = [] if best is None else [_row(best, "winner, ")]
    rows = [*winner, *map(_row, facts["front"])]
    return _TABLE.render(title=f"Study {study.folder}", header=header, rows=rows, note=note)


def _row(row: dict[str, Any], what: str = "") -> list[str]:
    latency = "" if row["latency_ms"] is None else f"{row['latency_ms']:.4g}"
    return [f"{what}#{row['number']}", f"{row['accuracy']:.2%}", latency, f"{row['params']:,}", f"{row['madds']:,}"]
