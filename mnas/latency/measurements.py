"""Collecting measured networks in a document for `mnas table calibrate`."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path

from mnas.arch.codec import architecture_to_dict
from mnas.arch.spec import Architecture
from mnas.errors import InputError
from mnas.latency.calibration import FORMAT, VERSION, read_configuration, read_measurements
from mnas.latency.identity import compare_configurations
from mnas.latency.table import Configuration
from mnas.system.files import read_json, write_json

_log = logging.getLogger(__name__)


def check_kept(path: Path, configuration: Configuration) -> None:
    """Check that a measurement can be added to a document. Harmless differences are warned of.

    Raises:
        InputError: if it is not a document of measurements, or they were made elsewhere or in another way.
    """
    if not path.exists():
        return
    read_measurements(path)
    before = read_configuration(path)
    if before is None:
        raise InputError(f"{path} does not state where its networks were measured: name another file")
    different, harmless = compare_configurations(before, configuration)
    if different:
        raise InputError(f"{path} was measured in another way ({'; '.join(different)}): name another file")
    if harmless:
        _log.warning("%s has other measurements for which %s", path, "; ".join(harmless))


def append_measurement(path: Path, architecture: Architecture, latency_ms: float, configuration: Configuration) -> int:
    """Add a network to a document of measurements, which is created if it does not exist.

    Args:
        path: of the document.
        architecture: the network.
        latency_ms: on the quiet device.
        configuration: where and how; the same for all networks of a document.

    Returns:
        The number of measurements in the document.

    Raises:
        InputError: as `check_kept`.
        MnasError: if it cannot be written.
    """
    check_kept(path, configuration)
    rows = []
    if path.exists():
        rows = read_json(path, "measurements of whole networks")["measurements"]
        configuration = read_configuration(path) or configuration
    rows = [*rows, {"architecture": architecture_to_dict(architecture), "latency_ms": latency_ms}]
    document = {"format": FORMAT, "version": VERSION, "configuration": asdict(configuration), "measurements": rows}
    write_json(path, document)
    return len(rows)
