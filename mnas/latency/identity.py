"""Which differences between two configurations make their measurements those of two devices, and which do not.

Model, SoC, build of the system, runtime with its version, dtype, threads and delegate are a device's identity. The
governor, the cores in use and the build of the benchmark program are not: a warm phone switches cores off by itself.
"""

from __future__ import annotations

from mnas.latency.table import Configuration, same_cores

_HARMLESS = frozenset({"governor", "affinity", "binary_sha256"})


def harmless_fields(device: str) -> frozenset[str]:
    """Return the fields of a `Configuration` that may differ, for a device of the kind local, adb or ssh."""
    # A phone lists the cores that are switched on, and a warm one switches some off; elsewhere it is the processor.
    return _HARMLESS | {"cpu"} if device == "adb" else _HARMLESS


def compare_configurations(before: Configuration, now: Configuration) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Describe what differs, with both values: first what is part of the identity, then what is not."""
    harmless = harmless_fields(now.device)
    if not same_cores(before.affinity, now.affinity):
        harmless -= {"affinity"}
    found = {name: f"{name} was {old!r}, is {new!r}" for name, (old, new) in before.differences(now).items()}
    return (
        tuple(text for name, text in found.items() if name not in harmless),
        tuple(text for name, text in found.items() if name in harmless),
    )
