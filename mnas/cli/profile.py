"""`mnas profile`: measure a device and write its latency table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mnas.cli import output
from mnas.cli.options import (
    BENCHMARK_BINARY,
    CORES,
    DELEGATE,
    FORCE,
    JSON,
    RUNTIME,
    THREADS,
    WAIT,
    read_pixels,
    read_resolutions,
    with_delegate_options,
)
from mnas.errors import InputError, MnasError

if TYPE_CHECKING:
    from mnas.latency.table import LatencyTable
    from mnas.profiling.job import Outcome
    from mnas.space.space import SearchSpace


@with_delegate_options
def profile(
    space: str = typer.Option(..., help="A shipped space or a TOML file: the table will price all of its networks."),
    out: Path = typer.Option(..., help="The table to write, e.g. latency_tables/laptop.json."),
    device: list[str] = typer.Option(
        ["local"], help="As for mnas bench. Given several times, --out is a folder and all are measured at a time."
    ),
    runtime: str = RUNTIME,
    threads: int = THREADS,
    cores: str = CORES,
    delegate: str = DELEGATE,
    benchmark_binary: Path = BENCHMARK_BINARY,
    wait: float = WAIT,
    dtype: str = typer.Option("float32", help="float32 or int8."),
    from_: list[Path] = typer.Option(
        None,
        "--from",
        metavar="TABLE",
        help="Tables of other devices: measure only --networks networks, and adjust these tables to them.",
    ),
    networks: int = typer.Option(None, min=3, max=200, help="How many networks to measure with --from, by default 10."),
    minutes: float = typer.Option(3.0, help="Time for everything: more minutes, a better table."),
    classes: int = typer.Option(None, min=2, help="Number of classes, if not the space's."),
    resolution: int = typer.Option(
        None, metavar="INTEGER", parser=read_pixels, help="Input size in pixels, if not the space's."
    ),
    resolutions: str = typer.Option(
        None, metavar="SIZES", help="Several input sizes, e.g. 96,128,160: one table for all, with a report card each."
    ),
    seed: int = typer.Option(0, min=0, help="Chooses the networks that are measured."),
    force: bool = FORCE,
    executor: str = typer.Option("local", help="local, or ray: on the nodes that the devices are attached to."),
    address: str = typer.Option(None, help="Of a running Ray cluster; without it ray starts one here."),
    json: bool = JSON,
) -> None:
    """Measure a device and write its latency table. If interrupted, the same command continues where it stopped.

    With --from, a few networks that tell most are measured, and the tables of other devices are adjusted to them. The
    same command with more --networks goes on from what was measured.

    Example: mnas profile --space mnasnet-32 --out latency_tables/laptop.json
    """
    from mnas.profiling.profile import ProfileOptions
    from mnas.space.files import load_space

    sizes = None if resolutions is None else read_resolutions(resolutions)
    chosen = load_space(space).with_data(num_classes=classes, resolution=resolution, resolutions=sizes)
    options = ProfileOptions(minutes=minutes, dtype=dtype, seed=seed)
    opening: dict[str, Any] = {
        "runtime": runtime,
        "threads": threads,
        "delegate": delegate,
        "benchmark_binary": benchmark_binary,
        "cores": cores,
        "wait_minutes": wait,
    }
    if from_:
        if len(device) > 1 or executor != "local":
            raise InputError("--from measures one device in this process: give --device once, and no --executor")
        chosen_options = {"networks": 10 if networks is None else networks, "minutes": minutes, "dtype": dtype}
        _profile_from(chosen, device[0], opening, out, from_, {**chosen_options, "seed": seed}, force, json)
        return
    if networks is not None:
        raise InputError("--networks is for --from TABLE; a whole profile measures as many as fit into its --minutes")
    if len(device) > 1 or executor != "local":
        if force:
            raise InputError(
                "--force is for one device: of several, the tables that are there are kept. Delete those that you want "
                "to measure again; their logs stay"
            )
        from mnas.profiling.parallel import profile_devices

        where = {"executor": executor, "address": address}
        with output.progress(f"Profiling {chosen.name}") as report:
            finished = profile_devices(chosen, device, out, options, opening=opening, progress=report, **where)
        _show_several(finished, json)
        return
    from mnas.devices.registry import open_device
    from mnas.latency.limits import table_faults
    from mnas.profiling.profile import profile as run

    with output.progress(f"Profiling {chosen.name}") as report:
        table = run(chosen, open_device(device[0], **opening), out, options, force=force, progress=report)
    if json:
        output.print_json(describe(table))
        return
    print(f"Written to {out}: {len(table.entries)} blocks. Its measurements are in {out.name}.log beside it.")
    print_report_card(table)
    if not table_faults(table):
        print(f"Use it: mnas cost ARCH --table {out}, or mnas search --table {out}.")


def _profile_from(
    space: SearchSpace,
    device: str,
    opening: dict[str, Any],
    out: Path,
    tables: list[Path],
    options: dict[str, Any],
    force: bool,
    json: bool,
) -> None:
    """Adjust other devices' tables to a few measured networks, and print the result."""
    from dataclasses import asdict

    from mnas.devices.registry import open_device
    from mnas.latency.limits import table_faults
    from mnas.profiling.transfer import TransferOptions, transfer_profile

    checked = TransferOptions(**options)
    with output.progress(f"Profiling {space.name}") as report:
        opened = open_device(device, **opening)
        table, found = transfer_profile(space, opened, out, tables, checked, force=force, progress=report)
    if json:
        result = {name: value for name, value in asdict(found).items() if name != "left_out"}
        output.print_json({**describe(table), "transfer": {**result, "source": str(tables[found.source])}})
        return
    how = "factors of groups of blocks" if found.grouped else "one factor for all blocks"
    print(f"Written to {out}: {len(table.entries)} blocks, from {tables[found.source]} by {how}.")
    print_report_card(table)
    print(f"  One factor for all blocks would be {found.error_before:.1%} off.")
    print(
        f"Intervals are plus and minus {found.margin:.1%}. With --networks {2 * found.num_networks} about "
        f"{found.margin_at_twice:.1%} is expected; what was measured is kept."
    )
    if not table_faults(table):
        print(f"Use it: mnas cost ARCH --table {out}, or mnas search --table {out}.")


def _show_several(finished: list[Outcome], json: bool) -> None:
    """Print every table.

    Raises:
        MnasError: if devices failed.
    """
    tables = [(outcome, outcome.table) for outcome in finished if outcome.table is not None]
    failed = {outcome.job.device: outcome.error for outcome in finished if outcome.table is None}
    if json:
        rows = {
            outcome.job.device: {"file": outcome.job.out, "kept": outcome.kept, **describe(table)}
            for outcome, table in tables
        }
        output.print_json({"tables": rows, "failed": failed})
    else:
        for outcome, table in tables:
            was = "was there already" if outcome.kept else "written"
            print(f"\n{outcome.job.device}: {outcome.job.out} {was}, {len(table.entries)} blocks.")
            print_report_card(table)
    if failed:
        reasons = "\n".join(f"  {device}: {error}" for device, error in failed.items())
        raise MnasError(
            f"{len(failed)} of {len(finished)} devices failed; the same command continues with them:\n{reasons}"
        )


def describe(table: LatencyTable) -> dict[str, Any]:
    """What a table says about itself: header, report card, the limits that this fails, number of entries."""
    from mnas.latency.limits import table_faults

    fitted = sum(entry.source == "fitted" for entry in table.entries.values())
    header = table.header()
    card = header.pop("report_card")
    cards = {"report_cards": header.pop("report_cards")} if table.report_cards else {}
    return {
        "header": header,
        "report_card": card,
        **cards,
        "faults": list(table_faults(table)),
        "num_entries": len(table.entries),
        "num_fitted": fitted,
        "sha256": table.sha256,
    }


def print_report_card(table: LatencyTable) -> None:
    """The report card in plain words."""
    from mnas.latency.table import TRANSFERRED

    card = table.report_card
    if card is None:
        print("No report card: no network was held out. Run mnas table check on it.")
        return
    judges = "random networks that took no part in making the table"
    if table.method.startswith(TRANSFERRED):
        judges = "measured networks, each predicted by the others"
    print(f"Report card, on {card.num_networks} {judges}:")
    print(f"  Predictions are {card.mape:.1%} off on average; the device repeats itself to {card.repeatability:.1%}.")
    print(f"  {card.within_5_percent:.0%} of networks are within 5 %, {card.within_10_percent:.0%} within 10 %.")
    print(f"  Ranking, Kendall's tau: {card.kendall_tau:.3f} (1 is the measured order).")
    wide = "" if card.margin is None else f", which is plus and minus {card.margin:.1%} on average"
    print(f"  {card.within_interval:.0%} fall inside their own 90 % interval{wide}.")
    if card.repeatability > 0.03:
        print("  Something else kept the device busy. Close it, then measure again, or longer.")
    print(f"  Against medians instead of the quiet device, predictions are {card.median_mape:.1%} off.")
    print_sizes(table)
    print_faults(table)


def print_faults(table: LatencyTable) -> None:
    """Which limits the report card fails, and how to mend it; nothing if it holds."""
    from mnas.latency.limits import mending, table_faults

    if faults := table_faults(table):
        print("This table is bad; do not rely on it:")
        for fault in faults:
            print(f"  {fault[0].upper()}{fault[1:]}.")
        print(f"  To mend it, {mending(table)}.")


def print_sizes(table: LatencyTable) -> None:
    """The report cards of single resolutions, if there are several."""
    if not table.report_cards:
        return
    rows = [
        [f"{size} px", f"{own.num_networks}", f"{own.mape:.1%}", f"{own.within_interval:.0%}", f"{own.kendall_tau:.3f}"]
        for size, own in table.report_cards.items()
    ]
    columns = ["resolution", "networks", "off on average", "inside interval", "tau"]
    output.table("By resolution", columns, rows)
