"""Plugins: objects named as `module:attribute`, or by an entry point of an installed package."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from mnas.errors import InputError

PREFIX = "python:"


def load_named(text: str, group: str) -> Any:
    """Load the object named by `python:MODULE:ATTRIBUTE` or by an entry point.

    Modules after `python:` are also looked for in the current folder, where a user's own file may be.

    Args:
        text: e.g. `python:judge:accuracy`, or `mine` for an entry point of that name.
        group: the group of entry points, e.g. `mnas.evaluators`.

    Raises:
        InputError: if it does not exist, or its module cannot be imported; the message has the reason.
    """
    if not text.startswith(PREFIX):
        for entry in entry_points(group=group, name=text):
            return _imported(entry.value, text)
        raise InputError(f"no installed package has the entry point {text!r} in the group {group}")
    if "" not in sys.path:
        sys.path.insert(0, "")  # the installed program has its own folder there instead
    return _imported(text.removeprefix(PREFIX), text)


def entry_point_names(group: str) -> tuple[str, ...]:
    """Return the names of the entry points in a group."""
    return tuple(sorted({entry.name for entry in entry_points(group=group)}))


def is_user_defined(text: str, group: str) -> bool:
    """Whether a name refers to a plugin."""
    return text.startswith(PREFIX) or text in entry_point_names(group)


def _imported(target: str, text: str) -> Any:
    module, _, attribute = target.partition(":")
    if not module or not attribute:
        raise InputError(f"{text!r}: expected {PREFIX}MODULE:ATTRIBUTE, such as {PREFIX}my_evaluator:accuracy")
    try:
        found = import_module(module)  # pkgutil.resolve_name would refuse a file called my-evaluator.py
    except Exception as error:  # a user's module may raise anything
        raise InputError(f"cannot import {module} for {text!r}: {type(error).__name__}: {error}") from error
    if not hasattr(found, attribute):
        raise InputError(f"the module {module} has no {attribute!r}, which {text!r} needs")
    return getattr(found, attribute)
