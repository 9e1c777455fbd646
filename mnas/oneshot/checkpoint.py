"""Checkpoints that know what they are of: arrays beside a description, refused where the description differs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnas.errors import InputError, MnasError
from mnas.system.arrays import Arrays, read_described_arrays


def read_checkpoint(path: Path, made_of: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    """Read arrays that were written with a description of what they were made of.

    Args:
        path: the file.
        made_of: what it must have been made of.
        shapes: of the arrays that must be in it.

    Raises:
        MnasError: if it is damaged or something else.
        InputError: if it was made of something else; it names the first part that differs.
    """
    try:
        arrays, found = read_described_arrays(path)
    except MnasError as error:
        raise MnasError(f"{path} is no supernet's checkpoint, or a damaged one ({error})") from None
    if not found:
        raise MnasError(f"{path} is no supernet's checkpoint")
    for name, value in made_of.items():
        if found.get(name) != value:
            raise InputError(
                f"the supernet in {path} was trained for another {name}: delete the file to train anew, or search "
                "with what it was trained for"
            )
    if any(name not in arrays or arrays[name].shape != shape for name, shape in shapes.items()):
        raise MnasError(f"{path} is a damaged checkpoint of a supernet")
    return arrays
