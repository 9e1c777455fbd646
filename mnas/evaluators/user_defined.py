"""A user's own evaluator: a function from an architecture to an accuracy, or a subclass of `Evaluator`.

In a file `judge.py` beside the study, for `mnas search --evaluator python:judge:accuracy`:

    def accuracy(architecture):
        model = build_model(architecture)
        ...
        return share_of_correct_validation_images
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from mnas.arch.spec import Architecture
from mnas.errors import InputError
from mnas.evaluators.base import Evaluator
from mnas.evaluators.registry import GROUP, EvaluatorRequest
from mnas.system.plugins import load_named


def make(request: EvaluatorRequest) -> Evaluator:
    """Make the evaluator of a search."""
    return user_defined_evaluator(request.name)


def user_defined_evaluator(name: str) -> Evaluator:
    """Load the evaluator that a user has written.

    Args:
        name: `python:MODULE:ATTRIBUTE`, or the name of an entry point in the group `mnas.evaluators`. The attribute is
            a function of an architecture, an evaluator, or a subclass of `Evaluator` without required arguments.

    Raises:
        InputError: if it cannot be imported, or is none of these.
    """
    found = load_named(name, GROUP)
    if isinstance(found, type):
        try:
            found = found()
        except Exception as error:  # a user's class may raise anything
            raise InputError(f"{name} cannot be made without arguments: {type(error).__name__}: {error}") from error
        if not isinstance(found, Evaluator):
            raise InputError(f"{name} is a class, but not a subclass of mnas.evaluators.base.Evaluator")
    if isinstance(found, Evaluator):
        return found
    if not callable(found) or not _takes_one(found):
        raise InputError(f"{name} is {found!r}: expected a function that takes an architecture and returns an accuracy")
    return FunctionEvaluator(name, found)


class FunctionEvaluator(Evaluator):
    """A function as an evaluator.

    Args:
        name: for the study file.
        function: from an architecture to an accuracy between 0 and 1.
    """

    def __init__(self, name: str, function: Callable[[Architecture], float]) -> None:
        self._name, self._function = name, function

    def accuracy(self, architecture: Architecture) -> float:
        """Return the function's result; if it raises, the trial fails."""
        return float(self._function(architecture))

    def describe(self) -> dict[str, Any]:
        """Return its name; a subclass of `Evaluator` can describe more."""
        return {"name": self._name}


def _takes_one(function: Any) -> bool:
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    except ValueError:  # a built-in function without a signature
        return True
    return True
