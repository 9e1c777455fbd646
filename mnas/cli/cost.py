"""`mnas cost`: parameters, multiply-adds and predicted latency, block by block."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mnas.cli import output
from mnas.cli.options import ARCH, JSON

if TYPE_CHECKING:
    from mnas.arch.spec import Architecture


def cost(
    arch: str = ARCH,
    table: Path = typer.Option(None, "--table", help="A latency table: adds the predicted latency."),
    json: bool = JSON,
) -> None:
    """Show what a network costs, block by block. Example: mnas cost mnasnet-a1."""
    from mnas.study.references import resolve_architecture

    report = _report(resolve_architecture(arch), table)
    if json:
        output.print_json(report)
        return
    columns = ["block", "parameters", "multiply-adds"] + (["ms"] if table else [])
    rows = [_row(block["key"], block, bool(table)) for block in report["blocks"]]
    rows.append(_row("whole network", report, bool(table)))
    output.table(f"{arch} at {report['resolution']} px", columns, rows)
    print(f"Float32 file: {report['file_mb']:.3g} MB; memory to run it: {report['memory_mb']:.3g} MB (XNNPACK).")
    if table:
        from mnas.latency.extrapolation import describe_extrapolated

        low, high = report["latency_interval_ms"]
        print(f"Latency: {report['latency_ms']:.3f} ms predicted, 90 % interval {low:.3f} to {high:.3f} ms.")
        if report["extrapolated"]:
            print(f"* {describe_extrapolated(report['extrapolated'])}")


def _report(architecture: Architecture, table: Path | None) -> dict[str, Any]:
    from mnas.arch.complexity import block_complexity, complexity
    from mnas.arch.memory import footprint
    from mnas.arch.walk import unroll

    walk = unroll(architecture)
    total = complexity(architecture)
    taken = footprint(architecture)
    blocks: list[dict[str, Any]] = []
    for placed in walk:
        own = block_complexity(placed)
        blocks.append({"key": placed.key, "params": own.params, "madds": own.madds})
    report: dict[str, Any] = {
        "params": total.params,
        "madds": total.madds,
        "resolution": architecture.resolution,
        "file_mb": taken.file_bytes / 1e6,
        "memory_mb": taken.memory_bytes / 1e6,
        "blocks": blocks,
    }
    if table is not None:
        from mnas.latency.extrapolation import ExtendedEstimator
        from mnas.latency.limits import load_table

        estimate = ExtendedEstimator(load_table(table)).predict(architecture)
        report["latency_ms"] = estimate.latency_ms
        report["latency_interval_ms"] = [estimate.low_ms, estimate.high_ms]
        for block, latency_ms in zip(blocks, estimate.blocks_ms, strict=True):
            block["latency_ms"] = latency_ms
            block["extrapolated"] = block["key"] in estimate.extrapolated
        report["extrapolated"] = list(estimate.extrapolated)
    return report


def _row(name: str, entry: dict[str, Any], with_latency: bool) -> list[str]:
    row = [name, f"{entry['params']:,}", f"{entry['madds']:,}"]
    mark = " *" if entry.get("extrapolated") is True else ""
    return [*row, f"{entry['latency_ms']:.4f}{mark}"] if with_latency else row
