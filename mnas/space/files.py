"""Spaces as TOML files: the shipped ones by name, others by path.

A file has the fixed fields at its top, a `[choices]` table with the choices for every stage, and one `[[stages]]` table
per stage with its stride and the choices that differ, or with only a list of `blocks` to choose from.
"""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from msgspec import defstruct

from mnas.checks import convert
from mnas.errors import InputError
from mnas.space.space import SearchSpace
from mnas.space.stages import FIELDS, Stage, StageBlocks, StageChoices
from mnas.system.files import decode_text, read_bytes, shorten, write_atomically

if sys.version_info >= (3, 11):
    import tomllib as tomllib
else:
    import tomli as tomllib

_FOLDER = Path(__file__).parent
SPACES = tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))
_Choices = defstruct(
    "_Choices", [(name, Any, None) for name in (*FIELDS, "activation", "hard_se")], forbid_unknown_fields=True
)
_Document = defstruct(
    "_Document",
    [
        ("name", str),
        ("stages", list[dict[str, Any]], []),
        ("choices", _Choices, None),
        *((field.name, Any, None) for field in fields(SearchSpace) if field.name not in ("name", "stages")),
    ],
    forbid_unknown_fields=True,
)


def load_space(name: str) -> SearchSpace:
    """Load a shipped space by name (`mnasnet`, `mnasnet-32`), or a TOML file by path.

    Raises:
        InputError: for an unknown name, an unreadable file, or a file that is not a space.
    """
    path = _FOLDER / f"{name}.toml" if name in SPACES else Path(name)
    if name not in SPACES and path.suffix != ".toml":
        raise InputError(f"unknown space {name!r}: expected one of {', '.join(SPACES)}, or a .toml file")
    try:
        data = tomllib.loads(decode_text(read_bytes(path, "a search space", most=1 << 20)))
    except InputError:
        raise
    except (ValueError, RecursionError) as error:  # TOML and UTF-8 errors both
        raise InputError(f"{name} is not a TOML file: {shorten(str(error))}") from None
    try:
        return _space(data)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def save_space(space: SearchSpace, path: Path | str) -> None:
    """Write a space as TOML, atomically; `load_space` reads it back equal.

    Raises:
        InputError: if the file's name does not end with .toml.
        MnasError: if it cannot be written.
    """
    if Path(path).suffix != ".toml":
        raise InputError(f"{path}: expected a name that ends with .toml, as load_space needs one")
    write_atomically(path, space_to_toml(space))


def space_to_toml(space: SearchSpace) -> str:
    """Return the text of a space's file."""
    fixed = space.to_dict()
    stages = fixed.pop("stages")
    if space.resolutions:
        del fixed["resolution"]  # the largest of them
    lines = [f"{name} = {_toml(value)}" for name, value in fixed.items()]
    for stage in stages:
        lines += ["", "[[stages]]", *(f"{name} = {_toml(value)}" for name, value in stage.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """A value as TOML writes it, which is as JSON does; blocks have a line each."""
    if isinstance(value, list) and isinstance(value[0], str):
        return "".join(["[\n", *(f"    {_toml(each)},\n" for each in value), "]"])
    return json.dumps(value, ensure_ascii=False)


def _space(data: dict[str, Any]) -> SearchSpace:
    convert(data, _Document, "the space")
    sizes = data.get("resolutions")
    if sizes and "resolution" in data and isinstance(sizes, list) and data["resolution"] not in sizes:
        raise InputError(f"resolution is {data['resolution']!r} and resolutions is {sizes}: leave resolution out")
    shared, stages = data.pop("choices", {}), data.pop("stages", [])
    return SearchSpace(stages=tuple(_stage(number, stage, shared) for number, stage in enumerate(stages, 1)), **data)


def _stage(number: int, own: dict[str, Any], shared: dict[str, Any]) -> Stage:
    if "blocks" in own:
        return convert(own, StageBlocks, f"stage {number}")
    return convert({**shared, **own}, StageChoices, f"stage {number}")
