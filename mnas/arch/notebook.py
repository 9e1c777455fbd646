"""An architecture as notebooks show it."""

from __future__ import annotations

from mnas import html
from mnas.arch.complexity import block_complexity, complexity
from mnas.arch.spec import Architecture
from mnas.arch.walk import named_blocks


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
    return html.table("Architecture", header, rows, note=note)
