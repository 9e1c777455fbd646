"""Files and folders among a study's arguments, such as `--table phone.json`, wherever the study is opened."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from mnas.arch.zoo import ZOO

PATHS = "paths"  # among the arguments: by option, its value with absolute paths in place of relative ones
# Others, and other values of these, are names: a folder that is called `library` or `train` is not what they mean.
_FILES = ("space", "table", "benchmark_binary", "evaluator")
_FOLDERS = ("teacher", "library")
_TEACHERS = (*ZOO, "train")


def absolute_paths(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options whose values are relative paths of files or folders here, with absolute ones."""
    found = {}
    for option in (*_FILES, *_FOLDERS):
        value: Any = arguments.get(option)
        absolute = [_absolute(option, each) for each in value] if _is_list(value) else _absolute(option, value)
        if absolute != (list(value) if _is_list(value) else value):
            found[option] = absolute
    return found


def find_paths(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments with absolute paths in place of relative ones that lead to nothing here."""
    kept = arguments.get(PATHS)
    found = dict(arguments)
    for option, absolute in kept.items() if isinstance(kept, dict) else ():
        value = found.get(option)
        if isinstance(value, list) and isinstance(absolute, list) and len(value) == len(absolute):
            found[option] = [_present(option, *pair) for pair in zip(value, absolute, strict=True)]
        elif isinstance(value, str):
            found[option] = _present(option, value, absolute)
    return found


def _absolute(option: str, value: Any) -> Any:
    if not isinstance(value, str) or os.path.isabs(_path(value)) or not _exists(option, value):
        return value
    return value.removesuffix(_path(value)) + os.path.abspath(_path(value))


def _present(option: str, value: Any, absolute: Any) -> Any:
    is_gone = isinstance(value, str) and isinstance(absolute, str) and not _exists(option, value)
    return absolute if is_gone and _exists(option, absolute) else value


def _exists(option: str, value: str) -> bool:
    if option in _FOLDERS:
        return os.path.isdir(value) and not (option == "teacher" and value in _TEACHERS)
    return os.path.isfile(_path(value))


def _path(value: str) -> str:
    """The file of `tabular:FILE.json`; else the value."""
    return value.removeprefix("tabular:")


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)
