"""Refusing to overwrite a latency table that took minutes or hours to measure."""

from __future__ import annotations

from pathlib import Path

from mnas.errors import InputError
from mnas.latency.table import LatencyTable


def check_overwriting(path: Path, force: bool) -> None:
    """Check that a table may be written to a file.

    Raises:
        InputError: if there is a file and `force` is not given; the message says what is there.
    """
    if force or not path.exists():
        return
    try:
        table = LatencyTable.load(path)
    except InputError:
        what = "it is not a latency table that this mnas reads"
    else:
        what = f"a latency table of {describe_origin(table)}"
    raise InputError(f"{path} exists already ({what}): name another file, or overwrite it with --force")


def describe_origin(table: LatencyTable) -> str:
    """Return space, device, runtime, dtype, threads and date of a table in one line."""
    where = table.configuration
    threads = f"{where.threads} thread{'s' if where.threads > 1 else ''}"
    parts = (f"{table.space} at {table.input_text}", device_name(table), where.runtime, where.dtype, threads)
    return ", ".join((*parts, table.date))


def device_name(table: LatencyTable) -> str:
    """Return the model of a table's phone or board, or its CPU."""
    where = table.configuration
    return where.model or where.cpu or where.soc
