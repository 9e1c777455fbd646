"""What commands print: one JSON document, tables, progress."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnas.cli.progress import progress as progress
from mnas.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from mnas.arch.spec import Architecture
    from mnas.remote import Mirror


def console(*, stderr: bool = False) -> Console:
    """Where a command prints: stdout for results, stderr for progress. Brackets, as in `runs/[a]`, are no markup."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False)


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    print(json.dumps(document, indent=1, allow_nan=False))


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print a table; columns after the first are numbers and align right.

    Nothing is read as markup: names of files and of a phone's operators, `[conv/Relu]:0`, are shown as they are.
    """
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=Text(title, style="table.title"), title_justify="left")
    for number, column in enumerate(columns):
        shown.add_column(Text(column), justify="right" if number else "left", no_wrap=number > 0)
    for row in rows:
        shown.add_row(*map(Text, row))
    console().print(shown)


def resolve_architecture(text: str) -> Architecture:
    """Read an architecture argument: a zoo name, a JSON file, a study directory, or `STUDY_DIR#12`.

    Raises:
        InputError: if it is none of them.
    """
    from mnas.arch.codec import architecture_from_dict
    from mnas.arch.zoo import ZOO
    from mnas.files import read_json

    if text in ZOO:
        return ZOO[text]
    folder, _, number = text.partition("#")
    if Path(folder).is_dir():
        return _from_folder(Path(folder), number)
    if Path(text).is_file():
        document = read_json(text, "an architecture")
        if isinstance(document, dict) and "architecture" in document:  # a file that says more about a network
            document = document["architecture"]
        return architecture_from_dict(document)
    raise InputError(
        f"{text!r} is no architecture: expected a zoo name ({', '.join(ZOO)}), a JSON file, or a study directory"
    )


def _from_folder(folder: Path, number: str) -> Architecture:
    from mnas.arch.codec import architecture_from_dict
    from mnas.files import read_json

    if (folder / "architecture.json").is_file() and not number:
        return architecture_from_dict(read_json(folder / "architecture.json", "an architecture"))
    if not (folder / "study.json").is_file():
        raise InputError(f"{folder} is neither a study nor a trained network: it has no study.json")
    from mnas.search.study import Study

    return Study.open(folder).architecture(number or None)


def open_mirror(folder: Path | None, url: str | None) -> Mirror | None:
    """What keeps a folder at a URL too; what is there comes here first, if nothing is here.

    Raises:
        MnasError: if it cannot be copied.
    """
    from mnas.remote import Mirror

    if folder is None or url is None:
        return None
    mirror = Mirror(folder, url)
    if mirror.fetch():
        console(stderr=True).print(f"Copied from {url} to {folder}.", markup=False)
    return mirror


@contextmanager
def mirrored(mirror: Mirror | None) -> Iterator[None]:
    """Copy a last time, whether the work is done or failed; that this fails must not hide why."""
    from mnas.errors import MnasError

    try:
        yield
    finally:
        try:
            if mirror is not None:
                mirror.push()
        except MnasError as error:
            console(stderr=True).print(f"{error}; what is here is whole", markup=False)
