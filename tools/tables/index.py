"""The index of `latency_tables/`, made from the tables themselves."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import to_builtins

from mnas.latency.overwriting import device_name
from mnas.latency.registry import FORMAT, INDEX, VERSION, ListedTable
from mnas.latency.table import LatencyTable
from mnas.system.files import write_json

FOLDER = Path(__file__).parents[2] / "latency_tables"
_SHORT = {"AMD EPYC": "epyc", "Intel(R) Xeon(R) Processor @ 2.50GHz": "xeon"}  # names of the machines measured so far
_USUAL = ("litert", "xnnpack", 1)  # runtime, delegate and threads that a name leaves out


def short_name(device: str) -> str:
    """Return a device's part of a table's name: `Google Pixel 4` is `google-pixel-4`."""
    return _SHORT.get(device) or re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")


def table_name(table: LatencyTable) -> str:
    """Return a table's name: device, dtype and space; runtime, delegate and threads where they are not the usual."""
    where = table.configuration
    how = (where.runtime, where.delegate, where.threads)
    unusual = [] if how == _USUAL else [where.runtime, where.delegate, f"{where.threads}t"]
    return "-".join([short_name(device_name(table)), *unusual, where.dtype, table.space])


def listed(path: Path) -> ListedTable:
    """Describe a table for the index.

    Raises:
        InputError: if the file is not a table.
    """
    table = LatencyTable.load(path)
    where, card = table.configuration, table.report_card
    return ListedTable(
        name=table_name(table),
        file=path.name,
        device=device_name(table),
        runtime=where.runtime,
        dtype=where.dtype,
        threads=where.threads,
        space=table.space,
        date=table.date,
        networks=0 if card is None else card.num_networks,
        error=None if card is None else card.mape,
        tau=None if card is None else card.kendall_tau,
        sha256=table.sha256,
    )


def make_index(folder: Path = FOLDER) -> list[ListedTable]:
    """Describe all tables of a folder, by name.

    Raises:
        InputError: if one cannot be read.
    """
    found = [listed(path) for path in folder.glob("*.json") if path.name != INDEX]
    return sorted(found, key=lambda each: each.name)


def write_index(folder: Path = FOLDER) -> None:
    """Write the index of a folder.

    Raises:
        InputError: if a table cannot be read.
        MnasError: if it cannot be written.
    """
    document = {"format": FORMAT, "version": VERSION, "tables": to_builtins(make_index(folder))}
    write_json(folder / INDEX, document)
