"""One alternative of a block library: its weights, its loss, and its file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mnas.errors import MnasError
from mnas.system.arrays import read_described_arrays, write_arrays


@dataclass(frozen=True, eq=False)
class Alternative:
    """A trained alternative.

    Attributes:
        stage: of the space, from 0.
        choice: index of the alternative in the stage's decision.
        arrays: layer by layer: kernel, gamma, beta, mean, variance, or kernel and bias; empty without operators.
        loss: squared error against the teacher's output on held-out images, over the output's variance: 0 for the
            teacher's own block, about 1 for a block that knows nothing.
        seconds: of its training; not kept in the file.
    """

    stage: int
    choice: int
    arrays: Sequence[npt.NDArray[np.float32]]
    loss: float
    seconds: float = 0.0


def alternative_path(folder: Path, stage: int, choice: int) -> Path:
    """Return the file of an alternative in a library."""
    return folder / "blocks" / f"stage{stage + 1:02d}-choice{choice:02d}.safetensors"


def write_alternative(folder: Path, alternative: Alternative, fingerprint: str) -> None:
    """Write an alternative into a library, whole or not at all.

    Args:
        folder: the library's.
        alternative: what to write.
        fingerprint: of the library, so that a file of another one is noticed.

    Raises:
        MnasError: if it cannot be written.
    """
    path = alternative_path(folder, alternative.stage, alternative.choice)
    path.parent.mkdir(parents=True, exist_ok=True)
    description = {"library": fingerprint, "loss": alternative.loss}
    write_arrays(path, {f"{n:04d}": array for n, array in enumerate(alternative.arrays)}, description)


def read_alternative(folder: Path, stage: int, choice: int, fingerprint: str) -> Alternative:
    """Read an alternative.

    Raises:
        MnasError: if its file is missing, damaged, or of another library.
    """
    path = alternative_path(folder, stage, choice)
    arrays, description = read_described_arrays(path)
    loss = description.get("loss")
    if description.get("library") != fingerprint or not isinstance(loss, int | float) or not 0 <= loss < float("inf"):
        raise MnasError(f"{path} belongs to another library: delete it and build the library again")
    return Alternative(stage, choice, list(arrays.values()), float(loss))
