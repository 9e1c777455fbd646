"""Initial weights of an alternative, taken from the teacher's block that it replaces.

The centre of a larger kernel, zeros around a smaller one; of the middle channels those whose projections weigh most
(|projection| x |gamma|), as in channel pruning.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt

from mnas.arch.complexity import layer_complexity
from mnas.arch.walk import Layer, PlacedBlock, layers
from mnas.nn.initial import draw_layer

Array = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]


def transfer_weights(
    teacher: PlacedBlock, arrays: Sequence[Array], alternative: PlacedBlock, rng: np.random.Generator
) -> list[Array]:
    """Return an alternative's initial arrays.

    Args:
        teacher: the block that is replaced.
        arrays: its arrays, layer by layer: kernel, gamma, beta, mean, variance, or kernel and bias.
        alternative: a block with the same input and output.
        rng: draws what the teacher's block has no counterpart of.

    Returns:
        The arrays of the alternative's layers in the same order.
    """
    known = _by_role(layers(teacher), arrays)
    middle = _middle_channels(known, alternative)
    found: list[Array] = []
    for layer in layers(alternative):
        if layer_complexity(layer).params:
            found += _layer(layer, known.get(layer.role), middle, rng)
    return found


def _by_role(own: Sequence[Layer], arrays: Sequence[Array]) -> dict[str, list[Array]]:
    given = iter(arrays)
    weighted = [layer for layer in own if layer_complexity(layer).params]
    return {layer.role: list(islice(given, 5 if layer.norm else 2)) for layer in weighted}


def _middle_channels(known: dict[str, list[Array]], alternative: PlacedBlock) -> Indices | None:
    """The teacher's middle channels to keep, in their order; -1 for further ones, which are drawn; None without any."""
    wanted = next((layer.in_filters for layer in layers(alternative) if layer.role == "project"), None)
    if wanted is None:
        return None
    if "project" not in known:
        return np.full(wanted, -1, np.intp)
    gamma = known["depthwise" if "depthwise" in known else "expand"][1]  # of the middle channels' last norm
    weight = np.abs(known["project"][0][0, 0]).sum(axis=1) * np.abs(gamma)
    kept = np.sort(np.argsort(-weight, kind="stable")[:wanted])
    return np.concatenate([kept, np.full(wanted - len(kept), -1, np.intp)]).astype(np.intp)


def _layer(layer: Layer, known: list[Array] | None, middle: Indices | None, rng: np.random.Generator) -> list[Array]:
    fresh = draw_layer(layer, rng)
    if known is None:
        return fresh
    # A hard squeeze-and-excitation is narrower in a narrower block.
    rows, columns = (_first(known[0].shape[axis], fresh[0].shape[axis]) for axis in (2, 3))
    if middle is not None and layer.role in ("expand", "se_expand"):
        columns = middle
    if middle is not None and layer.role in ("project", "se_reduce", "depthwise"):
        rows = middle
    _copy_kernel(fresh[0], known[0], rows, columns)
    per_filter = rows if layer.kind == "depthwise" else columns
    for array, own in zip(fresh[1:], known[1:], strict=True):
        used = per_filter >= 0
        array[used] = own[per_filter[used]]
    if middle is not None and layer.role == "project":
        fresh[0][:, :, middle < 0, :] = 0  # drawn channels start without influence
    return fresh


def _first(known: int, wanted: int) -> Indices:
    """The first known channels; -1 for further ones."""
    indices = np.arange(wanted, dtype=np.intp)
    return np.where(indices < known, indices, -1)


def _copy_kernel(kernel: Array, known: Array, rows: Indices, columns: Indices) -> None:
    """Copy the centre of a known kernel (side, side, in, out) for the chosen channels; around it is 0."""
    side = min(kernel.shape[0], known.shape[0])
    to, of = (kernel.shape[0] - side) // 2, (known.shape[0] - side) // 2
    used = np.ix_(np.flatnonzero(rows >= 0), np.flatnonzero(columns >= 0))
    chosen = np.ix_(rows[rows >= 0], columns[columns >= 0])
    for row in range(kernel.shape[0]):
        for column in range(kernel.shape[1]):
            kernel[row, column][used] = 0
    for row in range(side):
        for column in range(side):
            kernel[to + row, to + column][used] = known[of + row, of + column][chosen]
