"""Files and folders without permission: Python only says that something is not permitted, from many calls."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from mnas.errors import InputError

_P = ParamSpec("_P")
_R = TypeVar("_R")


def names_what_is_not_permitted(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Decorate a function that works with a user's files so that it raises InputError instead of PermissionError."""

    @wraps(function)
    def called(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except PermissionError as error:
            what = error.filename or "a file"
            raise InputError(
                f"no permission for {what}: check the permissions of this file or folder and of those above it"
            ) from error

    return called
