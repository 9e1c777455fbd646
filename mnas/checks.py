"""Checks of values from outside, in files and in options: declared as types, checked by msgspec, explained in words.

A record (a `msgspec.Struct` or a dataclass) declares each field with its range, such as
`threads: Annotated[int, Meta(ge=1, le=1024)]`. `convert` makes a checked record from a document; `check_fields`, called
in a record's `__post_init__`, checks one that a program makes. Nothing is coerced: "3" and True are not numbers, and
neither are NaN and infinity. A bare `int`, `float` or `str` has wide bounds, see `WIDEST` and `LONGEST`; a `title` in
`Meta` replaces the description of what is expected in messages.
"""

from __future__ import annotations

import abc
import dataclasses
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, inspect

from mnas.errors import InputError

WIDEST = 10**12  # of a number without bounds of its own
LONGEST = 4096  # characters of a text without bounds of its own

Kind = TypeVar("Kind")
_TEXT = Meta(max_length=LONGEST, pattern=r"\A[^\0]*\Z", title=f"text of at most {LONGEST} characters, none of them NUL")
Number = int | float  # an int stays one: in a `float` it becomes 5.0
Share = Annotated[int, Meta(ge=0, le=1)] | Annotated[float, Meta(ge=0, le=1)]
AnyText = Annotated[str, Meta(max_length=1 << 30)]

Strict = Callable[[Any], Any]  # from a type to the one that values must fit, see `_document` and `_instance`
_SIZED: dict[type, tuple[str, str, str]] = {
    inspect.StrType: ("text", "of", " characters"),
    inspect.ListType: ("a list", "of", ""),
    inspect.VarTupleType: ("a list", "of", ""),
    inspect.DictType: ("an object", "with", " entries"),
}
_NAMES: dict[type, str] = {inspect.BoolType: "true or false", inspect.StructType: "an object"}
# Where msgspec says that an error is: " - at `key` in `$.tables[2].entries[...]`".
_PLACE = re.compile(r" - at (?:(?P<key>`key`) in )?`\$(?P<path>[^`]*)`$")
_STEP = re.compile(r"\.\w+|\[[^]]*\]")


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


def check_flag(name: str, value: Any) -> None:
    """Refuse anything but true or false.

    Raises:
        InputError: with the field's name and the value.
    """
    if type(value) is not bool:
        raise InputError(f"{name} is {shown(value)}: expected true or false")


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
    """Make a checked record from plain data, as JSON and TOML give it.

    Unknown fields are refused in dataclasses, and in structs with `forbid_unknown_fields`. A number for a `float`
    becomes one; where 5 has to stay 5, declare `Number`, or a union of `Annotated` ranges as in `Share`.

    Args:
        document: plain data.
        kind: a `msgspec.Struct`, a dataclass, or any type made of them, such as `dict[str, Entry]`.
        where: what the document is, for messages: a file's path, or "the latency table"; empty if the caller adds it.

    Raises:
        InputError: for the first value that does not fit: its place, the value and what was expected.
    """
    try:
        msgspec.convert(document, _document(typing.cast(Any, kind)))
        return msgspec.convert(document, kind)
    except UnicodeEncodeError as error:  # in a field's name, which JSON escapes can make of half a surrogate pair
        raise InputError(f"{where or 'it'} has unknown fields {ascii(error.object)[1:-1]}") from None
    except msgspec.ValidationError as error:
        raise InputError(_explain(error, document, kind, where, _document)) from None


def check_fields(record: Any) -> None:
    """Check the values of a record, a `msgspec.Struct` or a dataclass, against its annotations.

    Call it in `__post_init__`. A field that holds records must hold instances of them, not plain data.

    Raises:
        InputError: for the first value that does not fit: the field's name, the value and what was expected.
    """
    kind: Any = type(record)
    for name, (hint, _) in _fields(kind).items():
        value = getattr(record, name)
        try:
            msgspec.convert(value, _instance(hint))
        except msgspec.ValidationError as error:
            raise InputError(_explain(error, value, hint, "", _instance, name)) from None


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and (issubclass(kind, msgspec.Struct) or dataclasses.is_dataclass(kind))


@cache
def _fields(kind: Any) -> dict[str, tuple[Any, bool]]:
    """Annotation and whether it is required, by the name of every field of a record's `__init__`."""
    hints = typing.get_type_hints(kind, include_extras=True)
    if issubclass(kind, msgspec.Struct):
        return {field.name: (hints[field.name], field.required) for field in msgspec.structs.fields(kind)}
    missing = dataclasses.MISSING
    return {
        field.name: (hints[field.name], field.default is missing and field.default_factory is missing)
        for field in dataclasses.fields(kind)
        if field.init
    }


@cache
def _document(kind: Any) -> Any:
    """The type that plain data must fit: `kind` with bounds everywhere, and closed dataclasses."""
    if not _is_record(kind):
        return _bounded(kind, _document)
    fields = [
        (name, _document(hint)) if required else (name, _document(hint), None)
        for name, (hint, required) in _fields(kind).items()
    ]
    closed = not issubclass(kind, msgspec.Struct) or kind.__struct_config__.forbid_unknown_fields
    return msgspec.defstruct(kind.__name__, fields, forbid_unknown_fields=closed, kw_only=True)


@cache
def _instance(kind: Any) -> Any:
    """The type that the value of an attribute must fit: only instances of records, no plain data."""
    if not _is_record(kind):
        return _bounded(kind, _instance)
    stand_in = abc.ABCMeta(kind.__name__, (), {})  # msgspec checks a class that it does not know by isinstance
    stand_in.register(kind)
    return stand_in


def _bounded(kind: Any, strict: Strict) -> Any:
    """A type with bounds for bare numbers and texts, and its parts made strict."""
    inner = _bare(kind)
    metas = [meta for meta in getattr(kind, "__metadata__", ()) if isinstance(meta, Meta)]
    if _is_union(inner):
        inner = typing.Union[tuple(map(strict, typing.get_args(inner)))]  # noqa: UP007
    elif typing.get_origin(inner) not in (None, typing.Literal):
        parts = tuple(part if part is ... else strict(part) for part in typing.get_args(inner))
        inner = typing.get_origin(inner)[parts]  # type: ignore[index]
    elif inner in (int, float):
        low = [] if any(meta.ge is not None or meta.gt is not None for meta in metas) else [Meta(ge=-WIDEST)]
        high = [] if any(meta.le is not None or meta.lt is not None for meta in metas) else [Meta(le=WIDEST)]
        metas += low + high
    elif inner is str and not any(meta.max_length or meta.pattern for meta in metas):
        metas.append(_TEXT)
    elif _is_record(inner):
        inner = strict(inner)
    return Annotated[(inner, *metas)] if metas else inner


def _bare(kind: Any) -> Any:
    return kind.__origin__ if typing.get_origin(kind) is Annotated else kind


def _is_union(kind: Any) -> bool:
    return typing.get_origin(kind) in (typing.Union, types.UnionType)


def _members(kind: Any) -> list[Any]:
    """The members of a union, without None; of any other type itself."""
    bare = _bare(kind)
    return [arg for arg in typing.get_args(bare) if arg is not types.NoneType] if _is_union(bare) else [kind]


def _explain(error: Exception, value: Any, kind: Any, where: str, strict: Strict, path: str = "") -> str:
    """Put msgspec's error about a value as a sentence: the place, which the error names, what is there, what may be."""
    place = _PLACE.search(str(error))
    for step in [*_STEP.findall(place["path"]), *filter(None, [place["key"]])] if place else ():
        kind = _part(kind, step)
        if step == "`key`":
            return _explain_first([(f"a key of {path or 'it'}", key) for key in value], kind, where, strict)
        if step == "[...]":  # of a dict, whose key msgspec does not name
            parts = [(f"{path}[{shown(key)}]", each) for key, each in value.items()]
            return _explain_first(parts, kind, where, strict)
        value = value[step[1:] if step[0] == "." else int(step[1:-1])]
        path = f"{path}{step}".lstrip(".")
    if error.__cause__ is not None:  # from the record's own __post_init__
        return ": ".join(filter(None, (where, path, str(error.__cause__))))
    subject = f"{where}: {path}" if where and path else where or path or "it"
    record = next(filter(_is_record, map(_bare, _members(kind))), None)
    if record is not None and isinstance(value, dict):
        fields = _fields(record)
        if unknown := [repr(str(name))[1:-1] for name in value if name not in fields]:
            return f"{subject} has unknown fields {', '.join(sorted(unknown))[:200]}; known are {', '.join(fields)}"
        if missing := [name for name, (_, required) in fields.items() if required and name not in value]:
            return f"{subject} lacks {', '.join(missing)}"
    return f"{subject} is {shown(value)}: expected {_describe(strict(kind))}"


def _explain_first(parts: list[tuple[str, Any]], kind: Any, where: str, strict: Strict) -> str:
    """As `_explain`, for the first of several values of one type that does not fit."""
    for path, value in parts:
        try:
            msgspec.convert(value, strict(kind))
            msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            return _explain(error, value, kind, where, strict, path)
    raise AssertionError("every value fits")


def _part(kind: Any, step: str) -> Any:
    """The annotation of a part of a type: a field `.name`, an element `[0]`, a dict's values `[...]` or its `key`."""
    for member in map(_bare, _members(kind)):
        origin, args = typing.get_origin(member), typing.get_args(member)
        if _is_record(member) and step[0] != "[":
            return _fields(member)[step[1:]][0] if step[0] == "." else str
        if origin in (dict, Mapping) and step in ("[...]", "`key`"):
            return args[step == "[...]"]
        if origin in (list, tuple, Sequence) and step not in ("[...]", "`key`"):
            return args[0] if len(args) == 1 or args[1] is ... else args[int(step[1:-1])]
    raise AssertionError(f"{kind} has no {step}")


def _describe(kind: Any) -> str:
    """What a type accepts, in words."""
    info: Any = inspect.type_info(kind)
    if isinstance(info, inspect.Metadata):
        if title := (info.extra_json_schema or {}).get("title"):
            return str(title)
        info = info.type
    members = _members(kind)
    if isinstance(info, inspect.UnionType):
        if float in map(_bare, members):
            members = [member for member in members if _bare(member) is not int]
        return " or ".join(dict.fromkeys(map(_describe, members)))
    if isinstance(info, inspect.IntType | inspect.FloatType):
        form = "d" if isinstance(info, inspect.IntType) else "g"
        limits = {"from": info.ge, "above": info.gt, "to": info.le, "below": info.lt}
        words = (f" {word} {limit:{form}}" for word, limit in limits.items() if limit is not None)
        return f"a{' whole' if form == 'd' else ''} number{''.join(words)}"
    if isinstance(info, inspect.LiteralType):
        return f"one of {', '.join(map(str, typing.get_args(_bare(kind))))}"
    if isinstance(info, inspect.TupleType):
        return f"a list of {len(info.item_types)}"
    if type(info) in _SIZED:
        what, of, unit = _SIZED[type(info)]
        least, most = info.min_length or 0, info.max_length
        if not least and most is None:
            return what
        return f"{what} {of} {f'at least {least}' if most is None else f'{least} to {most}'}{unit}"
    return _NAMES.get(type(info)) or f"a {getattr(_bare(kind), '__name__', kind)}"
