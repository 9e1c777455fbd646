"""A latency table's prediction to stand beside a measurement: of the same network on the same device, or none."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mnas.errors import InputError

if TYPE_CHECKING:
    from mnas.arch.spec import Architecture
    from mnas.latency.estimator import LatencyEstimate
    from mnas.latency.table import Configuration

_log = logging.getLogger(__name__)


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
    if dtype:
        _check_dtype(dtype, loaded.configuration.dtype, file)
    return Prediction(LatencyEstimator(loaded).predict(architecture), loaded.reference_ms, loaded.configuration)


def computed_dtype(dtype: str, file: Path) -> str:
    """What a file of some dtype computes with, in a latency table's words: float32 or int8.

    Raises:
        InputError: if no table is for such files.
    """
    from mnas.tflite.flatbuffer import DTYPES

    computed = "float32" if dtype == "float16" else dtype  # whose weights are widened when it is loaded
    if computed not in DTYPES:
        raise InputError(
            f"{file} is {dtype}, and latency tables are for {' and '.join(DTYPES)} alone: measure it without a table, "
            "or export with one of these"
        )
    return computed


def _check_dtype(dtype: str, priced: str, file: Path) -> None:
    """Refuse a file that computes with other numbers than the table's networks."""
    computed = computed_dtype(dtype, file)
    if computed != priced:
        widened = "" if computed == dtype else ", whose weights are widened to float32 when it is loaded"
        raise InputError(f"{file} is {dtype}{widened}; the table is for {priced}: profile with --dtype {computed}")


def check_same(table: Configuration, now: Configuration) -> bool:
    """Refuse to set a measurement beside a prediction for something else.

    Returns:
        Whether it is the same machine, as far as it tells. If not, that is said: a table of another one shows how the
        two compare, and what it knows of its own quiet latencies is of no use here.

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
    if (table.soc, table.cpu) == (now.soc, now.cpu):
        return True
    _log.warning(
        "the table is of another machine (%s), this is %s: its predictions are for that one; for this: mnas profile",
        table.cpu or table.soc,
        now.cpu or now.soc,
    )
    return False
