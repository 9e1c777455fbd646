"""An evaluator that looks accuracies up in a file: a trial takes milliseconds."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, Struct

from mnas.arch.codec import format_stage, parse_stage
from mnas.arch.spec import Architecture
from mnas.checks import AnyText, Share, check_number, convert
from mnas.errors import InputError
from mnas.evaluators.base import Evaluator
from mnas.space.files import load_space
from mnas.system.files import is_document, read_json

if TYPE_CHECKING:
    from mnas.evaluators.registry import EvaluatorRequest

FORMAT = "mnas.accuracies"
VERSION = 1
_MACRO_LAYERS = 8


def make(request: EvaluatorRequest) -> TabularEvaluator:
    """Make the evaluator of a search, named `tabular:FILE.json`."""
    return TabularEvaluator(request.argument)


class _Document(Struct, frozen=True):
    accuracies: Annotated[dict[AnyText, Share], Meta(min_length=1)]


class TabularEvaluator(Evaluator):
    """Accuracies from a JSON file, by the architecture's stages: mnas's own format, or NAS-Bench-Macro's.

    The file has `{"format": "mnas.accuracies", "version": 1, "accuracies": {STAGES: ACCURACY}}` with STAGES as
    `stages_text` returns them, such as `ds_r1_k3_s1_c16|ir_r2_k3_s2_e6_c24`, and ACCURACY between 0 and 1.

    NAS-Bench-Macro's file is recognised by its content. Its accuracy is the mean of three trainings on CIFAR-10's test
    images: use it to benchmark search strategies, not to claim a test accuracy for a network.

    Args:
        path: the file.

    Raises:
        InputError: if the file has another format, or an accuracy is out of range.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._table: dict[str, float]
        document = read_json(self.path, "a table of accuracies")
        if is_macro(document):
            self._table = read_macro(document, str(path))
            return
        if not is_document(document, FORMAT, VERSION):
            raise InputError(f"{path} is not a table of accuracies: expected format {FORMAT!r}, version {VERSION}")
        table = convert(document, _Document, str(path)).accuracies
        for stages in table:
            if "|".join(map(_canonical, stages.split("|"))) != stages:
                raise InputError(f"{path}: {stages[:200]!r} is not in canonical form: no architecture would match it")
        self._table = table

    def accuracy(self, architecture: Architecture) -> float:
        """Return the accuracy in the file.

        Raises:
            InputError: if the file does not have this architecture.
        """
        stages = stages_text(architecture)
        if stages not in self._table:
            raise InputError(f"{self.path} has no accuracy for {stages}")
        return self._table[stages]

    def describe(self) -> dict[str, Any]:
        """The file's hash and size; its path may change."""
        digest = hashlib.sha256(self.path.read_bytes()).hexdigest()
        return {"name": "tabular", "sha256": digest, "num_architectures": len(self._table)}


@lru_cache(maxsize=100_000)
def _canonical(stage: str) -> str:
    return format_stage(parse_stage(stage))


def stages_text(architecture: Architecture) -> str:
    """Return the stages in canonical form, joined by `|`: the key in the file."""
    return "|".join(format_stage(stage) for stage in architecture.stages)


def is_macro(document: Any) -> bool:
    """Whether this is NAS-Bench-Macro's JSON: an object from eight digits to the results of that network."""
    if not isinstance(document, dict) or not document:
        return False
    name, entry = next(iter(document.items()))
    return len(name) == _MACRO_LAYERS and name.isdecimal() and isinstance(entry, dict) and "mean_acc" in entry


def read_macro(document: dict[str, Any], path: str) -> dict[str, float]:
    """Return accuracies between 0 and 1 by `stages_text`, from NAS-Bench-Macro's JSON; architectures may be missing.

    Raises:
        InputError: for a name that is not of the space, or an invalid accuracy; it names the entry.
    """
    space = load_space("nas-bench-macro")
    table = {}
    for name, entry in document.items():
        try:
            if not name.isascii():  # other scripts have digits too: one network under two names
                raise InputError("expected eight digits from 0 to 2")
            architecture = space.decode([int(digit) for digit in name])
            check_number("mean_acc", entry["mean_acc"], 0, 100)
        except (ValueError, KeyError, TypeError) as error:  # InputError is a ValueError
            raise InputError(f"{path}: {name[:40]!r} is not an entry of NAS-Bench-Macro: {error}") from None
        table[stages_text(architecture)] = entry["mean_acc"] / 100
    return table
