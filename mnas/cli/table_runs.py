"""`mnas table list`, `extend` and `merge`: the ready-made tables, and runs behind tables."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mnas.cli import output
from mnas.cli.options import BENCHMARK_BINARY, DEVICE, FORCE, JSON, WAIT
from mnas.cli.profile import describe, print_faults, print_report_card

if TYPE_CHECKING:
    from mnas.latency.table import ReportCard
    from mnas.profiling.merge import Disagreement

_MOST_NETWORKS = 8  # of a disagreement that are shown


def list_(json: bool = JSON) -> None:
    """List the ready-made tables, whose names every --table takes. Example: mnas table list."""
    from msgspec import to_builtins

    from mnas.latency.registry import FOLDER, read_registry, registry_folder

    folder, tables = registry_folder(), read_registry()
    if json:
        output.print_json({"folder": None if folder is None else str(folder), "tables": to_builtins(tables)})
        return
    if folder is None:
        print(f"This installation has no ready-made tables: they are in the folder {FOLDER} of mnas's source.")
        return
    print(f"In {folder}:")
    for (device, runtime, threads), own in groupby(tables, key=lambda each: (each.device, each.runtime, each.threads)):
        rows = [
            [
                *(each.name, each.date, f"{each.networks}"),
                *("?" if each.error is None else f"{each.error:.1%}", "?" if each.tau is None else f"{each.tau:.3f}"),
            ]
            for each in own
        ]
        columns = ["name", "date", "networks", "error", "tau"]
        output.table(f"{device}, {runtime}, {threads} thread{'s' if threads > 1 else ''}", columns, rows)
    print("Every --table takes these names: mnas cost ARCH --table NAME. For your own device, run mnas profile.")


def extend(
    table: Path = typer.Argument(..., metavar="TABLE.json", help="A table of mnas profile, with its log beside it."),
    minutes: float = typer.Option(..., help="How much longer to measure."),
    device: str = DEVICE,
    benchmark_binary: Path = BENCHMARK_BINARY,
    wait: float = WAIT,
    json: bool = JSON,
) -> None:
    """Add minutes of measurement to a table, and fit it again to everything measured.

    It must be the device, runtime, dtype, delegate and number of threads of the table. If interrupted, the same command
    continues where it stopped.

    Example: mnas table extend latency_tables/laptop.json --minutes 10
    """
    from mnas.devices.registry import open_again
    from mnas.latency.table import LatencyTable
    from mnas.profiling.extend import extend_table

    where = LatencyTable.load(table).configuration
    opened = open_again(where, device, benchmark_binary=benchmark_binary, wait_minutes=wait)
    with output.progress("Measuring") as report:
        found = extend_table(table, opened, minutes, progress=report)
    if json:
        numbers = {"num_before": found.num_before, "num_after": found.num_after}
        cards = {"before": found.before.to_dict(), "after": found.after.to_dict()}
        output.print_json({"table": str(table), **numbers, **cards, **describe(found.table)})
        return
    print(f"Wrote {table}, fitted to {found.num_after} networks instead of {found.num_before}.")
    print(f"On the {found.after.num_networks} networks that no table was fitted to, before and after:")
    for line in _progress(found.before, found.after):
        print(f"  {line}")
    print_faults(found.table)


def _progress(before: ReportCard, after: ReportCard) -> list[str]:
    """What got better, in words."""
    lines = [
        f"predictions are {before.mape:.2%} off on average, now {after.mape:.2%}{_better(before.mape, after.mape)}",
        f"Kendall's tau: {before.kendall_tau:.3f}, now {after.kendall_tau:.3f}",
    ]
    if before.margin is not None and after.margin is not None:
        better = _better(before.margin, after.margin)
        lines.append(f"90 % intervals: plus and minus {before.margin:.1%}, now {after.margin:.1%}{better}")
    return lines


def _better(before: float, after: float) -> str:
    return " (better)" if after < before else ""


def merge(
    tables: list[Path] = typer.Argument(
        ...,
        metavar="TABLE.json...",
        help="Two or more tables of one device, with their logs beside them; or such logs.",
    ),
    out: Path = typer.Option(..., metavar="TABLE.json", help="Where to write the common table."),
    force: bool = FORCE,
    json: bool = JSON,
) -> None:
    """Join runs of one device into one table, and say where they disagree beyond noise.

    Example: mnas table merge monday.json friday.json --out laptop.json
    """
    from dataclasses import asdict

    from mnas.profiling.merge import merge_tables

    found = merge_tables(tables, out, force=force)
    if json:
        differences = [asdict(each) for each in found.disagreements]
        document = {"table": str(out), "num_networks": found.num_networks, "disagreements": differences}
        output.print_json({**document, **describe(found.table)})
        return
    print(f"Wrote {out}, fitted to {found.num_networks} networks of {len(tables)} runs.")
    for each in found.disagreements:
        _print_disagreement(each)
    print_report_card(found.table)


def _print_disagreement(found: Disagreement) -> None:
    print(f"{found.second} against {found.first}:")
    if found.num_common:
        print(
            f"  {len(found.networks)} of the {found.num_common} networks that both measured differ beyond noise "
            f"(one measurement differs from another by {found.noise:.1%})."
        )
    else:
        print("  They have no network in common, as their seeds differ.")
    for network in found.networks[:_MOST_NETWORKS]:
        ratio = network.second_ms / network.first_ms - 1
        print(f"    network {network.number}: {network.first_ms:.4f} and {network.second_ms:.4f} ms ({ratio:+.1%})")
    beyond = [group for group in found.groups if group.beyond_noise]
    for group in beyond:
        print(f"  {group.group}: {group.difference:+.1%}, plus and minus {1.645 * group.error:.1%}: more than noise.")
    if not beyond:
        print(f"  None of the {len(found.groups)} kinds of block differs beyond noise.")
