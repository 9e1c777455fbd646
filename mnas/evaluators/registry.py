"""The evaluators, and what a search must know of one before it makes it: its data, preparation and options.

A new evaluator is one file with a `make` function and one entry here; `mnas.search.options` declares its options.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from mnas.errors import InputError
from mnas.system.plugins import PREFIX, is_user_defined

if TYPE_CHECKING:
    from mnas.arch.spec import Architecture
    from mnas.data.dataset import Dataset
    from mnas.evaluators.base import Evaluator
    from mnas.space.costs import SpaceCosts
    from mnas.space.space import SearchSpace

GROUP = "mnas.evaluators"  # of entry points
_TRAINING = ("seed", "proxy_steps", "proxy_batch", "augment")  # options of the short trainings


@dataclass(frozen=True, kw_only=True)
class EvaluatorEntry:
    """One evaluator.

    Attributes:
        make: `module:function`, from an `EvaluatorRequest` to the evaluator.
        options: the search options that it reads.
        trains: whether it trains networks here: it needs data and TensorFlow, and its finalists are trained longer.
        preparation: what it does once before the first candidate, in words. After that every candidate takes the same
            short time, so that workers and time limits do not apply. None for no preparation.
        any_resolution: whether it scores networks at several resolutions, if it trains: then a space may choose among
            several. Evaluators that do not train take all spaces.
        argument: what follows the colon in its name, for messages; None for nothing.
    """

    make: str
    options: tuple[str, ...] = ()
    trains: bool = False
    preparation: str | None = None
    any_resolution: bool = False
    argument: str | None = None


EVALUATORS = {
    "library": EvaluatorEntry(
        make="mnas.evaluators.library:make",
        options=("seed", "library", "data", "final_epochs", "distill", "class_weights", "augment"),
        trains=True,
        preparation="a block library is calibrated",
        any_resolution=True,
    ),
    "proxy": EvaluatorEntry(make="mnas.evaluators.proxy:make", options=(*_TRAINING, "rungs"), trains=True),
    "predictor": EvaluatorEntry(
        make="mnas.evaluators.predictor:make",
        options=(*_TRAINING, "rungs", "predictor_samples"),
        trains=True,
        preparation="a predictor is fitted",
    ),
    "tabular": EvaluatorEntry(make="mnas.evaluators.tabular:make", argument="FILE.json"),
}
INSTEAD_OF_SUPERNET = "use --evaluator library --teacher FOLDER, with a network that mnas train has trained"
_REMOVED = {
    "supernet": "the evaluator supernet was removed, because it did not rank candidates: "
    f"{INSTEAD_OF_SUPERNET}. Studies with a supernet can be reported, but not resumed or run again"
}
USER_DEFINED = EvaluatorEntry(make="mnas.evaluators.user_defined:make", argument="MODULE:FUNCTION")


@dataclass(frozen=True, kw_only=True)
class EvaluatorRequest:
    """The input of an evaluator's `make`.

    Attributes:
        name: as in the option, such as `proxy` or `tabular:FILE.json`.
        options: the values of the options that its entry names.
        space: the search space, with the data's number of classes.
        dataset: the training data; None for an evaluator that does not train.
        budgets: for each table, the latencies of the space in batches, and the budget in ms.
        is_feasible: whether an architecture meets every constraint, at no cost; None without constraints.
        folder: the study's, where preparations are kept; None keeps them in memory.
    """

    name: str
    options: Mapping[str, Any]
    space: SearchSpace
    dataset: Dataset | None = None
    budgets: Sequence[tuple[SpaceCosts, float]] = ()
    is_feasible: Callable[[Architecture], bool] | None = None
    folder: Path | None = None

    @property
    def argument(self) -> str:
        """The part of the name after the colon."""
        return self.name.partition(":")[2]

    @property
    def training_data(self) -> Dataset:
        """The dataset.

        Raises:
            InputError: if there is none.
        """
        if self.dataset is None:
            raise InputError(f"the evaluator {self.name} needs data")
        return self.dataset


def find_evaluator(name: str) -> EvaluatorEntry:
    """Return the entry of an evaluator.

    Raises:
        InputError: if the name is unknown or was removed, or its argument is missing.
    """
    kind, _, argument = name.partition(":")
    if name in _REMOVED:
        raise InputError(_REMOVED[name])
    entry = EVALUATORS.get(kind)
    if entry is not None and bool(argument) == (entry.argument is not None):
        return entry
    if entry is not None and entry.argument is not None:
        raise InputError(f"--evaluator {kind} needs its {entry.argument.partition('.')[0].lower()}: {_full(kind)}")
    if entry is None and is_user_defined(name, GROUP):
        return USER_DEFINED
    known = ", ".join(map(_full, EVALUATORS))
    raise InputError(f"unknown evaluator {name!r}: expected {known} or {PREFIX}{USER_DEFINED.argument}")


def _full(kind: str) -> str:
    argument = EVALUATORS[kind].argument
    return kind if argument is None else f"{kind}:{argument}"


def make_evaluator(request: EvaluatorRequest) -> Evaluator:
    """Make the evaluator of a request.

    Raises:
        InputError: if its options or data are wrong.
    """
    make: Callable[[EvaluatorRequest], Evaluator] = resolve_name(find_evaluator(request.name).make)
    return make(request)
