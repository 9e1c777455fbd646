"""`mnas profile`: measure a device and write its latency table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mnas.cli import common

if TYPE_CHECKING:
    from mnas.latency.table import LatencyTable


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("profile")(profile)


def profile(
    space: str = typer.Option(..., help="A shipped space or a TOML file: the table will price all of its networks."),
    out: Path = typer.Option(..., help="The table to write, e.g. latency_tables/laptop.json."),
    device: str = common.DEVICE,
    runtime: str = common.RUNTIME,
    threads: int = common.THREADS,
    delegate: str = common.DELEGATE,
    benchmark_binary: Path = common.BENCHMARK_BINARY,
    dtype: str = typer.Option("float32", help="float32 or int8."),
    minutes: float = typer.Option(3.0, help="Time for everything: more minutes, a better table."),
    classes: int = typer.Option(None, min=2, help="Number of classes, if not the space's."),
    resolution: int = typer.Option(None, min=1, help="Input size in pixels, if not the space's."),
    seed: int = typer.Option(0, min=0, help="Chooses the networks that are measured."),
    json: bool = common.JSON,
) -> None:
    """Measure a device and write its latency table. Interrupted, the same command goes on where it stopped.

    Example: mnas profile --space mnasnet-32 --out latency_tables/laptop.json
    """
    from mnas.devices.registry import open_device
    from mnas.profiling.profile import ProfileOptions
    from mnas.profiling.profile import profile as run
    from mnas.space.files import load_space

    chosen = load_space(space).with_data(num_classes=classes, resolution=resolution)
    options = ProfileOptions(minutes=minutes, dtype=dtype, seed=seed)
    opened = open_device(device, runtime=runtime, threads=threads, delegate=delegate, benchmark_binary=benchmark_binary)
    with common.progress(f"Profiling {chosen.name}") as report:
        table = run(chosen, opened, out, options, progress=report)
    if json:
        common.print_json(describe(table))
        return
    print(f"Written to {out}: {len(table.entries)} blocks.")
    print_report_card(table)
    print(f"Use it: mnas cost ARCH --table {out}, or mnas search --table {out}.")


def describe(table: LatencyTable) -> dict[str, Any]:
    """What a table says about itself: header, report card, number of entries."""
    fitted = sum(entry.source == "fitted" for entry in table.entries.values())
    header = table.header()
    card = header.pop("report_card")
    return {
        "header": header,
        "report_card": card,
        "num_entries": len(table.entries),
        "num_fitted": fitted,
        "sha256": table.sha256,
    }


def print_report_card(table: LatencyTable) -> None:
    """The report card in plain words."""
    card = table.report_card
    if card is None:
        print("No report card: no network was held out. Run mnas table check on it.")
        return
    print(f"Report card, on {card.num_networks} random networks that took no part in making the table:")
    print(f"  Predictions are {card.mape:.1%} off on average; the device repeats itself to {card.repeatability:.1%}.")
    print(f"  {card.within_5_percent:.0%} of networks are within 5 %, {card.within_10_percent:.0%} within 10 %.")
    print(f"  Ranking, Kendall's tau: {card.kendall_tau:.3f} (1 is the measured order).")
    print(f"  {card.within_interval:.0%} fall inside their own 90 % interval.")
    if card.repeatability > 0.03:
        print("  Something else kept the device busy. Close it and measure again, or give it more --minutes.")
    print(f"  Against medians instead of the quiet device, predictions are {card.median_mape:.1%} off.")
