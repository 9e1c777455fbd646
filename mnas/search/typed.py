"""Options that come back from a file are of the types that they had, or are refused."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from mnas.checks import check_integer, check_number
from mnas.errors import InputError

_MOST = 10**12
_LONGEST = 4096


def check_types(record: Any) -> None:
    """Check a dataclass's values against its annotations: texts, numbers, truth values, lists of them, or None.

    Raises:
        InputError: for the first value of another type, or a number that is not finite or beyond any sense.
    """
    for field in fields(record):
        kind, value = str(field.type), getattr(record, field.name)
        if value is None and kind.endswith("| None"):
            continue
        kind = kind.removesuffix("| None").strip()
        if kind.startswith("Sequence["):
            if not isinstance(value, list | tuple):
                raise InputError(f"{field.name} is {str(value)[:80]!r}: expected a list")
            for each in value:
                _check(field.name, each, kind[len("Sequence[") : -1])
        else:
            _check(field.name, value, kind)


def _check(name: str, value: Any, kind: str) -> None:
    if kind == "int":
        check_integer(name, value, -_MOST, _MOST)
    elif kind == "float":
        check_number(name, value, -_MOST, _MOST)
    elif kind == "bool" and not isinstance(value, bool):
        raise InputError(f"{name} is {str(value)[:80]!r}: expected true or false")
    elif kind == "str" and not (isinstance(value, str) and len(value) <= _LONGEST and "\0" not in value):
        raise InputError(f"{name} is {str(value)[:80]!r}: expected text")
