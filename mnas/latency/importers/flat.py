"""Reading files from untrusted sources: text of limited size, and two-level `row: {name: number}` YAML.

Published tables use simple YAML: a row's name and a colon, and under it indented `name: number` lines. Only this form
is accepted, which needs no YAML library and excludes tags, anchors and objects.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from mnas.errors import InputError
from mnas.system.files import decode_text, read_bytes

MOST_BYTES = 4 << 20
_MOST_CHARACTERS = 300
_ROW = re.compile(r"([A-Za-z][A-Za-z0-9_]{0,40}(?:-[a-z]{1,20}:[0-9x]{1,40}){1,12}):", re.ASCII)
_VALUE = re.compile(r" {2}([a-z]{1,20}): (\S+)", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,25}(?:\.[0-9]{0,25})?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a published table.

    Attributes:
        name: as in the file.
        line: its number, from 1.
        values: by name, all finite and at least 0.
    """

    name: str
    line: int
    values: Mapping[str, float] = field(default_factory=dict)

    def refuse(self, why: str) -> NoReturn:
        """Raise an error about the row.

        Raises:
            InputError: always.
        """
        raise InputError(f"line {self.line}: {why}\n  {self.name}")


def read_text(path: Path | str) -> str:
    """Read a text file of the size that a latency table can have.

    Raises:
        InputError: if it cannot be read, is larger than 4 MiB or is not UTF-8.
    """
    try:
        return decode_text(read_bytes(path, "a latency table", most=MOST_BYTES))
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{path} is not text in UTF-8: expected a published latency table ({error})") from None


def parse_rows(text: str) -> list[Row]:
    """Read rows of `name: number` lines, each under its row's name.

    Raises:
        InputError: for anything else, with the number of the line: tags, anchors, lists, deeper levels, values that
            are negative or not numbers, repeated rows or values, rows without values.
    """
    rows: dict[str, Row] = {}
    current: dict[str, float] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.rstrip("\r ")
        if not line or line.startswith("#"):
            continue
        if len(line) > _MOST_CHARACTERS:
            raise InputError(f"line {number} has {len(line)} characters: expected {_MOST_CHARACTERS} at most")
        if row := _ROW.fullmatch(line):
            if row[1] in rows:
                rows[row[1]].refuse(f"this row occurs again in line {number}")
            current = {}
            rows[row[1]] = Row(row[1], number, current)
        elif (value := _VALUE.fullmatch(line)) and rows:
            if value[1] in current:
                raise InputError(f"line {number}: {value[1]} occurs twice in one row")
            current[value[1]] = _number(number, value[1], value[2])
        else:
            raise InputError(
                f"line {number}: expected the name of a row and a colon, or two spaces and 'name: number'\n  {line!r}"
            )
    for each in rows.values():
        if not each.values:
            each.refuse("this row has no values")
    return list(rows.values())


def _number(line: int, name: str, text: str) -> float:
    number = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(number):
        raise InputError(f"line {line}: {name} is {text[:40]!r}: expected a finite number that is not negative")
    return number
