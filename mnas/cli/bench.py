"""`mnas bench`: measure a `.tflite` file, beside what was predicted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mnas.cli import output
from mnas.cli.options import BENCHMARK_BINARY, DELEGATE, DEVICE, JSON, RUNTIME, THREADS

if TYPE_CHECKING:
    from mnas.arch.spec import Architecture
    from mnas.devices.base import Device

_SLOWEST = 5


def bench(
    file: Path = typer.Argument(..., metavar="FILE.tflite", help="What to measure."),
    device: str = DEVICE,
    runtime: str = RUNTIME,
    threads: int = THREADS,
    delegate: str = DELEGATE,
    benchmark_binary: Path = BENCHMARK_BINARY,
    table: Path = typer.Option(None, "--table", help="A latency table: adds the prediction."),
    arch: str = typer.Option(
        None, "--arch", help="Which network the file is, for --table and --append; FILE.json beside it says so too."
    ),
    append: Path = typer.Option(
        None, "--append", metavar="MEASURED.json", help="Add it to what mnas table calibrate --from reads."
    ),
    seconds: float = typer.Option(10.0, min=0.1, max=3600, help="At most about this long."),
    json: bool = JSON,
) -> None:
    """Measure a .tflite file. Example: mnas bench models/net.tflite --table latency_tables/laptop.json."""
    from dataclasses import asdict

    from mnas.devices.registry import open_device
    from mnas.errors import InputError
    from mnas.profiling.bench import bench_with_details as run
    from mnas.profiling.prediction import check_same, predict

    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from None
    if data[4:8] != b"TFL3":
        raise InputError(f"{file} is no .tflite file: make one with mnas export")
    # Before measuring: what is wrong with the arguments shows at once.
    network = _network(file, data, arch) if table or append else None
    if arch is not None and network is None:
        raise InputError("--arch is for the prediction: add --table TABLE.json")
    predicted = predict(network[0], table, dtype=network[1], file=file) if table and network else None
    keep = _keeper(append, file, *network) if append and network else None
    opened = open_device(device, runtime=runtime, threads=threads, delegate=delegate, benchmark_binary=benchmark_binary)
    same = predicted is not None and check_same(predicted.configuration, opened.configuration("float32"))
    reference_ms = predicted.reference_ms if predicted and same else 0.0
    if keep is not None:
        keep.check(opened)
    measured, details = run(data, opened, seconds=seconds, reference_ms=reference_ms)
    report: dict[str, Any] = {
        "file": str(file),
        "median_ms": measured.median_ms,
        "p90_ms": measured.p90_ms,
        "min_ms": measured.min_ms,
        "quiet_ms": measured.quiet_ms,
        "median_all_ms": measured.median_all_ms,
        "slowdown": measured.slowdown,
        "num_runs": measured.num_runs,
        "num_bursts": measured.num_bursts,
        "num_quiet_bursts": measured.num_quiet,
    }
    if details.init_ms is not None:
        report["details"] = asdict(details)
    if predicted:
        estimate = predicted.estimate
        report["predicted_ms"] = estimate.latency_ms
        report["predicted_interval_ms"] = [estimate.low_ms, estimate.high_ms]
        report["ratio"] = measured.quiet_ms / estimate.latency_ms
        report["same_machine"] = same
    if keep is not None:
        report["num_kept"] = keep.add(opened, measured.quiet_ms)
    if json:
        output.print_json(report)
        return
    _print(report)
    if keep is not None:
        print(f"{keep.path} holds {report['num_kept']} measurements now, for mnas table calibrate")


def _network(file: Path, data: bytes, arch: str | None) -> tuple[Architecture, str]:
    """Which network a file is, and its dtype; empty where that is not said."""
    from mnas.errors import InputError
    from mnas.study.references import resolve_architecture

    beside = file.with_suffix(".json")
    if arch is None and not beside.is_file():
        raise InputError(f"for --table and --append, say which network {file} is: --arch ARCH, or {beside} beside it")
    dtype = _described_dtype(beside, file, data) if beside.is_file() else ""
    return resolve_architecture(arch or str(beside)), dtype


@dataclass(frozen=True)
class _Keeper:
    """Adds a network's latency to a document of measurements."""

    path: Path
    architecture: Architecture
    dtype: str

    def check(self, device: Device) -> None:
        """See `mnas.latency.measurements.check_kept`."""
        from mnas.latency.measurements import check_kept

        check_kept(self.path, device.configuration(self.dtype))

    def add(self, device: Device, latency_ms: float) -> int:
        """See `mnas.latency.measurements.append_measurement`."""
        from mnas.latency.measurements import append_measurement

        return append_measurement(self.path, self.architecture, latency_ms, device.configuration(self.dtype))


def _keeper(path: Path, file: Path, architecture: Architecture, dtype: str) -> _Keeper:
    from mnas.errors import InputError
    from mnas.profiling.prediction import computed_dtype

    if not dtype:
        raise InputError(
            f"--append keeps the dtype, and {file.with_suffix('.json')} does not say it: make {file} with mnas export"
        )
    return _Keeper(path, architecture, computed_dtype(dtype, file))


def _described_dtype(beside: Path, file: Path, data: bytes) -> str:
    """What the description beside a file says of its numbers; empty if it says nothing."""
    from mnas.export.pipeline import check_description
    from mnas.system.files import read_json

    description = read_json(beside, "the description of a network")
    if not isinstance(description, dict):
        return ""
    check_description(description, file, data)
    return str(description.get("dtype", ""))


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
        low, high = report["predicted_interval_ms"]
        inside = "inside" if low <= report["quiet_ms"] <= high else "outside"
        print(
            f"Predicted: {report['predicted_ms']:.3f} ms, 90 % interval {low:.3f} to {high:.3f} ms; measured is "
            f"{report['ratio']:.2f} times that, {inside} the interval."
        )
    if "details" in report:
        _print_details(report["details"])


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
