"""A network as the page draws it: the width of a box shows channels, the length of a bar shows latency."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mnas.arch.spec import EXPANDING, ClassifierSpec
from mnas.arch.text import format_number
from mnas.arch.walk import PlacedBlock
from mnas.report.facts import BlockRow

_TITLES = {
    "conv": "Conv",
    "sepconv": "SepConv",
    "mbconv": "MBConv",
    "fused_mbconv": "FusedMBConv",
    "uib": "UIB",
    "identity": "Conv",
}


def block_views(blocks: Sequence[BlockRow]) -> list[dict[str, Any]]:
    """Return what the page shows of each block; widths are percentages of the widest block."""
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
    """Describe a block: its title, its details, its input and output shape, and its look."""
    block = placed.block
    shape = f"{placed.in_size}×{placed.in_size}×{placed.in_filters}"
    if isinstance(block, ClassifierSpec):
        pooled = f"1×1 to {block.pooled_filters} channels, " if block.pooled_filters else ""
        return {
            "title": "pool, classifier",
            "details": pooled + f"{block.num_classes} classes",
            "shape": f"{shape} → {block.num_classes}",
            "look": block_look(placed),
        }
    sides = [side for side in (block.start_kernel_size, block.kernel_size) if side]
    kernel = " and ".join(f"{side}×{side}" for side in sides) or "1×1"
    title = _TITLES[block.op] + (format_number(block.expand_ratio) if block.op in EXPANDING else "")
    details = [f"{block.filters} channels"]
    if block.stride > 1:
        details.append(f"stride {block.stride}")
    if block.se_ratio:
        details.append(f"{'hard SE' if block.hard_se else 'SE'} {format_number(block.se_ratio)}")
    if block.skip != "none":
        details.append({"identity": "skip", "pool": "pooled skip"}[block.skip])
    return {
        "title": f"{title} {kernel}",
        "details": ", ".join(details),
        "shape": f"{shape} → {placed.out_size}×{placed.out_size}×{placed.out_filters}",
        "look": block_look(placed),
    }


def block_look(placed: PlacedBlock) -> str:
    """Return the name of a block's look in `mnas.report.figure.LOOKS`."""
    block = placed.block
    if isinstance(block, ClassifierSpec):
        return "classifier"
    if block.op in ("mbconv", "uib"):
        return f"kernel{min(7, max(3, block.kernel_size))}"
    return "sepconv" if block.op == "sepconv" else "conv"
