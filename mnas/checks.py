"""Checks of what a person hands over, in files and in options: declared as types, checked by msgspec, said in words.

A record (a `msgspec.Struct` or a dataclass) declares each field with its range, such as
`threads: Annotated[int, Meta(ge=1, le=1024)]`. `convert` makes a checked record of a document; `check_fields`, called
in a record's `__post_init__`, checks one that a program makes. Nothing is coerced: "3" and True are no numbers, and
neither are nan and infinity. A bare `int`, `float` or `str` has wide bounds, see `WIDEST` and `LONGEST`; a `title` in
`Meta` is what messages say is expected.
"""

from __future__ import annotations

import abc
import dataclasses
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from functools import cache
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from mnas.errors import InputError

WIDEST = 10**12  # of a number without bounds of its own
LONGEST = 4096  # characters of a text without bounds of its own

Kind = TypeVar("Kind")
_TEXT = Meta(max_length=LONGEST, pattern=r"\A[^\0]*\Z", title=f"text of at most {LONGEST} characters, none of them NUL")
Number = int | float  # an int stays one: in a `float` it becomes 5.0
Share = Annotated[int, Meta(ge=0, le=1)] | Annotated[float, Meta(ge=0, le=1)]
AnyText = Annotated[str, Meta(max_length=1 << 30)]

_WHOLE = "it"  # the document itself, among paths in it
_LISTS = (list, tuple, Sequence)
_OBJECTS = (dict, Mapping)

_MOST = 10**12
_LONGEST = 4096


def check_integer(name: str, value: Any, low: int, high: int) -> None:
    """Refuse anything but an int in [low, high].

    Raises:
        InputError: with the field's name, the value and the range.
    """
    if type(value) is not int or not low <= value <= high:
        raise InputError(f"{name} is {shown(value)}: expected a whole number from {low} to {high}")


def check_number(name: str, value: Any, low: float, high: float) -> None:
    """Refuse anything but a finite number in [low, high].

    Raises:
        InputError: with the field's name, the value and the range.
    """
    if type(value) not in (int, float) or not low <= value <= high:  # NaN is in no range
        raise InputError(f"{name} is {shown(value)}: expected a number from {low:g} to {high:g}")


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Refuse anything but one of the given words.

    Raises:
        InputError: with the field's name, the value and the words.
    """
    if not isinstance(value, str) or value not in choices:
        raise InputError(f"{name} is {shown(value)}: expected one of {', '.join(choices)}")


def shown(value: Any) -> str:
    """A value for a message: what comes from a file may be of any length."""
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**20 else "a number of more than 20 digits"
    return text if len(text) <= 80 else f"{text[:77]}..."


def convert(document: Any, kind: type[Kind], where: str) -> Kind:
    """Make a checked record of plain data, as JSON and TOML give it.

    Fields that a record does not have are refused in dataclasses, and in structs with `forbid_unknown_fields`. A number
    for a `float` becomes one; where 5 has to stay 5, declare `Number`, or a union of `Annotated` ranges as in `Share`.

    Args:
        document: plain data.
        kind: a `msgspec.Struct`, a dataclass, or any type made of them, such as `dict[str, Entry]`.
        where: what the document is, for messages: a file's path, or "the latency table"; empty if the caller says it.

    Raises:
        InputError: for the first thing that is wrong: where it is, what was found and what was expected.
    """
    try:
        msgspec.convert(document, _document(typing.cast(Any, kind)))
        return msgspec.convert(document, kind)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        fault = _find_fault("", document, kind) or str(error)
    if not where:
        raise InputError(fault)
    raise InputError(f"{where} {fault[len(_WHOLE) + 1 :]}" if fault.startswith(f"{_WHOLE} ") else f"{where}: {fault}")


def check_fields(record: Any) -> None:
    """Check the values of a record, a `msgspec.Struct` or a dataclass, against its own annotations.

    Meant for `__post_init__`. A field that holds records must hold instances of them, not plain data.

    Raises:
        InputError: for the first field that does not hold what it says: its name, the value, and what was expected.
    """
    kind: Any = type(record)
    try:
        msgspec.convert(record, _instance(kind), from_attributes=True)
    except msgspec.ValidationError as error:
        parts = ((name, getattr(record, name), _mapped(hint, _instance_of)) for name, hint, _ in _fields(kind))
        raise InputError(_first_fault(parts) or str(error)) from None


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and (issubclass(kind, msgspec.Struct) or dataclasses.is_dataclass(kind))


def _fields(kind: Any) -> list[tuple[str, Any, bool]]:
    """Name, annotation and whether it is required, of every field that a record is made from."""
    hints = typing.get_type_hints(kind, include_extras=True)
    if issubclass(kind, msgspec.Struct):
        return [(field.name, hints[field.name], field.required) for field in msgspec.structs.fields(kind)]
    missing = dataclasses.MISSING
    return [
        (field.name, hints[field.name], field.default is missing and field.default_factory is missing)
        for field in dataclasses.fields(kind)
        if field.init
    ]


@cache
def _document(kind: Any) -> Any:
    """A type that plain data has to fit: as `kind`, with bounds for everything, and no other fields in dataclasses."""
    return _struct_of(kind, _document) if _is_record(kind) else _mapped(kind, _document)


@cache
def _instance(kind: Any) -> Any:
    """A type that the attributes of a record have to fit."""
    return _struct_of(kind, _instance_of)


def _struct_of(kind: Any, record: Callable[[Any], Any]) -> Any:
    fields = [
        (name, _mapped(hint, record)) if required else (name, _mapped(hint, record), None)
        for name, hint, required in _fields(kind)
    ]
    return msgspec.defstruct(kind.__name__, fields, forbid_unknown_fields=_is_closed(kind), kw_only=True)


def _is_closed(kind: Any) -> bool:
    """Whether fields that a record does not have are refused: always in dataclasses, in structs if they say so."""
    return not issubclass(kind, msgspec.Struct) or kind.__struct_config__.forbid_unknown_fields


@cache
def _instance_of(kind: Any) -> Any:
    """A type that instances of a record fit, and plain data does not."""
    stand_in = abc.ABCMeta(kind.__name__, (), {})
    stand_in.register(kind)
    return stand_in


def _mapped(kind: Any, record: Callable[[Any], Any]) -> Any:
    """The same type with bounds for bare numbers and texts, and `record(R)` in the place of a record R."""
    inner, metas = _peel(kind)
    if _is_record(inner):
        return record(inner)
    origin, args = typing.get_origin(inner), typing.get_args(inner)
    if _is_union(inner):
        inner = typing.Union[tuple(_mapped(arg, record) for arg in args)]  # noqa: UP007
    elif origin in _OBJECTS:
        inner = origin[args[0], _mapped(args[1], record)]  # type: ignore[index]
    elif origin in _LISTS:
        inner = origin[tuple(arg if arg is ... else _mapped(arg, record) for arg in args)]  # type: ignore[index]
    if inner in (int, float):
        low = () if _first(metas, "ge") is not None or _first(metas, "gt") is not None else (Meta(ge=-WIDEST),)
        high = () if _first(metas, "le") is not None or _first(metas, "lt") is not None else (Meta(le=WIDEST),)
        metas = (*metas, *low, *high)
    elif inner is str and _first(metas, "max_length") is None and _first(metas, "pattern") is None:
        metas = (*metas, _TEXT)
    return Annotated[(inner, *metas)] if metas else inner


def _peel(kind: Any) -> tuple[Any, tuple[Meta, ...]]:
    """A type without its `Annotated`, and what that says."""
    metas: tuple[Meta, ...] = ()
    if typing.get_origin(kind) is Annotated:
        metas = tuple(meta for meta in kind.__metadata__ if isinstance(meta, Meta))
        kind = kind.__origin__
    return kind, metas


def _is_union(kind: Any) -> bool:
    return typing.get_origin(kind) in (typing.Union, types.UnionType)


def _fits(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except (msgspec.ValidationError, UnicodeEncodeError):
        return False
    return True


def _find_fault(path: str, value: Any, kind: Any) -> str | None:
    """The first innermost place where plain data is not as a type says, as a sentence; None if there is none."""
    inner, _ = _peel(kind)
    origin, args = typing.get_origin(inner), typing.get_args(inner)
    if _is_union(inner):
        nested = [arg for arg in args if _holds_parts(value, _peel(arg)[0])]
        if len(nested) == 1:
            return _find_fault(path, value, nested[0])
    elif _is_record(inner) and isinstance(value, dict):
        return _record_fault(path, value, inner)
    elif isinstance(value, list | tuple) and _holds_parts(value, inner):
        many = origin is not tuple or (len(args) == 2 and args[1] is ...)
        if many or len(args) == len(value):
            parts = ((f"{path}[{i}]", each, args[0] if many else args[i]) for i, each in enumerate(value))
            if fault := _first_fault(parts):
                return fault
    elif isinstance(value, dict) and origin in _OBJECTS:
        keys = ((f"a key of {path or _WHOLE}", key, args[0]) for key in value)
        parts = ((f"{path}[{shown(key)}]", each, args[1]) for key, each in value.items())
        if fault := _first_fault(keys) or _first_fault(parts):
            return fault
    return None if _fits(value, _document(kind)) else _mismatch(path, value, kind)


def _first_fault(parts: Iterable[tuple[str, Any, Any]]) -> str | None:
    return next(filter(None, (_find_fault(*part) for part in parts)), None)


def _record_fault(path: str, value: dict[Any, Any], kind: Any) -> str | None:
    fields = _fields(kind)
    known = [name for name, _, _ in fields]
    unknown = sorted(repr(str(name))[1:-1] for name in value if name not in known)
    if unknown and _is_closed(kind):
        return f"{path or _WHOLE} has unknown fields {', '.join(unknown)[:200]}; known are {', '.join(known)}"
    if missing := [name for name, _, required in fields if required and name not in value]:
        return f"{path or _WHOLE} lacks {', '.join(missing)}"
    parts = ((f"{path}.{name}".lstrip("."), value[name], hint) for name, hint, _ in fields if name in value)
    if fault := _first_fault(parts):
        return fault
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:  # what the record itself said, all of its fields being well
        return ": ".join(filter(None, (path, str(error.__cause__ or error))))
    return None


def _holds_parts(value: Any, kind: Any) -> bool:
    """Whether a value is of a kind that has parts of its own, and that this type describes."""
    origin = typing.get_origin(kind)
    if isinstance(value, dict):
        return _is_record(kind) or origin in _OBJECTS
    return isinstance(value, list | tuple) and origin in _LISTS


def _mismatch(path: str, value: Any, kind: Any) -> str:
    return f"{path or _WHOLE} is {shown(value)}: expected {_describe(_mapped(kind, lambda record: record))}"


def _describe(kind: Any) -> str:
    """What a type accepts, in words."""
    inner, metas = _peel(kind)
    if titles := [meta.title for meta in metas if meta.title]:
        return titles[-1]
    origin, args = typing.get_origin(inner), typing.get_args(inner)
    if _is_union(inner):
        members = [arg for arg in args if arg is not type(None)]
        if {_peel(arg)[0] for arg in members} == {int, float}:  # one range, for both
            members = [arg for arg in members if _peel(arg)[0] is float]
        return " or ".join(dict.fromkeys(_describe(arg) for arg in members))
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, args))}"
    if origin is tuple and ... not in args:
        return f"a list of {len(args)}"
    if origin in _LISTS:
        return f"a list{_length(metas, 'of', '')}"
    if origin in _OBJECTS or inner is dict or _is_record(inner):
        return f"an object{_length(metas, 'with', ' entries')}"
    if inner is str:
        return f"text{_length(metas, 'of', ' characters')}"
    if inner in (int, float):
        return f"a{' whole' if inner is int else ''} number{_range(inner, metas)}"
    return "true or false" if inner is bool else f"a {getattr(inner, '__name__', inner)}"


def _range(kind: type, metas: Sequence[Meta]) -> str:
    words = {"ge": "from", "gt": "above", "le": "to", "lt": "below"}
    limits = {name: limit for name in words if (limit := _first(metas, name)) is not None}
    return "".join(f" {words[name]} {limit if kind is int else f'{limit:g}'}" for name, limit in limits.items())


def _length(metas: Sequence[Meta], word: str, what: str) -> str:
    least, most = _first(metas, "min_length") or 0, _first(metas, "max_length")
    if most is None:
        return f" {word} at least {least}{what}" if least else ""
    return f" {word} {least} to {most}{what}"


def _first(metas: Sequence[Meta], name: str) -> Any:
    return next((limit for meta in metas if (limit := getattr(meta, name)) is not None), None)


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
