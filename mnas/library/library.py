"""A block library on disk: library.json, space.toml, teacher/, and one file per alternative in blocks/."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from msgspec import Meta, Struct

from mnas.arch.codec import architecture_to_dict
from mnas.checks import AnyText, convert
from mnas.errors import InputError
from mnas.library.alternatives import Alternative, read_alternative
from mnas.library.options import LibraryOptions
from mnas.space.space import SearchSpace
from mnas.system.files import is_document, read_json, write_json
from mnas.system.permissions import names_what_is_not_permitted
from mnas.train.trained_network import Trained, is_trained, open_trained

FORMAT, VERSION = "mnas.library", 1
MANIFEST = "library.json"
SPACE = "space.toml"
TEACHER = "teacher"
_Loss = Annotated[float, Meta(ge=0, le=1e308)] | Annotated[int, Meta(ge=0, le=10**18)]


class Manifest(Struct, frozen=True):
    """library.json; it has more fields. None among the losses stands for an alternative that is missing."""

    made_from: dict[str, dict[str, Any]]
    losses: tuple[tuple[_Loss | None, ...], ...]


class _Teacher(Struct, frozen=True):
    weights_sha256: AnyText


class _Data(Struct, frozen=True):
    name: AnyText
    fingerprint: AnyText
    labels_sha256: AnyText | None = None


class _MadeFrom(Struct, frozen=True):
    """What is read of `Manifest.made_from`; it has more."""

    teacher: _Teacher
    data: _Data
    space: dict[str, Any]
    options: LibraryOptions


@dataclass(frozen=True, eq=False)
class BlockLibrary:
    """A finished library. Open one with `open_library`.

    Attributes:
        folder: its path.
        made_from: plain data that decide everything in it: teacher, data, space, recipe.
        losses: for each stage of the space the loss of each alternative; see `Alternative`.
    """

    folder: Path
    made_from: Mapping[str, Any]
    losses: Sequence[npt.NDArray[np.float64]]

    @cached_property
    def space(self) -> SearchSpace:
        """The space that its alternatives are of."""
        return SearchSpace.from_dict(self.made_from["space"])

    @cached_property
    def teacher(self) -> Trained:
        """The teacher, a copy of which is in the library.

        Raises:
            InputError: if the copy is missing or damaged.
        """
        if not is_trained(self.folder / TEACHER):
            raise InputError(
                f"{self.folder / TEACHER} holds no teacher: copy the whole library, or run mnas library build again"
            )
        return open_trained(self.folder / TEACHER)

    @property
    def fingerprint(self) -> str:
        """A hash of what it was made from."""
        return fingerprint_of(self.made_from)

    def alternative(self, stage: int, choice: int) -> Alternative:
        """Return an alternative with its weights; those read before are kept in memory.

        Raises:
            MnasError: if its file is missing, damaged, or of another library.
        """
        place = stage, choice
        if place not in self._read:
            self._read[place] = read_alternative(self.folder, stage, choice, self.fingerprint)
        return self._read[place]

    @cached_property
    def _read(self) -> dict[tuple[int, int], Alternative]:
        return {}


def fingerprint_of(made_from: Mapping[str, Any]) -> str:
    """Return a hash of plain data."""
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


@names_what_is_not_permitted
def open_library(folder: Path | str) -> BlockLibrary:
    """Open a finished library.

    Raises:
        InputError: if it is none, or unfinished.
    """
    folder = Path(folder)
    document = read_manifest(folder)
    if document is None:
        raise InputError(f"{folder} is not a block library ({MANIFEST} is missing): make one with mnas library build")
    library = BlockLibrary(folder, document.made_from, [np.array(row, np.float64) for row in document.losses])
    missing = sum(loss is None for row in document.losses for loss in row)
    if missing:
        raise InputError(
            f"the library {folder} is not finished, {missing} alternatives are missing: run the same mnas library build"
        )
    counts = [len(decision.choices) for decision in library.space.decisions[: len(library.space.stages)]]
    if [len(row) for row in document.losses] != counts:
        raise InputError(f"{folder / MANIFEST} is damaged: its losses do not belong to its space; build it again")
    return library


def read_manifest(folder: Path) -> Manifest | None:
    """Read library.json; None if there is none.

    Raises:
        InputError: if it is damaged, or of another version of mnas.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return None
    document = read_json(path, "a block library")
    if not is_document(document, FORMAT, VERSION):
        raise InputError(f"{path} is not a block library of this version of mnas")
    try:
        found = convert(document, Manifest, "")
        convert(found.made_from, _MadeFrom, "made_from")
        SearchSpace.from_dict(found.made_from["space"])
    except InputError as error:
        raise InputError(f"{path} is damaged: {error}; delete {folder} and build the library again") from None
    return found


def write_manifest(
    folder: Path, made_from: Mapping[str, Any], losses: Sequence[Sequence[float | None]], made_with: Mapping[str, Any]
) -> None:
    """Write library.json, whole or not at all; None among the losses stands for an alternative that is missing."""
    header = {"format": FORMAT, "version": VERSION, "made_from": made_from}
    write_json(folder / MANIFEST, {**header, "losses": [list(row) for row in losses], "made_with": made_with})


def describe_teacher(teacher: Trained, sha256: str) -> dict[str, Any]:
    """Return plain data that identify a teacher."""
    return {
        "architecture": architecture_to_dict(teacher.architecture),
        "class_names": list(teacher.training["class_names"]),
        "weights_sha256": sha256,
    }
