"""Which weights the architectures of a space share: one kernel for every layer that may stand in a place.

A place (slot) is the r-th block of a stage. The blocks that may stand there are sorted by their operation; those of one
operation share their layers' kernels, each as large as the largest of them needs: a smaller kernel is the centre, fewer
channels are the first ones (Once-for-All, Single-Path NAS, BigNAS). Like everything else it is a fold over the walk.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import numpy.typing as npt

from mnas.arch.spec import Architecture, BlockSpec
from mnas.arch.walk import Layer, PlacedBlock, layers, named_blocks
from mnas.nn.functional import Vector, kernel_shape
from mnas.space.space import SearchSpace

FIXED = ("stem", "head", "classifier")
SKIP_NUMBERS = {"none": 0, "identity": 1, "pool": 2}


@dataclass(frozen=True)
class Kernel:
    """The shared weights of one layer.

    Attributes:
        layer: the layer at its largest: kernel size, input filters, filters.
        shapes: of its arrays: kernel, then gamma and beta, or the bias. A projection has a gamma and a beta for blocks
            without a skip, and others for blocks with one.
        start: where they begin in the flat vector.
    """

    layer: Layer
    shapes: tuple[tuple[int, ...], ...]
    start: int

    @property
    def sizes(self) -> list[int]:
        """Lengths of its arrays in the flat vector."""
        return [math.prod(shape) for shape in self.shapes]

    def slices(self, size: Sequence[int]) -> tuple[slice, ...]:
        """What of the kernel belongs to a layer of this kernel size, these input filters and these filters."""
        kernel, inputs, outputs = size
        before = (self.layer.kernel_size - kernel) // 2
        centre = slice(before, before + kernel)
        own: tuple[slice, ...] = (slice(inputs), slice(outputs))
        if self.layer.kind == "depthwise":
            own = (centre, centre, slice(inputs), slice(1))
        elif self.layer.kind == "conv":
            own = (centre, centre, *own)
        return own

    def cut(self, size: Sequence[int], vector: Vector, *, skip: bool) -> Iterator[Vector]:
        """Views of what a layer of this size uses of the flat vector, kernel first."""
        starts = self.start + np.cumsum([0, *self.sizes])
        after = (3, 4) if skip and len(self.shapes) > 3 else range(1, min(3, len(self.shapes)))
        for number in (0, *after):
            array = vector[starts[number] : starts[number + 1]].reshape(self.shapes[number])
            yield array[self.slices(size) if number == 0 else slice(size[2])]


@dataclass(frozen=True)
class Family:
    """The blocks of one operation that may stand in one place.

    Attributes:
        op: conv, sepconv, mbconv, identity or classifier.
        layers: of the largest such block, squeeze-and-excitation and skip with everything that some block has.
        kernels: by role, in the order of the layers; indices into the supernet's kernels.
    """

    op: str
    layers: tuple[Layer, ...]
    kernels: dict[str, int]


@dataclass(frozen=True)
class Slot:
    """A place for a block; `fixed` where every architecture has the same kind: stem, head, classifier."""

    name: str
    families: tuple[Family, ...]
    fixed: bool


@dataclass(frozen=True)
class Path:
    """One architecture as the supernet's graph takes it.

    Attributes:
        sizes: int32 (kernels, 3): kernel size, input filters and filters of every shared kernel; 0 if it is not used.
        corners: int32 (kernels, 2, 4): the same as the first and the last index but one along each axis of the kernel.
        flags: int32 (slots, 3): the family's number (or one more than there are, for no block), whether there is
            squeeze-and-excitation, and the skip's number.
    """

    sizes: npt.NDArray[np.int32]
    corners: npt.NDArray[np.int32]
    flags: npt.NDArray[np.int32]


class SharedWeights:
    """The layout of a space's shared weights in one flat vector.

    Attributes:
        space: the space.
        slots: the places, in order.
        kernels: the shared weights, in the order of the vector.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.kernels: list[Kernel] = []
        self.num_weights = 0
        self.slots = tuple(self._slot(name, blocks) for name, blocks in _placed(space).items())
        self._number = {slot.name: number for number, slot in enumerate(self.slots)}

    def _slot(self, name: str, blocks: list[PlacedBlock]) -> Slot:
        by_op: dict[str, list[PlacedBlock]] = {}
        for placed in blocks:
            by_op.setdefault(_op(placed), []).append(placed)
        return Slot(name, tuple(self._family(op, own) for op, own in by_op.items()), name in FIXED)

    def _family(self, op: str, blocks: list[PlacedBlock]) -> Family:
        largest: dict[str, Layer] = {}
        for placed in blocks:
            for layer in layers(placed):
                known = largest.setdefault(layer.role, layer)
                sizes = {f: max(getattr(known, f), getattr(layer, f)) for f in ("kernel_size", "in_filters", "filters")}
                largest[layer.role] = replace(known, **sizes)
        order = max((layers(placed) for placed in blocks), key=len)
        template = tuple(largest[layer.role] for layer in order)
        template += tuple(layer for role, layer in largest.items() if role not in {one.role for one in order})
        return Family(op, template, {one.role: self._kernel(one) for one in template if kernel_shape(one)})

    def _kernel(self, layer: Layer) -> int:
        shapes = (kernel_shape(layer), *[(layer.filters,)] * (num_arrays(layer) - 1))
        self.kernels.append(Kernel(layer, shapes, self.num_weights))
        self.num_weights += sum(self.kernels[-1].sizes)
        return len(self.kernels) - 1

    def path(self, architecture: Architecture) -> Path:
        """An architecture of the space as the graph takes it.

        Raises:
            InputError: if it is not of the space.
        """
        self.space.encode(architecture)
        sizes = np.zeros((len(self.kernels), 3), np.int32)
        corners = np.zeros((len(self.kernels), 2, 4), np.int32)
        flags = np.array([[len(slot.families), 0, 0] for slot in self.slots], np.int32)
        for slot, family, placed in self._standing(architecture):
            own = layers(placed)
            skip = placed.block.skip if isinstance(placed.block, BlockSpec) else "none"
            excited = any(layer.kind == "multiply" for layer in own)
            flags[slot] = (family, excited, SKIP_NUMBERS[skip])
            for layer in own:
                if kernel_shape(layer):
                    number = self.slots[slot].families[family].kernels[layer.role]
                    sizes[number] = size = (layer.kernel_size, layer.in_filters, layer.filters)
                    for axis, part in enumerate(self.kernels[number].slices(size)):
                        corners[number, :, axis] = part.start or 0, part.stop
        return Path(sizes, corners, flags)

    def _standing(self, architecture: Architecture) -> Iterator[tuple[int, int, PlacedBlock]]:
        """The numbers of slot and family of every block of an architecture."""
        for name, placed in named_blocks(architecture):
            slot = self._number[name]
            yield slot, [family.op for family in self.slots[slot].families].index(_op(placed)), placed

    def _pieces(self, path: Path, vector: Vector) -> Iterator[Vector]:
        """Views of what a path uses of a vector, in the order of the walk."""
        for slot, (number, _, skip) in zip(self.slots, path.flags, strict=True):
            if number == len(slot.families):
                continue
            for index in slot.families[number].kernels.values():
                if path.sizes[index].any():
                    yield from self.kernels[index].cut(path.sizes[index], vector, skip=bool(skip))

    def active(self, path: Path) -> Vector:
        """1 where the path uses the vector, else 0; shape (num_weights,)."""
        mask = np.zeros(self.num_weights, np.float32)
        for piece in self._pieces(path, mask):
            piece[...] = 1
        return mask

    def inherit(self, architecture: Architecture, weights: Vector) -> Vector:
        """An architecture's own weights out of the shared ones, as `mnas.nn.functional.Network` wants them."""
        return np.concatenate([piece.ravel() for piece in self._pieces(self.path(architecture), weights)])

    def decay_mask(self) -> Vector:
        """1 for kernels, 0 for biases and batch norms; shape (num_weights,)."""
        mask = np.zeros(self.num_weights, np.float32)
        for kernel in self.kernels:
            mask[kernel.start : kernel.start + kernel.sizes[0]] = 1
        return mask

    def initial_weights(self, seed: int) -> Vector:
        """He-normal kernels over fan-out, a small dense layer, gamma 1, the rest 0; shape (num_weights,).

        The gammas of projections onto a skip are 0, as in `mnas.nn.functional.Network`.
        """
        rng = np.random.default_rng(seed)
        vector = np.zeros(self.num_weights, np.float32)
        for kernel in self.kernels:
            layer, sizes = kernel.layer, kernel.sizes
            fan = layer.kernel_size**2 * (1 if layer.kind == "depthwise" else layer.filters)
            variance = 1 / layer.in_filters if layer.kind == "dense" else 2 / fan
            end = kernel.start + sizes[0]
            drawn = rng.standard_normal(sizes[0], dtype=np.float32)
            vector[kernel.start : end] = drawn * np.float32(math.sqrt(variance))
            if layer.norm:
                vector[end : end + sizes[1]] = 1
        return vector


def num_arrays(layer: Layer) -> int:
    """How many arrays a layer has: kernel and bias, or kernel, gamma and beta; these two twice for a projection."""
    return 5 if layer.role == "project" else 3 if layer.norm else 2


def _op(placed: PlacedBlock) -> str:
    return placed.block.op if isinstance(placed.block, BlockSpec) else "classifier"


def _placed(space: SearchSpace) -> dict[str, list[PlacedBlock]]:
    """The blocks that may stand in every place."""
    stem, heads = space.ends()
    found: dict[str, dict[PlacedBlock, None]] = {"stem": {stem: None}}
    before: tuple[int, ...] = (space.stem_filters,)
    for number, choices in enumerate(space.stages, 1):
        for stage, filters in product(map(choices.stage, choices.combinations()), before):
            alone = Architecture((stage,), filters, 0, space.resolution, 2, space.activation, stem_stride=1)
            for name, placed in named_blocks(alone):
                if name not in FIXED:
                    found.setdefault(name.replace("stage1", f"stage{number}"), {})[placed] = None
        before = choices.filters
    for head in heads:
        for name, placed in zip(FIXED[-len(head) :], head, strict=True):
            found.setdefault(name, {})[placed] = None
    return {name: list(blocks) for name, blocks in found.items()}
