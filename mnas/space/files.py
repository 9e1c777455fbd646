"""Spaces as TOML files: the shipped ones by name, a user's own by path.

A file has the fixed fields at its top, a `[choices]` table with what holds for every stage, and one `[[stages]]`
table a stage with its stride and whatever differs, or with nothing but a list of `blocks` to choose one from.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from mnas.checks import convert
from mnas.errors import InputError
from mnas.space.space import SearchSpace
from mnas.space.stages import FIELDS, Stage, StageBlocks, StageChoices
from mnas.system.files import read_bytes, shorten

if sys.version_info >= (3, 11):
    import tomllib as tomllib
else:
    import tomli as tomllib

_FOLDER = Path(__file__).parent
SPACES = tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))
_TOP = (
    "name",
    "resolution",
    "num_classes",
    "activation",
    "dropout",
    "stem_filters",
    "stem_stride",
    "head_filters",
)


def load_space(name: str) -> SearchSpace:
    """A shipped space by name (`mnasnet`, `mnasnet-32`), or a TOML file by path.

    Raises:
        InputError: for an unknown name, an unreadable file, or a file that is no space.
    """
    path = _FOLDER / f"{name}.toml" if name in SPACES else Path(name)
    if name not in SPACES and path.suffix != ".toml":
        raise InputError(f"no space is called {name!r}: expected one of {', '.join(SPACES)}, or a .toml file")
    try:
        data = tomllib.loads(read_bytes(path, "a search space", most=1 << 20).decode("utf-8"))
    except InputError:
        raise
    except (ValueError, RecursionError) as error:  # TOML and UTF-8 errors both
        raise InputError(f"{name} is not a TOML file: {shorten(str(error))}") from None
    try:
        return _space(data)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def _space(data: dict[str, Any]) -> SearchSpace:
    shared, stages = data.pop("choices", {}), data.pop("stages", [])
    _refuse_unknown("the space", data, _TOP)
    _refuse_unknown("[choices]", shared, FIELDS)
    if "name" not in data:
        raise InputError('a space needs a name at its top: name = "mine"')
    if not isinstance(stages, list):
        raise InputError("stages: expected [[stages]] tables")
    return SearchSpace(stages=tuple(_stage(i, _table(s), shared) for i, s in enumerate(stages, 1)), **data)


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"expected a table; got {str(value)[:60]!r}")
    return value


def _refuse_unknown(where: str, data: Any, known: tuple[str, ...]) -> None:
    unknown = sorted(set(_table(data)) - set(known))
    if unknown:
        raise InputError(f"{where} has unknown fields {', '.join(unknown)}; known are {', '.join(known)}")


def _stage(number: int, own: dict[str, Any], shared: dict[str, Any]) -> Stage:
    if "blocks" in own:
        return convert(own, StageBlocks, f"stage {number}")
    return convert({**shared, **own}, StageChoices, f"stage {number}")
