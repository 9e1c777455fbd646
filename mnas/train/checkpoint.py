"""Checkpoints that know what they are of: arrays beside a description, refused where the description differs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.errors import InputError, MnasError
from mnas.files import parse_json

Arrays = Mapping[str, npt.NDArray[Any]]
_DESCRIPTION = "made_of"


def write_checkpoint(path: Path, made_of: Mapping[str, Any], arrays: Arrays) -> None:
    """Write arrays and what they were made of, whole or not at all: numbers and JSON, nothing that could run.

    Raises:
        MnasError: if it cannot be written; what was there before is untouched.
    """
    from mnas.train.trained import write_arrays

    text = json.dumps(made_of, sort_keys=True).encode()
    write_arrays(path, {_DESCRIPTION: np.frombuffer(text, np.uint8), **arrays})


def read_checkpoint(path: Path, made_of: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    """Read what `write_checkpoint` wrote.

    Args:
        path: the file.
        made_of: what it must have been made of.
        shapes: of the arrays that must be in it.

    Raises:
        MnasError: if it is damaged or something else.
        InputError: if it was made of something else; it names the first part that differs.
    """
    from mnas.train.trained import read_arrays

    try:
        arrays = read_arrays(path)
    except MnasError as error:
        raise MnasError(f"{path} is no supernet's checkpoint, or a damaged one ({error})") from None
    try:
        found = dict(parse_json(arrays[_DESCRIPTION].tobytes()))
    except (KeyError, ValueError, TypeError, RecursionError):
        raise MnasError(f"{path} is no supernet's checkpoint") from None
    for name, value in made_of.items():
        if found.get(name) != value:
            raise InputError(
                f"the supernet in {path} was trained for another {name}: delete the file to train anew, or search "
                "with what it was trained for"
            )
    if any(name not in arrays or arrays[name].shape != shape for name, shape in shapes.items()):
        raise MnasError(f"{path} is a damaged checkpoint of a supernet")
    return arrays
