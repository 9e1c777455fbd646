"""Output of the commands: one JSON document, tables, progress."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnas.cli.progress import progress as progress

if TYPE_CHECKING:
    from rich.console import Console

    from mnas.system.remote import Mirror

_LEAST_WIDTH = 10  # of a longer first cell, on a narrow terminal


def console(*, stderr: bool = False) -> Console:
    """A console: stdout for results, stderr for progress. Brackets, as in `runs/[a]`, are not markup."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False)


def print_json(document: Any) -> None:
    """Print one JSON document on stdout."""
    print(json.dumps(document, indent=1, allow_nan=False))


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print a table; columns after the first are numbers and align right. A first cell that is too wide is folded.

    Nothing is read as markup: names of files and of a phone's operators, `[conv/Relu]:0`, are shown as they are.
    """
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=Text(title, style="table.title"), title_justify="left")
    for number, column in enumerate(columns):
        if number:
            shown.add_column(Text(column), justify="right", no_wrap=True)
        else:
            longest = max(len(cell) for cell in (column, *(row[0] for row in rows)))
            shown.add_column(Text(column), overflow="fold", min_width=min(longest, _LEAST_WIDTH))
    for row in rows:
        shown.add_row(*map(Text, row))
    console().print(shown)


def open_mirror(folder: Path | None, url: str | None) -> Mirror | None:
    """Return a mirror that copies a folder to a URL. An absent folder is copied from there first.

    Raises:
        MnasError: if it cannot be copied.
    """
    from mnas.system.remote import Mirror

    if folder is None or url is None:
        return None
    mirror = Mirror(folder, url)
    if mirror.fetch():
        console(stderr=True).print(f"Copied from {url} to {folder}.", markup=False)
    return mirror


@contextmanager
def mirrored(mirror: Mirror | None) -> Iterator[None]:
    """Copy once more at the end, also after an error, which an error of copying must not hide."""
    from mnas.errors import MnasError

    try:
        yield
    finally:
        try:
            if mirror is not None:
                mirror.push()
        except MnasError as error:
            console(stderr=True).print(f"{error}; what is here is whole", markup=False)
