"""A latency table's prediction to stand beside a measurement: of the same network on the same device, or none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mnas.errors import InputError

if TYPE_CHECKING:
    from mnas.arch.spec import Architecture
    from mnas.latency.estimator import LatencyEstimate
    from mnas.latency.table import Configuration


@dataclass(frozen=True)
class Prediction:
    """What a table says of a network.

    Attributes:
        estimate: the latency with its 90 % interval.
        reference_ms: the reference network's quiet latency on the table's device.
        configuration: of the table.
    """

    estimate: LatencyEstimate
    reference_ms: float
    configuration: Configuration


def predict(architecture: Architecture, table: Path, *, dtype: str, file: Path) -> Prediction:
    """Price a network by a table.

    Args:
        architecture: the network.
        table: the table's file.
        dtype: of the file that is or will be measured; empty where it is not known.
        file: that file, for messages.

    Raises:
        InputError: if the table cannot be read, is for another dtype, or lacks a block.
    """
    from mnas.latency.estimator import LatencyEstimator
    from mnas.latency.table import LatencyTable

    loaded = LatencyTable.load(table)
    computed = "float32" if dtype == "float16" else dtype  # whose weights are widened when it is loaded
    if computed and computed != loaded.configuration.dtype:
        raise InputError(
            f"{file} is {computed}; the table is for {loaded.configuration.dtype}: profile with --dtype {computed}"
        )
    return Prediction(LatencyEstimator(loaded).predict(architecture), loaded.reference_ms, loaded.configuration)


def check_same(table: Configuration, now: Configuration) -> None:
    """Refuse to set a measurement beside a prediction for something else.

    Raises:
        InputError: it names what differs.
    """
    for name in ("device", "runtime", "delegate", "threads"):
        before, here = getattr(table, name), getattr(now, name)
        if before != here:
            raise InputError(f"the table is for --{name} {before}; this is --{name} {here}")
    if table.model != now.model:
        raise InputError(f"the table is for {table.model or 'an unnamed device'}; this is {now.model}")
    if table.binary_sha256 != now.binary_sha256:
        raise InputError(
            "the table was measured with another benchmark_model, and builds differ: profile with this one"
        )
