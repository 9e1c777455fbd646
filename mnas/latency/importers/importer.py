"""`import_table` converts a published file to a latency table that states its source and what is unknown."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mnas import __version__
from mnas.arch.walk import PlacedBlock
from mnas.checks import check_choice
from mnas.errors import InputError
from mnas.latency.importers import single_path
from mnas.latency.importers.blocks import once_for_all_block, proxylessnas_block
from mnas.latency.importers.flat import Row, parse_rows, read_text
from mnas.latency.table import Configuration, Entry, LatencyTable

UNKNOWN = "unknown"
# The error of a sum of these rows is not known, as no network was held out. Two published tables of one phone (Pixel 1,
# ProxylessNAS and Single-Path NAS) differ by factors of 0.61 to 1.57 for the same blocks: a quarter is a guess.
RELATIVE_ERROR = 0.25


@dataclass(frozen=True)
class Contents:
    """The contents of a published file.

    Attributes:
        entries: by key.
        resolution: of the networks, in pixels.
        overhead_ms: of every network, beside its blocks.
        notes: remarks on the data, as text.
    """

    entries: Mapping[str, Entry]
    resolution: int
    overhead_ms: float
    notes: str


def import_table(path: Path | str, format_name: str, *, device_name: str = UNKNOWN, threads: int = 1) -> LatencyTable:
    """Read a published table.

    Args:
        path: the file.
        format_name: `proxylessnas`, `once-for-all` or `single-path`.
        device_name: what it was measured on, if known: the files do not state it.
        threads: of the runtime; the files do not state it either.

    Raises:
        InputError: for an unknown format, or a file that does not follow it; the message names the line or the block.
    """
    check_choice("--format", format_name, tuple(FORMATS))
    text = read_text(path)
    try:
        contents = FORMATS[format_name](text)
    except InputError as error:
        raise InputError(f"{path} is not a {format_name} table: {error}") from None
    where = Configuration(
        device=UNKNOWN,
        soc=UNKNOWN,
        cpu=device_name,
        os=UNKNOWN,
        runtime=UNKNOWN,
        runtime_version=UNKNOWN,
        delegate=UNKNOWN,
        dtype=UNKNOWN,
        threads=threads,
        affinity=UNKNOWN,
        governor=UNKNOWN,
    )
    digest = hashlib.sha256(text.encode()).hexdigest()
    method = (
        f"imported from {Path(path).name} (sha256 {digest}), format {format_name}: not measured by mnas, and no "
        f"network was held out. The file does not say device, runtime, threads, dtype or date. {contents.notes}"
    )
    return LatencyTable(
        configuration=where,
        space=format_name,
        resolution=contents.resolution,
        date=UNKNOWN,
        method=method,
        mnas_version=__version__,
        overhead_ms=contents.overhead_ms,
        relative_error=RELATIVE_ERROR,
        entries=contents.entries,
    )


def _proxylessnas(text: str) -> Contents:
    notes = "Times are the file's means, errors the roots of its variances; ReLU6, expansion by ratio."
    return _from_rows(text, proxylessnas_block, "var", notes)


def _once_for_all(text: str) -> Contents:
    notes = (
        "Times are the file's means, errors its standard deviations. Middle channels became expansion ratios; "
        "squeeze-and-excitation is a quarter of the middle, with a hard sigmoid that mnas writes as a sigmoid. The "
        "pooling before Conv_2 is the overhead."
    )
    return _from_rows(text, once_for_all_block, "std", notes)


def _single_path(text: str) -> Contents:
    notes = (
        f"The space is Single-Path NAS's, 224 px; times of blocks that are alike were averaged; stem, first and last "
        f"block, head and classifier are {single_path.REST_MS} ms together, split by multiply-adds. A skipped block "
        "costs nothing here; their program adds 0.7 ms."
    )
    return Contents(single_path.entries(text), 224, 0.0, notes)


def _from_rows(text: str, block: Callable[[Row], PlacedBlock | None], spread: str, notes: str) -> Contents:
    entries: dict[str, Entry] = {}
    overhead_ms, resolutions = 0.0, []
    for row in parse_rows(text):
        placed, entry = block(row), _entry(row, spread)
        if row.name.startswith("Conv-") and placed is not None:
            resolutions.append(placed.in_size)
        if placed is None:
            overhead_ms += entry.latency_ms
        elif placed.key in entries:
            row.refuse(f"another row is about the same block, {placed.key}")
        else:
            entries[placed.key] = entry
    if len(resolutions) != 1:
        raise InputError(f"expected one row of the stem, Conv-..., for the resolution; found {len(resolutions)}")
    return Contents(entries, resolutions[0], overhead_ms, notes)


def _entry(row: Row, spread: str) -> Entry:
    """Make an entry of a row. Times are in ms; `count` is how often the block was measured, within networks."""
    expected = {"count", "mean", spread}
    if set(row.values) != expected:
        row.refuse(f"expected {', '.join(sorted(expected))}; found {', '.join(sorted(row.values))}")
    count, latency_ms, error = row.values["count"], row.values["mean"], row.values[spread]
    if count != int(count) or latency_ms == 0:
        row.refuse("expected a whole count, and a mean above 0")
    try:
        return Entry(latency_ms, math.sqrt(error) if spread == "var" else error, int(count), "imported")
    except InputError as problem:
        row.refuse(str(problem))


FORMATS: dict[str, Callable[[str], Contents]] = {
    "proxylessnas": _proxylessnas,
    "once-for-all": _once_for_all,
    "single-path": _single_path,
}
