"""`mnas table`: list, show, check, extend, merge, compare, import and calibrate latency tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mnas.cli import output
from mnas.cli.options import BENCHMARK_BINARY, DEVICE, FORCE, JSON, WAIT, add_command
from mnas.cli.profile import describe, print_report_card
from mnas.cli.table_runs import extend, list_, merge

if TYPE_CHECKING:
    from mnas.latency.compare import Comparison, GroupRatio
    from mnas.latency.table import LatencyTable

TABLE = typer.Argument(..., metavar="TABLE.json", help="A latency table; or the name of one of mnas table list.")


def show(
    table: Path = TABLE,
    html: Path = typer.Option(None, "--html", metavar="FILE", help="Also draw it as one web page."),
    png: Path = typer.Option(None, "--png", metavar="DIR", help="Also draw it as PNG files (mnas[report])."),
    json: bool = JSON,
) -> None:
    """Show a table and its accuracy.

    Example: mnas table show latency_tables/laptop.json --html laptop.html
    """
    loaded = _load(table)
    written = _draw(loaded, table.name, html, png)
    if json:
        files = {"files": [str(path) for path in written]} if written else {}
        output.print_json({**describe(loaded), **files})
        return
    where = loaded.configuration
    print(f"{table}: {loaded.space} at {loaded.input_text}, {len(loaded.entries)} blocks, {loaded.date}.")
    name = ", ".join(filter(None, (where.model, where.soc if where.model else "", where.cpu or where.soc)))
    print(f"  {name} ({where.device}, {where.os}), {where.threads} thread(s)")
    print(f"  {where.runtime} {where.runtime_version}, {where.delegate}, {where.dtype}")
    print(f"  {loaded.method}")
    fitted = sum(entry.source == "fitted" for entry in loaded.entries.values())
    print(f"  {fitted} blocks have an operator that no measured network had: fitted, with wider intervals.")
    print_report_card(loaded)
    for path in written:
        print(f"Written: {path}")


def _draw(table: LatencyTable, name: str, html: Path | None, png: Path | None) -> list[Path]:
    from mnas.system.files import write_atomically

    written = []
    if html is not None:
        from mnas.report.page import table_page

        write_atomically(html, table_page(table, name))
        written.append(html)
    if png is not None:
        from mnas.report.latency_figures import table_figures
        from mnas.report.png_files import write_pictures

        written += write_pictures(table_figures(table), png)
    return written


def check(
    table: Path = TABLE,
    space: str = typer.Option(None, help="The space of the networks, by default the table's."),
    device: str = DEVICE,
    benchmark_binary: Path = BENCHMARK_BINARY,
    wait: float = WAIT,
    count: int = typer.Option(20, min=2, max=1000, help="How many new random networks to measure."),
    minutes: float = typer.Option(1.0, help="At most about this long."),
    seed: int = typer.Option(1, min=0, help="Seed of the networks."),
    json: bool = JSON,
) -> None:
    """Measure new random networks and report whether a table still holds. Exit code 1 if it does not.

    It must also be within absolute limits: predictions at most 8 % off on average, Kendall's tau at least 0.8 (less
    for networks that are hardly different), and 90 % intervals of at most plus and minus 25 %.

    Example: mnas table check latency_tables/laptop.json --minutes 1
    """
    from dataclasses import asdict

    from mnas.devices.registry import open_again
    from mnas.errors import InputError, MnasError
    from mnas.latency.limits import mending
    from mnas.latency.table import TRANSFERRED
    from mnas.profiling.check import check_table
    from mnas.space.files import SPACES, load_space

    loaded = _load(table)
    where = loaded.configuration
    if space is None and loaded.space not in SPACES:
        raise InputError(f"{table} is of the space {loaded.space!r}, which is a file: name it, --space FILE.toml")
    chosen = load_space(space or loaded.space).with_data(resolutions=loaded.input_sizes)
    opened = open_again(where, device, benchmark_binary=benchmark_binary, wait_minutes=wait)
    with output.progress("Measuring") as report:
        result = check_table(loaded, chosen, opened, count=count, seconds=minutes * 60, seed=seed, progress=report)
    different = where.differences(opened.configuration(where.dtype))
    if json:
        output.print_json({"holds": result.holds, "changed": different, **asdict(result)})
    else:
        for name, (before, now) in different.items():
            print(f"Changed since the table was made: {name} was {before!r}, is {now!r}.")
        print(f"{result.num_networks} networks: predictions are {result.mape:.1%} off on average,", end=" ")
        print(f"measured over predicted is {result.bias:.3f}; {result.within_interval:.0%} are inside their interval.")
        if result.slowdown > 1.1:
            print(f"The device is {result.slowdown:.2f} times slower than when the table was made: is it busy?")
        print(f"Ranking, Kendall's tau: {result.kendall_tau:.3f}; intervals are plus and minus {result.margin:.1%}.")
        print("The table holds." if result.holds else "The table does not hold.")
    if not result.holds:
        failed = f"the table fails its limits: {'; '.join(result.faults)}\n  " if result.faults else ""
        again = f"make the table again: mnas profile --space {space or loaded.space} --out {table} --force"
        raise MnasError(failed + (mending(loaded) if loaded.method.startswith(TRANSFERRED) else again))


def compare(first: Path = TABLE, second: Path = TABLE, json: bool = JSON) -> None:
    """Show where two tables differ, and what of it is noise. Example: mnas table compare laptop.json phone.json.

    A difference is noise if the 90 % intervals of both tables allow it.
    """
    from dataclasses import asdict

    from mnas.latency.compare import compare_tables

    result = compare_tables(_load(first), _load(second))
    if json:
        output.print_json({**asdict(result), "is_noise": result.is_noise})
        return
    for name, (a, b) in result.different.items():
        print(f"{name}: {a!r} and {b!r}")
    print(f"{result.num_shared} blocks in both, {result.only_first} only in {first}, {result.only_second} in {second}.")
    if not result.num_shared:
        return
    low, high = result.low_ratio, result.high_ratio
    print(f"{second} over {first}: {result.ratio:.3f} in the sum, {low:.3f} to {high:.3f} for 9 of 10 blocks.")
    print(f"Rank correlation of the blocks: {result.kendall_tau:.3f}.")
    print(f"The intervals of both tables allow plus and minus {result.margin:.1%}.", end=" ")
    print(f"The difference in the sum is {_verdict(result)}.")
    print(f"{result.num_beyond} blocks differ by more than their intervals allow; by chance, one in ten does.")
    columns = ["kind of block", "blocks", "ratio", "allowed", "verdict"]
    kinds = [
        [each.group, f"{each.num_blocks}", f"{each.ratio:.3f}", f"± {each.margin:.3f}", _verdict(each)]
        for each in result.groups
    ]
    output.table("By kind of block", columns, kinds)
    rows = [[key, f"{a:.4f}", f"{b:.4f}", f"{b / a:.2f}"] for key, a, b in result.furthest]
    output.table("Where they differ most (in ms, blocks of some weight)", ["block", "first", "second", "ratio"], rows)


def _verdict(part: Comparison | GroupRatio) -> str:
    return "noise" if part.is_noise else "more than noise"


def import_(
    file: Path = typer.Argument(..., metavar="FILE", help="The published table."),
    format_: str = typer.Option(..., "--format", help="proxylessnas, once-for-all (both YAML) or single-path (JSON)."),
    out: Path = typer.Option(..., metavar="TABLE.json", help="Where to write it."),
    device_name: str = typer.Option("unknown", help="The device it was measured on, which the files do not state."),
    threads: int = typer.Option(1, min=1, max=1024, help="Threads of the runtime, which the files do not state."),
    force: bool = FORCE,
    json: bool = JSON,
) -> None:
    """Import a published table. Example: mnas table import note10.yaml --format once-for-all --out t.json."""
    from mnas.latency.importers.importer import import_table
    from mnas.latency.overwriting import check_overwriting

    check_overwriting(out, force)
    table = import_table(file, format_, device_name=device_name, threads=threads)
    table.save(out)
    if json:
        output.print_json({"table": str(out), **describe(table)})
        return
    print(f"Wrote {out}: {len(table.entries)} blocks for {table.space} at {table.input_text}.")
    print(f"  {table.method}")
    print_report_card(table)


def calibrate(
    table: Path = TABLE,
    from_: Path = typer.Option(..., "--from", metavar="MEASURED.json", help="Whole networks and their latencies."),
    out: Path = typer.Option(..., metavar="TABLE.json", help="Where to write the calibrated table."),
    force: bool = FORCE,
    json: bool = JSON,
) -> None:
    """Fit a table to a few whole networks. Example: mnas table calibrate t.json --from measured.json --out phone.json.

    MEASURED.json holds {"format": "mnas.measurements", "version": 1, "measurements": [{"architecture": A,
    "latency_ms": 12.5}, ...]}; A is an architecture as mnas writes it, or a zoo name. mnas bench --append writes it,
    with the device that it was measured on, for which the table then is. The fit is a scale and an offset, or, from
    five networks on, factors of groups of blocks. Blocks stay unchanged where the fit does not improve the prediction
    of networks that were left out of it.
    """
    from dataclasses import asdict

    from mnas.latency.calibration import GROUPS, calibrate_table, read_configuration, read_measurements
    from mnas.latency.overwriting import check_overwriting

    check_overwriting(out, force)
    loaded = _load(table)
    changed, found = calibrate_table(loaded, read_measurements(from_), read_configuration(from_))
    changed.save(out)
    if json:
        output.print_json({"table": str(out), **asdict(found)})
        return
    print(f"{found.num_networks} networks: predictions are {found.error_before:.1%} off on average,", end=" ")
    print(f"{found.error_after:.1%} when each is predicted by a fit to the others.")
    if found.method == GROUPS:
        print(f"Wrote {out}: groups of blocks times factors of their own, {found.scale:.4f} for a mean network.")
    elif found.applied:
        print(f"Wrote {out}: every block times {found.scale:.4f}, every network plus {found.offset_ms:.4f} ms.")
    elif changed is not loaded:
        print(
            f"Wrote {out}: blocks unchanged, as a fit does not reliably improve other networks; the intervals are new."
        )
    else:
        print(
            f"Wrote {out} unchanged: a fit to these networks does not reliably improve others. Measure more networks."
        )
    if changed.configuration != loaded.configuration:
        where = changed.configuration
        print(f"It is a table of {where.model or where.cpu or where.soc} now: --device {where.device}, {where.dtype}.")


def _load(path: Path) -> LatencyTable:
    from mnas.latency.table import LatencyTable

    return LatencyTable.load(path)


table = typer.Typer(
    no_args_is_help=True, help="List, show, check, extend, merge, compare, import and calibrate latency tables."
)
add_command(table, "list", list_)
add_command(table, "show", show)
add_command(table, "check", check)
add_command(table, "extend", extend)
add_command(table, "merge", merge)
add_command(table, "compare", compare)
add_command(table, "import", import_)
add_command(table, "calibrate", calibrate)
