"""The teacher's activations: the inputs of one of its blocks, and what the block makes of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.arch.spec import Architecture
from mnas.data.dataset import normalise
from mnas.nn.functional import Network

_BYTES = 4  # of a float32


class TeacherNetwork:
    """A teacher as a chain of blocks with fixed weights and statistics.

    Args:
        architecture: of the teacher.
        arrays: in the order of `mnas.nn.build.get_layer_weights`.
    """

    def __init__(self, architecture: Architecture, arrays: Sequence[npt.NDArray[np.float32]]) -> None:
        self.architecture = architecture
        self.blocks = Network(architecture).blocks
        self.arrays: list[list[npt.NDArray[np.float32]]] = []
        given = list(arrays)
        for block in self.blocks:
            self.arrays.append(given[: block.num_arrays])
            del given[: block.num_arrays]
        self.vectors = [block.vectors(own) for block, own in zip(self.blocks, self.arrays, strict=True)]

    def run(self, place: int, x: Any) -> Any:
        """Return the output of its block number `place` (0 is the stem) for an input."""
        return self.blocks[place].infer(*self.vectors[place], x)


class Activations:
    """Inputs and outputs of one block at a time, in batches; a batch's are always the same numbers.

    Args:
        teacher: the network.
        batches: images as bytes, (batch, size, size, 3) each.
    """

    def __init__(self, teacher: TeacherNetwork, batches: Sequence[npt.NDArray[np.uint8]]) -> None:
        self._teacher, self._batches = teacher, batches
        self._place = 0
        self._inputs: dict[int, Any] = {}

    def hold(self, place: int, numbers: Iterable[int]) -> dict[int, tuple[Any, Any]]:
        """Compute and keep the inputs of a block; those that are kept already for an earlier block are continued.

        Args:
            place: number of the block in the network, from 1: the stem's input are the images.
            numbers: of the batches; others are dropped.

        Returns:
            Input and output by the batch's number.
        """
        wanted = dict.fromkeys(numbers)
        known = self._inputs if place >= self._place else {}
        self._inputs = {number: known[number] for number in wanted if number in known}  # others free their memory
        held: dict[int, Any] = {}
        for number in wanted:
            x, start = self._inputs.pop(number, None), self._place
            if x is None:
                x, start = normalise(self._batches[number]), 0
            for between in range(start, place):
                x = self._teacher.run(between, x)
            held[number] = x
        self._place, self._inputs = place, held
        return {number: (x, self._teacher.run(place, x)) for number, x in held.items()}

    def batch_bytes(self, place: int) -> int:
        """Return the bytes that input and output of a block take for one batch."""
        first, last = self._teacher.blocks[place].layers[0], self._teacher.blocks[place].layers[-1]
        values = first.in_size**2 * first.in_filters + last.out_size**2 * last.filters
        return len(self._batches[0]) * values * _BYTES
