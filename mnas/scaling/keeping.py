"""Whether a scaling keeps the weights of its base: as it was asked to, or wherever it can."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mnas.arch.spec import Architecture
from mnas.errors import InputError, MnasError
from mnas.scaling.grow import kept_depths
from mnas.scaling.kept import KeptWeights, find_weights

Found = TypeVar("Found")
Named = list[tuple[str, Architecture]]


def choose_weights(base: str, keep: bool | None, out: Path | None, *, grid: bool, seed: int) -> KeptWeights | None:
    """Return the weights to keep; None for none.

    Args:
        base: the reference of the network that is scaled.
        keep: whether to keep weights; None for keeping them if there are some and there is a folder to write them to.
        out: where the result goes.
        grid: whether the result is that of a grid, which trains from the weights and writes none.
        seed: of the grown weights.

    Raises:
        InputError: if they are to be kept, and there are none or `out` is no folder.
    """
    if keep is False:
        return None
    is_file = out is not None and (out.suffix == ".json" or out.is_file())
    if keep is None and not grid and (out is None or is_file):
        return None
    if keep and not grid and out is not None and is_file:
        raise InputError(f"--out is {out}: --keep-weights writes a folder, such as {out.with_suffix('')}")
    trained = find_weights(base)
    if trained is not None:
        return KeptWeights(trained, seed)
    if keep:
        raise InputError(
            f"--keep-weights needs weights, and {base} has none: expected a folder that mnas train wrote, or a study "
            "whose winner is trained"
        )
    return None


def keep_if_possible(
    prepare: Callable[[KeptWeights | None], Found], kept: KeptWeights | None, *, required: bool
) -> tuple[Found, KeptWeights | None, list[str]]:
    """Call a function with weights, or without them if they cannot be kept and need not be.

    Returns:
        What the function returned, the weights that it was called with, and the reason if they are not kept.
    """
    if kept is not None:
        try:
            return prepare(kept), kept, []
        except MnasError as error:
            if required:
                raise
            return prepare(None), None, [f"New weights, not those of {kept.trained.folder}: {error}."]
    return prepare(None), None, []


def fit_all(networks: Named, kept: KeptWeights | None) -> tuple[Named, list[str]]:
    """Return the networks in the form that can begin with the weights, and a note about each whose depth differs."""
    if kept is None:
        return networks, []
    notes = []
    for name, wanted in networks:
        stages = kept_depths(kept.trained.architecture, wanted)
        if stages:
            numbers = ", ".join(map(str, stages))
            notes.append(
                f"{name}: the depth of stage {numbers} is kept, as blocks without a skip connection cannot begin as "
                "the identity."
            )
    return [(name, kept.fit(wanted)) for name, wanted in networks], notes
