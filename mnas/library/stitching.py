"""Stitched networks: the teacher's stem, head and classifier, and one alternative for every block between them.

Batch-norm statistics are recomputed block by block, on the block's actual inputs, from the first block that is not the
teacher's: a network of the teacher's own blocks is the teacher. What candidates have in common, from the image to the
first block that differs, is computed once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.arch.spec import Architecture
from mnas.arch.walk import layers, named_blocks, unroll
from mnas.data.batches import plain_batches, some_images
from mnas.data.dataset import Dataset
from mnas.library.activations import TeacherNetwork
from mnas.library.library import BlockLibrary
from mnas.nn.functional import Block, Vector
from mnas.system.arrays import read_arrays
from mnas.train.trained_network import WEIGHTS

_BYTES = 4  # of a float32
_FEWEST_SCORED = 64
_MOST_SCORED_BYTES = 1_500_000_000  # of a block's activations for all scored images
_CALIBRATION_IMAGES = 96  # training images that batch-norm statistics come from
_BATCH = 48
_MOST_BYTES = 1_500_000_000  # of activations that are kept for candidates with the same first blocks


@dataclass(frozen=True, slots=True)
class StitchedScore:
    """The score of a stitched network on the validation split.

    Attributes:
        accuracy: 0 to 1.
        loss: mean cross-entropy.
    """

    accuracy: float
    loss: float


@dataclass(frozen=True)
class _Part:
    """A block of a stitched network.

    Attributes:
        name: tells its weights.
        block: the block.
        vectors: its weights and statistics.
        is_teachers: whether it is the teacher's own, at the same size.
    """

    name: str
    block: Block
    vectors: tuple[Vector, Vector]
    is_teachers: bool


@dataclass(frozen=True)
class _State:
    """Activations after some blocks: of the calibration images, and of each batch of scored images."""

    calibration: Any
    scored: tuple[Any, ...]
    num_bytes: int


class Stitcher:
    """Puts networks of a library together.

    Args:
        library: the library.
        dataset_at: returns the data at a resolution; calibrated on the train split, scored on the validation split.
        max_validation: maximum number of validation images to score on.
    """

    def __init__(
        self, library: BlockLibrary, dataset_at: Callable[[int], Dataset], *, max_validation: int | None = None
    ) -> None:
        self._library, self._dataset_at = library, dataset_at
        self._max_validation = max_validation
        trained = library.teacher
        arrays = list(read_arrays(trained.folder / WEIGHTS).values())
        self._teacher = TeacherNetwork(trained.architecture, arrays)
        self._kept: OrderedDict[tuple[Any, ...], _State] = OrderedDict()

    def score(self, architecture: Architecture) -> StitchedScore:
        """Score a stitched network on the validation split.

        Raises:
            InputError: if the architecture is not of the library's space.
        """
        logits = self._run(architecture)[0]
        labels = self._validation(architecture.resolution).labels
        shifted = logits - logits.max(1, keepdims=True)
        losses = np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(labels)), labels]
        return StitchedScore(float(np.mean(logits.argmax(1) == labels)), float(losses.mean()))

    def weights(self, architecture: Architecture) -> list[npt.NDArray[np.float32]]:
        """Return a stitched network's arrays in the order of `mnas.nn.build.get_layer_weights`.

        Raises:
            InputError: if the architecture is not of the library's space.
        """
        return self._run(architecture, keep_arrays=True)[1]

    def _validation(self, resolution: int) -> Any:
        """The images to score on: as many as the memory for activations allows, the same for every network."""
        placed = unroll(replace(self._teacher.architecture, resolution=resolution))
        widest = max(block.in_size**2 * block.in_filters + block.out_size**2 * block.out_filters for block in placed)
        most = max(_FEWEST_SCORED, _MOST_SCORED_BYTES // (_BYTES * widest))
        count = most if self._max_validation is None else min(most, self._max_validation)
        return self._dataset_at(resolution).validation.take(slice(count))

    def _run(
        self, architecture: Architecture, *, keep_arrays: bool = False
    ) -> tuple[npt.NDArray[np.float64], list[npt.NDArray[np.float32]]]:
        """Return logits of the validation images; or none, and the arrays of all layers."""
        parts = self._parts(architecture)
        key: tuple[Any, ...] = (architecture.resolution,)
        start, state = 0, None
        if not keep_arrays:
            start, state = self._longest_kept(key, [part.name for part in parts])
        arrays: list[npt.NDArray[np.float32]] = []
        is_teachers = True
        for place, part in enumerate(parts):
            key = (*key, part.name)
            is_teachers = is_teachers and part.is_teachers
            if place < start:
                continue
            state = self._images(architecture.resolution, scored=not keep_arrays) if state is None else state
            state, statistics = _advance(part, state, recompute=not is_teachers)
            if keep_arrays:
                arrays += [array for own in part.block.layer_arrays(part.vectors[0], statistics) for array in own]
            elif place < len(parts) - 2:
                self._keep(key, state)
        assert state is not None
        logits = [np.asarray(part, np.float64) for part in state.scored]
        return np.concatenate(logits) if logits else np.zeros((0, architecture.num_classes)), arrays

    def _parts(self, architecture: Architecture) -> list[_Part]:
        space = self._library.space
        indices = space.encode(architecture)
        teachers = unroll(self._teacher.architecture)
        ends = {"stem": 0, "head": len(teachers) - 2, "classifier": len(teachers) - 1}
        found: list[_Part] = []
        for name, placed in named_blocks(architecture):
            block = Block(layers(placed))
            if name in ends:
                own, vectors = ends[name], self._teacher.vectors[ends[name]]
            else:
                own = int(name.removeprefix("stage").partition("_")[0])
                choice = indices[own - 1]
                name, vectors = f"{own}:{choice}", block.vectors(self._library.alternative(own - 1, choice).arrays)
            # After a block that was left out, the others are not in their places.
            found.append(_Part(name, block, vectors, len(found) == own and placed == teachers[own]))
        return found

    def _images(self, resolution: int, *, scored: bool) -> _State:
        batches = plain_batches(self._validation(resolution), _BATCH) if scored else ()
        calibration = some_images(self._dataset_at(resolution).train, _CALIBRATION_IMAGES)
        return _State(calibration, tuple(images for images, _ in batches), 0)

    def _longest_kept(self, key: tuple[Any, ...], names: Sequence[str]) -> tuple[int, _State | None]:
        for count in range(len(names), 0, -1):
            known = (*key, *names[:count])
            if known in self._kept:
                self._kept.move_to_end(known)
                return count, self._kept[known]
        return 0, None

    def _keep(self, key: tuple[Any, ...], state: _State) -> None:
        self._kept[key] = state
        total = sum(kept.num_bytes for kept in self._kept.values())
        while total > _MOST_BYTES and len(self._kept) > 1:
            total -= self._kept.popitem(last=False)[1].num_bytes


def _advance(part: _Part, state: _State, *, recompute: bool) -> tuple[_State, Vector]:
    """Run a block with its own batch-norm statistics, or with those of the calibration images; return these too."""
    weights, statistics = part.vectors
    if recompute:
        calibration, found = part.block.train(weights, state.calibration)
        statistics = np.asarray(found)
    else:
        calibration = part.block.infer(weights, statistics, state.calibration)
    scored = tuple(part.block.infer(weights, statistics, x) for x in state.scored)
    num_bytes = 4 * (int(np.prod(calibration.shape)) + sum(int(np.prod(x.shape)) for x in scored))
    return _State(calibration, scored, num_bytes), statistics
