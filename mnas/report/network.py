"""A network as the page draws it: boxes as wide as their channels, bars as long as their time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mnas.arch.spec import ClassifierSpec
from mnas.arch.text import format_number
from mnas.arch.walk import PlacedBlock
from mnas.report.facts import BlockRow


def block_views(blocks: Sequence[BlockRow]) -> list[dict[str, Any]]:
    """What the drawing of a network shows of each block; widths are shares of the widest, 0 to 100."""
    if not blocks:
        return []
    widest = max(math.sqrt(row.placed.out_filters) for row in blocks)
    total = math.fsum(row.latency_ms or 0.0 for row in blocks)
    slowest = max((row.latency_ms or 0.0) for row in blocks)
    return [
        {
            **describe_block(row.placed),
            "name": row.name.replace("_", " ").replace("block", "· ").replace("stage", "stage "),
            "first": not row.name.startswith("stage") or row.name.endswith("_block1"),
            "width": 25 + 75 * math.sqrt(row.placed.out_filters) / widest,
            "latency_ms": row.latency_ms,
            "share": (row.latency_ms or 0.0) / total if total else 0.0,
            "bar": 100 * (row.latency_ms or 0.0) / slowest if slowest else 0.0,
            "params": row.params,
            "madds": row.madds,
        }
        for row in blocks
    ]


def describe_block(placed: PlacedBlock) -> dict[str, str]:
    """A block in people's words: its title, its details, its input and output, and the look it is drawn in."""
    block = placed.block
    shape = f"{placed.in_size}×{placed.in_size}×{placed.in_filters}"
    if isinstance(block, ClassifierSpec):
        return {
            "title": "pool, classifier",
            "details": f"{block.num_classes} classes",
            "shape": f"{shape} → {block.num_classes}",
            "look": "classifier",
        }
    kernel = f"{block.kernel_size}×{block.kernel_size}"
    titles = {"conv": "Conv", "sepconv": "SepConv", "identity": "Conv"}
    title = titles.get(block.op, f"MBConv{format_number(block.expand_ratio)}")
    details = [f"{block.filters} channels"]
    if block.stride > 1:
        details.append(f"stride {block.stride}")
    if block.se_ratio:
        details.append(f"SE {format_number(block.se_ratio)}")
    if block.skip != "none":
        details.append({"identity": "skip", "pool": "pooled skip"}[block.skip])
    look = f"kernel{min(7, max(3, block.kernel_size))}" if block.op == "mbconv" else block.op
    return {
        "title": f"{title} {kernel}",
        "details": ", ".join(details),
        "shape": f"{shape} → {placed.out_size}×{placed.out_size}×{placed.out_filters}",
        "look": "sepconv" if look == "sepconv" else "conv" if look in ("conv", "identity") else look,
    }
