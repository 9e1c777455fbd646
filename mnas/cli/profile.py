"""`mnas profile`: measure a device and write its latency table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mnas.cli import output
from mnas.cli.options import BENCHMARK_BINARY, DELEGATE, JSON, RUNTIME, THREADS
from mnas.errors import InputError, MnasError

if TYPE_CHECKING:
    from mnas.latency.table import LatencyTable
    from mnas.profiling.job import Outcome
    from mnas.profiling.profile import ProfileOptions
    from mnas.space.space import SearchSpace


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("profile")(profile)


def profile(
    space: str = typer.Option(..., help="A shipped space or a TOML file: the table will price all of its networks."),
    out: Path = typer.Option(..., help="The table to write, e.g. latency_tables/laptop.json."),
    device: list[str] = typer.Option(
        ["local"], help="As for mnas bench. Given several times, --out is a folder and all are measured at a time."
    ),
    runtime: str = RUNTIME,
    threads: int = THREADS,
    delegate: str = DELEGATE,
    benchmark_binary: Path = BENCHMARK_BINARY,
    dtype: str = typer.Option("float32", help="float32 or int8."),
    minutes: float = typer.Option(3.0, help="Time for everything: more minutes, a better table."),
    classes: int = typer.Option(None, min=2, help="Number of classes, if not the space's."),
    resolution: int = typer.Option(None, min=1, help="Input size in pixels, if not the space's."),
    seed: int = typer.Option(0, min=0, help="Chooses the networks that are measured."),
    executor: str = typer.Option("local", help="local, or ray: on the nodes that the devices are attached to."),
    address: str = typer.Option(None, help="Of a running Ray cluster; without it ray starts one here."),
    json: bool = JSON,
) -> None:
    """Measure a device and write its latency table. Interrupted, the same command goes on where it stopped.

    Example: mnas profile --space mnasnet-32 --out latency_tables/laptop.json
    """
    from mnas.profiling.profile import ProfileOptions
    from mnas.space.files import load_space

    chosen = load_space(space).with_data(num_classes=classes, resolution=resolution)
    options = ProfileOptions(minutes=minutes, dtype=dtype, seed=seed)
    opening = {"runtime": runtime, "threads": threads, "delegate": delegate, "benchmark_binary": benchmark_binary}
    if len(device) > 1 or executor != "local":
        _profile_several(chosen, device, out, options, opening, {"kind": executor, "address": address}, json)
        return
    table = _profile_one(chosen, device[0], out, options, opening)
    if json:
        output.print_json(describe(table))
        return
    print(f"Written to {out}: {len(table.entries)} blocks.")
    print_report_card(table)
    print(f"Use it: mnas cost ARCH --table {out}, or mnas search --table {out}.")


def _profile_one(
    space: SearchSpace, device: str, out: Path, options: ProfileOptions, opening: dict[str, Any]
) -> LatencyTable:
    """In this process."""
    from mnas.devices.registry import open_device
    from mnas.profiling.profile import profile as run

    with output.progress(f"Profiling {space.name}") as report:
        return run(space, open_device(device, **opening), out, options, progress=report)


def _profile_several(
    space: SearchSpace,
    devices: list[str],
    out: Path,
    options: ProfileOptions,
    opening: dict[str, Any],
    where: dict[str, Any],
    json: bool,
) -> None:
    """A worker a device. What is finished stays, whatever becomes of the others."""
    from dataclasses import asdict

    from mnas.profiling.job import ProfileJob
    from mnas.profiling.parallel import run_profiles, table_names

    if out.suffix == ".json" and len(devices) > 1:
        raise InputError(f"--out is {out}: several devices need a folder, such as {out.with_suffix('')}")
    files = [out / name for name in table_names(devices)] if len(devices) > 1 else [out]
    binary = opening["benchmark_binary"]
    for_phones = {**opening, "benchmark_binary": None if binary is None else str(Path(binary).absolute())}
    phones = [device for device in devices if device.partition(":")[0] == "adb"]
    jobs = [
        ProfileJob(
            device,
            str(file.absolute()),
            space.to_dict(),
            asdict(options),
            for_phones if device in phones or not phones else {**opening, "benchmark_binary": None},
        )
        for device, file in zip(devices, files, strict=True)
    ]
    finished = []
    with output.progress(f"Profiling {space.name}") as report:
        for outcome in run_profiles(jobs, progress=report, **where):
            finished.append(outcome)
    _show_several(finished, json)
    failed = [f"  {outcome.job.device}: {outcome.error}" for outcome in finished if outcome.table is None]
    if failed:
        raise MnasError(
            f"{len(failed)} of {len(jobs)} devices failed; the same command goes on with them:\n" + "\n".join(failed)
        )


def _show_several(finished: list[Outcome], json: bool) -> None:
    if json:
        tables = {
            outcome.job.device: {"file": outcome.job.out, "kept": outcome.kept, **describe(outcome.table)}
            for outcome in finished
            if outcome.table is not None
        }
        failed = {outcome.job.device: outcome.error for outcome in finished if outcome.table is None}
        output.print_json({"tables": tables, "failed": failed})
        return
    for outcome in finished:
        if outcome.table is not None:
            was = "was there already" if outcome.kept else "written"
            print(f"\n{outcome.job.device}: {outcome.job.out} {was}, {len(outcome.table.entries)} blocks.")
            print_report_card(outcome.table)


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
