"""An evaluator that looks accuracies up in a file: a search then costs milliseconds a trial."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from mnas.arch.codec import format_stage
from mnas.arch.spec import Architecture, check_number
from mnas.errors import InputError
from mnas.files import read_json
from mnas.train.base import Evaluator

FORMAT = "mnas.accuracies"
VERSION = 1


class TabularEvaluator(Evaluator):
    """Accuracies from a JSON file, by the architecture's stages.

    The file has `{"format": "mnas.accuracies", "version": 1, "accuracies": {STAGES: ACCURACY}}` with STAGES as
    `stages_text` gives them, such as `ds_r1_k3_s1_e1_c16|ir_r2_k3_s2_e6_c24`, and ACCURACY between 0 and 1.

    Args:
        path: the file.

    Raises:
        InputError: if it is no such file, or an accuracy is out of range.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        document = read_json(self.path, "a table of accuracies")
        if not isinstance(document, dict) or (document.get("format"), document.get("version")) != (FORMAT, VERSION):
            raise InputError(f"{path} is not a table of accuracies: expected format {FORMAT!r}, version {VERSION}")
        table = document.get("accuracies")
        if not isinstance(table, dict) or not table:
            raise InputError(f"{path} has no accuracies: expected an object from stages to numbers between 0 and 1")
        for stages, accuracy in table.items():
            check_number(f"{path}: the accuracy of {stages}", accuracy, 0, 1)
        self._table: dict[str, float] = table

    def accuracy(self, architecture: Architecture) -> float:
        """The accuracy in the file.

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


def stages_text(architecture: Architecture) -> str:
    """The stages in canonical form, joined by `|`: the key in the file."""
    return "|".join(format_stage(stage) for stage in architecture.stages)
