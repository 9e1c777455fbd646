"""Files and folders among a study's arguments, such as `--table phone.json`, wherever the study is opened."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

PATHS = "paths"  # among the arguments: the absolute paths of relative ones


def absolute_paths(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Return the absolute paths of values that are relative paths of files or folders here, by value."""
    found = {}
    for text in _texts(arguments):
        prefix, path = _split(text)
        if path and not os.path.isabs(path) and os.path.exists(path):
            found[text] = prefix + os.path.abspath(path)
    return found


def find_paths(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments with absolute paths in place of relative ones that lead to nothing here."""
    kept = arguments.get(PATHS)
    if not isinstance(kept, dict):
        return dict(arguments)

    def found(value: Any) -> Any:
        if isinstance(value, list):
            return [found(each) for each in value]
        path = kept.get(value) if isinstance(value, str) else None
        return path if isinstance(path, str) and not _exists(value) and _exists(path) else value

    return {name: value if name == PATHS else found(value) for name, value in arguments.items()}


def _texts(arguments: Mapping[str, Any]) -> list[str]:
    values = [each for value in arguments.values() for each in (value if isinstance(value, list | tuple) else [value])]
    return [value for value in values if isinstance(value, str)]


def _exists(text: str) -> bool:
    return os.path.exists(_split(text)[1])


def _split(text: str) -> tuple[str, str]:
    """Split `tabular:FILE.json` into `tabular:` and the file; other texts have no prefix."""
    prefix = "tabular:" if text.startswith("tabular:") else ""
    return prefix, text.removeprefix(prefix)
