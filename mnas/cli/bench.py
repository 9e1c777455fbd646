"""`mnas bench`: measure a `.tflite` file and compare it with its prediction."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import typer

from mnas.cli import output
from mnas.cli.options import (
    BENCHMARK_BINARY,
    CORES,
    DELEGATE,
    DEVICE,
    JSON,
    RUNTIME,
    THREADS,
    WAIT,
    with_delegate_options,
)

_SLOWEST = 5


@with_delegate_options
def bench(
    file: Path = typer.Argument(..., metavar="FILE.tflite", help="What to measure."),
    device: str = DEVICE,
    runtime: str = RUNTIME,
    threads: int = THREADS,
    cores: str = CORES,
    delegate: str = DELEGATE,
    benchmark_binary: Path = BENCHMARK_BINARY,
    wait: float = WAIT,
    table: Path = typer.Option(None, "--table", help="A latency table: adds the prediction."),
    arch: str = typer.Option(
        None, "--arch", help="The network of the file, for --table and --append; by default FILE.json states it."
    ),
    append: Path = typer.Option(
        None, "--append", metavar="MEASURED.json", help="Add the latency to a document for mnas table calibrate --from."
    ),
    seconds: float = typer.Option(10.0, min=0.1, max=3600, help="Measure at most about this long."),
    sustained: float = typer.Option(
        0.0,
        "--sustained",
        metavar="SECONDS",
        min=0,
        max=3600,
        help="Then run it that long without pauses, e.g. 60: how much slower it gets as the device warms up.",
    ),
    json: bool = JSON,
) -> None:
    """Measure a .tflite file. Example: mnas bench models/net.tflite --table latency_tables/laptop.json."""
    from mnas.devices.registry import open_device
    from mnas.profiling.bench import bench_file

    opened = partial(
        open_device,
        device,
        runtime=runtime,
        threads=threads,
        delegate=delegate,
        benchmark_binary=benchmark_binary,
        cores=cores,
        wait_minutes=wait,
    )
    found = bench_file(file, opened, table=table, arch=arch, append=append, seconds=seconds, sustained_s=sustained)
    report = found.to_dict()
    if json:
        output.print_json(report)
        return
    _print(report)
    if append is not None:
        print(f"{append} holds {report['num_kept']} measurements now, for mnas table calibrate")


def _print(report: dict[str, Any]) -> None:
    print(
        f"{report['file']}: median {report['median_ms']:.3f} ms, 90th percentile {report['p90_ms']:.3f} ms, "
        f"fastest {report['min_ms']:.3f} ms over {report['num_runs']} runs."
    )
    quiet, bursts = report["num_quiet_bursts"], report["num_bursts"]
    print(f"On the quiet device: {report['quiet_ms']:.3f} ms ({quiet} of {bursts} bursts ran undisturbed).")
    if report["slowdown"] > 1.1:
        print(f"The device is {report['slowdown']:.2f} times slower than when it is quiet: something keeps it busy.")
    if "predicted_ms" in report:
        from mnas.latency.extrapolation import describe_extrapolated

        low, high = report["predicted_interval_ms"]
        inside = "inside" if low <= report["quiet_ms"] <= high else "outside"
        print(
            f"Predicted: {report['predicted_ms']:.3f} ms, 90 % interval {low:.3f} to {high:.3f} ms; measured is "
            f"{report['ratio']:.2f} times that, {inside} the interval."
        )
        if report["extrapolated"]:
            print(describe_extrapolated(report["extrapolated"]))
    if "sustained" in report:
        _print_sustained(report["sustained"])
    if "details" in report:
        _print_details(report["details"])


def _print_sustained(found: dict[str, Any]) -> None:
    before, after = found["celsius_before"], found["celsius_after"]
    heat = "temperature unknown" if before is None or after is None else f"from {before:.1f} to {after:.1f} degrees"
    print(
        f"Without pauses for {found['seconds']:.0f} s: median {found['first_ms']:.3f} ms in the first "
        f"{found['window_s']:.0f} s, {found['last_ms']:.3f} ms in the last, {found['ratio']:.2f} times that; {heat}."
    )


def _print_details(details: dict[str, Any]) -> None:
    first, memory = details["first_ms"], details["peak_memory_mb"]
    print(
        f"Loading takes {details['init_ms']:.1f} ms"
        + ("" if first is None else f", the first inference {first:.3f} ms")
        + ("" if memory is None else f"; {memory:.1f} MB of memory at most")
        + "."
    )
    slowest = sorted(details["operators"], key=lambda row: -float(row["latency_ms"]))[:_SLOWEST]
    if slowest:
        rows = [[f"{row['node_type']} {row['name']}", f"{row['latency_ms']:.3f}"] for row in slowest]
        output.table("Its slowest operators", ["operator", "ms"], rows)
