"""The ready-made latency tables: an index of files, found by names such as `epyc-float32-mnasnet-32`."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from mnas.checks import convert
from mnas.errors import InputError
from mnas.system.files import is_document, read_json

FORMAT = "mnas.latency_tables"
VERSION = 1
FOLDER, INDEX = "latency_tables", "index.json"
_SUFFIX = ".json"
_MOST_NEAR = 3
_MENDING = "in mnas's source, python -m tools.tables.make --index writes it again"
_Line = Annotated[str, Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
_File = Annotated[str, Meta(max_length=200, pattern=r"^[A-Za-z0-9._-]+\.json$")]


class ListedTable(Struct, frozen=True, forbid_unknown_fields=True):
    """One table of the index; every field but `name` and `file` is the table's own.

    Attributes:
        name: device, dtype and space: `epyc-float32-mnasnet-32`. The start of it is enough where only one has it.
        file: its name in the folder of the index.
        device: the model of the phone or board, or the CPU.
        runtime, dtype, threads: how networks ran.
        space: whose blocks it prices.
        date: of the measurement.
        networks: number of held-out networks behind the next two.
        error: mean absolute error of the predictions, as a fraction.
        tau: Kendall's rank correlation.
        sha256: of the table's content.
    """

    name: Annotated[str, Meta(max_length=100, pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    file: _File
    device: _Line
    runtime: _Line
    dtype: _Line
    threads: Annotated[int, Meta(ge=1, le=1024)]
    space: _Line
    date: _Line
    networks: Annotated[int, Meta(ge=0)]
    error: Annotated[float, Meta(ge=0)] | None
    tau: Annotated[float, Meta(ge=-1, le=1)] | None
    sha256: _Line


def registry_folder() -> Path | None:
    """The folder of the ready-made tables: beside the package in a source tree, else where it was installed to."""
    beside = Path(__file__).parents[2] / FOLDER
    if (beside / INDEX).is_file():
        return beside
    from importlib.metadata import PackageNotFoundError, files

    try:
        installed = files("mnas") or []
    except PackageNotFoundError:
        return None
    found = (Path(str(file.locate())) for file in installed if file.parts[-2:] == (FOLDER, INDEX))
    return next((path.parent.resolve() for path in found if path.is_file()), None)


def read_registry(folder: Path | None = None) -> tuple[ListedTable, ...]:
    """Read an index.

    Args:
        folder: of the index; by default that of the ready-made tables. Without any, there are no tables.

    Raises:
        InputError: if it is damaged, or two tables have one name.
    """
    folder = folder or registry_folder()
    if folder is None:
        return ()
    path = folder / INDEX
    document = read_json(path, "an index of latency tables")
    if not is_document(document, FORMAT, VERSION):
        raise InputError(f"{path} is not an index of latency tables of version {VERSION}: {_MENDING}")
    tables = convert(document.get("tables"), tuple[ListedTable, ...], f"{path}: tables")
    if len({table.name for table in tables}) < len(tables):
        raise InputError(f"{path} has one name twice: {_MENDING}")
    return tables


def find_table(name: Path | str) -> Path:
    """Return the file of a table that is given by its path, or by the name of a ready-made one.

    A path wins: a name is looked up if there is no file of that name, and only if it has neither a folder nor `.json`.

    Raises:
        InputError: for a name that no ready-made table or several have; the message lists them.
    """
    path, text = Path(name), str(name)
    if path.suffix == _SUFFIX or "/" in text or not text or os.path.exists(text):
        return path
    folder = registry_folder()
    listed = {table.name: table for table in read_registry(folder)}
    matching = [text] if text in listed else [each for each in listed if each.startswith(f"{text}-")]
    if len(matching) == 1 and folder is not None:
        return folder / listed[matching[0]].file
    if matching:
        raise InputError(f"several ready-made latency tables are called {text}: choose one of {', '.join(matching)}")
    raise InputError(_unknown(text, list(listed)))


def _unknown(name: str, listed: list[str]) -> str:
    start = f"there is no file {name}, and no ready-made latency table of that name"
    if not listed:
        return (
            f"{start}: this installation has none. They are in the folder {FOLDER} of mnas's source; or make your own "
            "with mnas profile"
        )
    starts = {"-".join(each.split("-")[:count]) for each in listed for count in range(1, each.count("-") + 1)}
    near = difflib.get_close_matches(name, dict.fromkeys([*listed, *sorted(starts)]), n=_MOST_NEAR, cutoff=0.5)
    hint = f"the nearest: {', '.join(near)}" if near else "mnas table list shows those that there are"
    return f"{start} ({hint}). Give the path of a table, such as laptop.json, or make one with mnas profile"
