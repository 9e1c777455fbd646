"""A latency table's prediction to compare with a measurement of the same network on the same device."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from mnas.arch.spec import Architecture
from mnas.errors import InputError
from mnas.latency.estimator import LatencyEstimate
from mnas.latency.extrapolation import ExtendedEstimator
from mnas.latency.identity import compare_configurations
from mnas.latency.limits import load_table
from mnas.latency.table import FLOAT_REFERENCE, Configuration, same_cores
from mnas.tflite.flatbuffer import DTYPES

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prediction:
    """A table's prediction for a network.

    Attributes:
        estimate: the latency with its 90 % interval.
        reference_ms: the reference network's quiet latency on the table's device.
        configuration: of the table.
        reference: name of the reference network.
    """

    estimate: LatencyEstimate
    reference_ms: float
    configuration: Configuration
    reference: str = FLOAT_REFERENCE


def predict(architecture: Architecture, table: Path, *, dtype: str, file: Path) -> Prediction:
    """Predict a network's latency by a table.

    Args:
        architecture: the network.
        table: the table's file.
        dtype: of the measured file; empty if it is not known.
        file: that file, for messages.

    Raises:
        InputError: if the table cannot be read, is for another dtype, or cannot price a block.
    """
    loaded = load_table(table)
    priced = loaded.configuration.dtype
    if dtype and (computed := computed_dtype(dtype, file)) != priced:
        widened = "" if computed == dtype else ", whose weights are widened to float32 when it is loaded"
        raise InputError(f"{file} is {dtype}{widened}; the table is for {priced}: profile with --dtype {computed}")
    estimate = ExtendedEstimator(loaded).predict(architecture)
    return Prediction(estimate, loaded.reference_ms, loaded.configuration, loaded.reference)


def computed_dtype(dtype: str, file: Path) -> str:
    """Return the dtype that a file computes with, as in latency tables: float32 or int8.

    Raises:
        InputError: if no table is for such files.
    """
    computed = "float32" if dtype == "float16" else dtype  # its weights are widened when it is loaded
    if computed not in DTYPES:
        raise InputError(
            f"{file} is {dtype}, and latency tables are for {' and '.join(DTYPES)} only: measure it without a table, "
            "or export with one of these"
        )
    return computed


def check_same(table: Configuration, now: Configuration) -> bool:
    """Check that a measurement can be compared with a table's predictions. Other differences are warned of.

    Returns:
        Whether it is the same machine, as far as known. If not, the comparison is between two machines, and the
        table's quiet latency of the reference network does not hold here.

    Raises:
        InputError: the message names what differs.
    """
    for name in ("device", "runtime", "delegate", "threads"):
        before, here = getattr(table, name), getattr(now, name)
        if before != here:
            raise InputError(f"the table is for --{name} {before}; this is --{name} {here}")
    if not same_cores(table.affinity, now.affinity):
        before, here = (f"--cores {each.affinity}" if each.cores else "no --cores" for each in (table, now))
        raise InputError(f"the table is for {before}; this is {here}")
    if table.model != now.model:
        raise InputError(f"the table is for {table.model or 'an unnamed device'}; this is {now.model}")
    if (table.soc, table.cpu) != (now.soc, now.cpu) and now.device != "adb":
        _log.warning(
            "the table and its predictions are for another machine (%s), this is %s: make a table for it with mnas "
            "profile",
            table.cpu or table.soc,
            now.cpu or now.soc,
        )
        return False
    different, harmless = compare_configurations(replace(table, dtype=now.dtype), now)
    if different or harmless:
        _log.warning("since the table was made, %s", "; ".join((*different, *harmless)))
    return table.soc == now.soc
