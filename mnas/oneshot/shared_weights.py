"""Which weights the architectures of a space share: one kernel for every layer that may stand in a place.

A place (slot) is the r-th block of a stage. The blocks that may stand there are sorted by their operation; those of one
operation share their layers' kernels, each as large as the largest of them needs: a smaller kernel is the centre, fewer
channels are the first ones (Once-for-All, Single-Path NAS, BigNAS). Like everything else it is a fold over the walk.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from mnas.arch.spec import Architecture, BlockSpec
from mnas.arch.walk import Layer, PlacedBlock, layers, named_blocks
from mnas.nn.functional import Vector, kernel_shape
from mnas.space.space import SearchSpace

FIXED = ("stem", "head", "classifier")
INDEPENDENT = 0.1  # the share of its own that a kernel begins with
OPEN = 3.0  # the bias of a gate that begins at 0.95
Sizes = tuple[int, int, int]  # kernel size, input filters, filters


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

    def slices(self, size: Sizes) -> tuple[slice, ...]:
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

    def cut(self, size: Sizes, vector: Vector, *, skip: bool) -> Iterator[Vector]:
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
    """A place for a block."""

    name: str
    families: tuple[Family, ...]


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
        return Slot(name, tuple(self._family(op, own) for op, own in by_op.items()))

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
        vectors = 4 if layer.role == "project" else 2 if layer.norm else 1
        shapes = (kernel_shape(layer), *[(layer.filters,)] * vectors)
        self.kernels.append(Kernel(layer, shapes, self.num_weights))
        self.num_weights += sum(self.kernels[-1].sizes)
        return len(self.kernels) - 1

    def cut(self, architecture: Architecture, vector: Vector) -> list[Vector]:
        """Views of what an architecture of the space uses of a vector, array by array in the order of the walk.

        Raises:
            InputError: if it is not of the space.
        """
        self.space.encode(architecture)
        return [
            view for kernel, size, skip in self._standing(architecture) for view in kernel.cut(size, vector, skip=skip)
        ]

    def _standing(self, architecture: Architecture) -> Iterator[tuple[Kernel, Sizes, bool]]:
        """The shared kernel of every layer of an architecture, the layer's sizes, and whether its block has a skip."""
        for name, placed in named_blocks(architecture):
            families = self.slots[self._number[name]].families
            family = next(family for family in families if family.op == _op(placed))
            skip = isinstance(placed.block, BlockSpec) and placed.block.skip != "none"
            for layer in layers(placed):
                if kernel_shape(layer):
                    sizes = layer.kernel_size, layer.in_filters, layer.filters
                    yield self.kernels[family.kernels[layer.role]], sizes, skip

    def inherit(self, architecture: Architecture, weights: Vector) -> Vector:
        """An architecture's own weights out of the shared ones, as the flat vector of its `Network`."""
        return np.concatenate([view.ravel() for view in self.cut(architecture, weights)])

    def put(self, architecture: Architecture, own: Vector, vector: Vector) -> None:
        """Put an architecture's own vector where `inherit` takes it from."""
        start = 0
        for view in self.cut(architecture, vector):
            view[...] = own[start : start + view.size].reshape(view.shape)
            start += view.size

    def decay_mask(self) -> Vector:
        """1 for kernels, 0 for biases and batch norms; shape (num_weights,)."""
        mask = np.zeros(self.num_weights, np.float32)
        for kernel in self.kernels:
            mask[kernel.start : kernel.start + kernel.sizes[0]] = 1
        return mask

    def initial_weights(self, seed: int) -> Vector:
        """Kernels under which every architecture begins as nearly the same function; shape (num_weights,).

        What follows a block must make sense of whichever of its operations stands there, and with independent kernels
        each of them gives features of its own: on mnasnet-32, 600 steps of 32 images taught nothing then (the loss was
        that of guessing). So all operations of a place begin as one random linear map of the filters, the identity from
        a stage's second block on, applied at the kernel's centre, plus a tenth of their He-normal kernels; a path then
        learns what its neighbours have learnt. Squeeze-and-excitation begins open. Gammas are 1, those of projections
        onto a skip 0, as in `mnas.nn.functional.Network`.
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
        for slot in self.slots:
            if slot.name not in FIXED:
                self._align(slot, vector, rng)
        return vector

    def _align(self, slot: Slot, vector: Vector, rng: np.random.Generator) -> None:
        """Let all operations of a place begin as the same map of its filters."""
        kernels = [(family.op, role, self.kernels[i]) for family in slot.families for role, i in family.kernels.items()]
        inputs = max(kernel.layer.in_filters for op, role, kernel in kernels if _sees_input(op, role))
        outputs = max(kernel.layer.filters for _, role, kernel in kernels if role in ("conv", "project"))
        linear = np.eye(inputs, outputs, dtype=np.float32)
        if slot.name.endswith("_block1"):
            linear = (rng.standard_normal((inputs, outputs)) / math.sqrt(inputs)).astype(np.float32)
        # An expansion holds every input twice, x and -x: behind the activations f(x) - f(-x) is x again, in full for
        # relu and swish.
        both = np.kron(np.eye(inputs), [[1.0, -1.0]]).astype(np.float32)
        for op, role, kernel in kernels:
            view = vector[kernel.start : kernel.start + kernel.sizes[0]].reshape(kernel.shapes[0])
            if role == "se_expand":
                bias = kernel.start + kernel.sizes[0]
                vector[bias : bias + kernel.sizes[1]] = OPEN
            elif not role.startswith("se_"):
                view *= np.float32(INDEPENDENT)
                centre = view[kernel.layer.kernel_size // 2, kernel.layer.kernel_size // 2]
                if role == "depthwise":
                    centre += 1
                else:
                    begins = both if role == "expand" else both.T @ linear if op == "mbconv" else linear
                    rows, columns = (min(pair) for pair in zip(centre.shape, begins.shape, strict=True))
                    centre[:rows, :columns] += begins[:rows, :columns]


def _sees_input(op: str, role: str) -> bool:
    """Whether a layer's input is its block's."""
    return role in ("conv", "expand") or (role == "depthwise" and op == "sepconv")


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
