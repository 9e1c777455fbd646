"""`mnas doctor`: what a device is, what runs on it, and what to fix before it is measured."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from mnas.cli import output
from mnas.cli.options import BENCHMARK_BINARY, CORES, DEVICE, JSON, RUNTIME, THREADS
from mnas.errors import MnasError

if TYPE_CHECKING:
    from mnas.devices.condition import Condition
    from mnas.devices.phone import Cpu
    from mnas.profiling.diagnosis import Diagnosis, NoiseFloor

_UNKNOWN = "unknown"
_THERMAL = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")


def doctor(
    device: str = DEVICE,
    runtime: str = RUNTIME,
    threads: int = THREADS,
    cores: str = CORES,
    benchmark_binary: Path = BENCHMARK_BINARY,
    json: bool = JSON,
) -> None:
    """Examine a device before it is measured: what runs on it, how noisy it is, what to fix first.

    Example: mnas doctor --device adb --benchmark-binary android_aarch64_benchmark_model
    """
    from mnas.profiling.doctor import examine

    with output.progress("Examining") as report:
        found = examine(
            device,
            runtime=runtime,
            threads=threads,
            cores=cores,
            benchmark_binary=benchmark_binary,
            progress=report,
        )
    if json:
        output.print_json(found.to_dict())
    else:
        _print(found)
    if not found.can_be_measured:
        raise MnasError(f"--device {device} cannot be measured. {found.advice[0]}")


def _print(found: Diagnosis) -> None:
    for name, text in _facts(found):
        print(f"{name}: {text}")
    _print_cores(found.condition)
    _print_delegates(found)
    if not found.advice:
        print(f"Nothing to fix. Measure it: mnas profile --device {found.device} --space mnasnet-32 --out table.json")
        return
    print("What to fix first:")
    for number, text in enumerate(found.advice, 1):
        print(f"  {number}. {text}")


def _facts(found: Diagnosis) -> list[tuple[str, str]]:
    now, noise, where = found.condition, found.noise, found.configuration
    sensor = "battery" if now.kind == "adb" else "warmest sensor"
    heat = _UNKNOWN if now.celsius is None else f"{sensor} at {now.celsius:.1f} degrees"
    if now.thermal_status is not None:
        heat += f", thermal status {now.thermal_status} ({_THERMAL[min(now.thermal_status, len(_THERMAL) - 1)]})"
    return [
        ("Model", now.model or _UNKNOWN),
        ("SoC", ", ".join(filter(None, [now.soc, now.cpu])) or _UNKNOWN),
        ("System", now.os or _UNKNOWN),
        ("Program", found.program or "none"),
        ("Pinned to cores", _UNKNOWN if where is None else where.affinity or "none: the system does not allow it"),
        ("Heat", heat),
        ("Free space", _UNKNOWN if now.free_bytes is None else f"{now.free_bytes / 1e9:.1f} GB"),
        ("Used by other programs", _UNKNOWN if now.busy is None else f"{now.busy:.0%} of the CPU time"),
        ("Noise", _UNKNOWN if noise is None else _noise(noise)),
    ]


def _noise(found: NoiseFloor) -> str:
    return (
        f"the reference network takes {found.quiet_ms:.3f} ms and repeats itself to {found.repeatability:.1%}; "
        f"{found.quiet_share:.0%} of its bursts ran undisturbed"
    )


def _print_cores(now: Condition) -> None:
    """A row for each run of equal cores."""

    def kind(core: Cpu) -> tuple[int, int, str, bool]:
        return core.capacity, core.max_khz, core.governor, core.online

    rows = []
    for (capacity, khz, governor, online), group in groupby(now.cores, kind):
        numbers = [core.number for core in group]
        span = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}"
        speed = f"{khz / 1e6:.2f}" if khz else _UNKNOWN
        rows.append([span, f"{capacity or _UNKNOWN}", speed, governor or _UNKNOWN, "on" if online else "off"])
    if rows:
        output.table("Cores", ["core", "capacity", "GHz at most", "governor", "state"], rows)


def _print_delegates(found: Diagnosis) -> None:
    """The times of a small network, and the reasons below, which may be long."""
    dtypes = list(dict.fromkeys(check.dtype for check in found.delegates))
    rows: dict[str, list[str]] = {}
    reasons: dict[str, list[str]] = {}
    for check in found.delegates:
        text = "does not run" if check.latency_ms is None else f"{check.latency_ms:.3f} ms"
        rows.setdefault(check.delegate, []).append(text)
        if check.reason:
            reasons.setdefault(check.reason, []).append(f"{check.delegate}, {check.dtype}")
    if rows:
        output.table("A small network", ["delegate", *dtypes], [[name, *texts] for name, texts in rows.items()])
    for reason, which in reasons.items():
        print(f"{'; '.join(which)}: {reason}")
