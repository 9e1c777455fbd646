"""Several files measured in one process, in bursts that take turns."""

from __future__ import annotations

from collections.abc import Sequence

from mnas.devices.base import Device
from mnas.profiling.bench import open_reference
from mnas.profiling.measure import NetworkTime, measure_networks


def measure_files(
    device: Device,
    files: Sequence[bytes],
    *,
    seconds: float,
    quiet_bursts: Sequence[int],
    reference_ms: float = 0.0,
) -> list[NetworkTime]:
    """The times of every file, measured beside a reference network.

    Args:
        device: what they run on.
        files: `.tflite` files.
        seconds: how long it may take at most.
        quiet_bursts: undisturbed bursts that are wanted of each.
        reference_ms: the reference network's latency on the quiet device, if it is known, else 0.
    """
    with device.measuring():
        models = [device.load(content) for content in files]
        reference = open_reference(device, known_ms=reference_ms)
        try:
            return measure_networks(models, reference, seconds=seconds, quiet_bursts=quiet_bursts, seed=0)
        finally:
            reference.close()
