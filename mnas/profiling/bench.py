"""Measuring one `.tflite` file."""

from __future__ import annotations

from dataclasses import replace

from mnas.arch.resize import resize
from mnas.arch.zoo import ZOO
from mnas.devices.base import Device
from mnas.profiling.measure import NetworkTime, Reference, measure_networks
from mnas.profiling.skeleton import write_skeleton

# The yardstick for how disturbed a device is: small enough to be back in the caches after three runs.
REFERENCE = replace(resize(ZOO["mnasnet-small"], width=0.5), head_filters=64, resolution=64, num_classes=10)


def open_reference(device: Device) -> Reference:
    """The reference network, ready on a device."""
    return Reference(device, write_skeleton(REFERENCE))


def bench(data: bytes, device: Device, *, quiet_bursts: int = 20, seconds: float = 10.0) -> NetworkTime:
    """Measure one network until it has enough undisturbed bursts, or the time is over.

    Raises:
        MnasError: if the device cannot run it.
    """
    with device.measuring():
        model = device.load(data)
        reference = open_reference(device)
        try:
            return measure_networks([model], reference, seconds=seconds, quiet_bursts=[quiet_bursts], seed=0)[0]
        finally:
            reference.close()
            model.close()
