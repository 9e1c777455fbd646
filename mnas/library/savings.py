"""Where milliseconds are cheap: what each kind of change to the teacher's blocks loses, and what it saves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from msgspec import Struct

from mnas.arch.codec import parse_stages
from mnas.arch.spec import BlockSpec


class Saving(Struct, frozen=True):
    """One kind of change, to all blocks that have an alternative with that change alone.

    Attributes:
        change: such as `expansion 6 to 4`.
        blocks: number of blocks.
        loss: mean loss over them.
        saved_ms: mean latency saved; negative if the alternatives are slower.
        loss_per_ms: loss over latency saved, of all blocks together; None if nothing is saved.
    """

    change: str
    blocks: int
    loss: float
    saved_ms: float
    loss_per_ms: float | None


def savings(blocks: Sequence[Mapping[str, Any]]) -> list[Saving]:
    """Summarise a library's alternatives by what they change, the cheapest milliseconds first.

    Args:
        blocks: for each its `alternatives` with `block` (a block's text), `loss` and `latency_ms`; the teacher's own
            first. Alternatives that change more than one thing do not count.
    """
    found: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for block in blocks:
        first, *others = block["alternatives"]
        own = parse_stages(first["block"])[0].block
        for row in others:
            change = _change(own, parse_stages(row["block"])[0].block)
            if change is not None:
                found[change].append((row["loss"] - first["loss"], first["latency_ms"] - row["latency_ms"]))
    rows = [_saving(change, pairs) for change, pairs in found.items()]
    return sorted(rows, key=lambda row: (row.loss_per_ms is None, row.loss_per_ms or 0.0, row.change))


def _saving(change: str, pairs: Sequence[tuple[float, float]]) -> Saving:
    loss, saved = (sum(values) for values in zip(*pairs, strict=True))
    count = len(pairs)
    return Saving(change, count, loss / count, saved / count, loss / saved if saved > 0 else None)


def _change(own: BlockSpec, other: BlockSpec) -> str | None:
    """Say the only thing that differs; None if more does."""
    if other.op == "identity" != own.op:
        return "left out"
    different = [field.name for field in fields(BlockSpec) if getattr(own, field.name) != getattr(other, field.name)]
    if different == ["kernel_size"]:
        return f"kernel {own.kernel_size} to {other.kernel_size}"
    if different == ["expand_ratio"]:
        return f"expansion {own.expand_ratio:g} to {other.expand_ratio:g}"
    if different == ["se_ratio"] and not other.se_ratio:
        return "without squeeze-and-excitation"
    return None
