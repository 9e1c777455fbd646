"""The walk over an architecture's blocks, and the layers of each block.

Parameters, multiply-adds, latency keys, Keras layers, the fast trainer and the flatbuffer writer are loops over
`unroll(architecture)` and `layers(placed_block)`. A new block type is one branch in `layers`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from mnas.arch.resize import round_filters
from mnas.arch.spec import Architecture, BlockSpec, ClassifierSpec
from mnas.arch.text import format_block, format_classifier


@dataclass(frozen=True, slots=True)
class PlacedBlock:
    """A block with the side in pixels and the filters of its input.

    `activation` is the block's own or the network's. `skip` is `none` where shapes do not allow it, so that two specs
    with the same operators are equal here.
    """

    block: BlockSpec | ClassifierSpec
    in_size: int
    in_filters: int
    activation: str

    @property
    def key(self) -> str:
        """The key of this block in a latency table, e.g. `56x56x24 ir_k5_s2_e3_c40_se0.25 relu`."""
        place = f"{self.in_size}x{self.in_size}x{self.in_filters}"
        if isinstance(self.block, ClassifierSpec):
            activation = f" {self.activation}" if self.block.pooled_filters else ""
            return f"{place} {format_classifier(self.block)}{activation}"
        return f"{place} {format_block(self.block)} {self.activation}"

    @property
    def out_size(self) -> int:
        """Side of the output in pixels (`SAME` padding); 1 after the classifier."""
        return 1 if isinstance(self.block, ClassifierSpec) else -(-self.in_size // self.block.stride)

    @property
    def out_filters(self) -> int:
        """Filters of the output; the number of classes after the classifier."""
        return self.block.num_classes if isinstance(self.block, ClassifierSpec) else self.block.filters

    @property
    def is_nothing(self) -> bool:
        """Whether it is an identity without operators: it changes neither size nor filters."""
        block = self.block
        return (
            isinstance(block, BlockSpec)
            and block.op == "identity"
            and block.stride == 1
            and block.filters == self.in_filters
        )


@dataclass(frozen=True, slots=True)
class Layer:
    """One operator of a block.

    Attributes:
        role: its name within the block: stem, expand, depthwise, se_squeeze, se_reduce, project, ...
        kind: conv, depthwise, dense, mean, pool, multiply or add.
        inputs: indices into the block's values: 0 is the block's input, i the output of its i-th layer (from 1).
        kernel_size, stride, in_size, in_filters, filters: as usual; `in_size` is that of the first input.
        activation: after the operator; `linear` for none. `sigmoid` and `hsigmoid` are used in squeeze-and-excitation.
        norm: whether there is a batch normalisation between the operator and its activation; without one,
            a conv, depthwise or dense layer has a bias.
    """

    role: str
    kind: str
    inputs: tuple[int, ...]
    in_size: int
    in_filters: int
    filters: int
    kernel_size: int = 1
    stride: int = 1
    activation: str = "linear"
    norm: bool = False

    @property
    def out_size(self) -> int:
        """Side of the output in pixels."""
        return 1 if self.kind in ("mean", "dense") else -(-self.in_size // self.stride)

    @property
    def weights_per_filter(self) -> int:
        """Weights of one output filter of a conv, depthwise or dense layer, without its bias."""
        return self.kernel_size**2 * (1 if self.kind == "depthwise" else self.in_filters)


def unroll(architecture: Architecture) -> tuple[PlacedBlock, ...]:
    """Return stem, every block of every stage, head convolution (unless it has 0 filters), classifier.

    Identities that change nothing are left out.
    """
    return tuple(placed for _, placed in named_blocks(architecture))


def named_blocks(architecture: Architecture) -> Iterator[tuple[str, PlacedBlock]]:
    """Every placed block with its name: stem, stage1_block1, ..., head, classifier."""
    specs: list[tuple[str, BlockSpec | ClassifierSpec]] = [
        ("stem", BlockSpec("conv", 3, architecture.stem_stride, 1, architecture.stem_filters, skip="none"))
    ]
    for number, stage in enumerate(architecture.stages, 1):
        blocks = [stage.block, *[replace(stage.block, stride=1)] * (stage.repeats - 1)]
        specs.extend((f"stage{number}_block{repeat}", block) for repeat, block in enumerate(blocks, 1))
    if architecture.head_filters:
        specs.append(("head", BlockSpec("conv", 1, 1, 1, architecture.head_filters, skip="none")))
    specs.append(("classifier", architecture.classifier))
    size, filters = architecture.resolution, 3
    for name, block in specs:
        placed = place(block, size, filters, architecture.activation)
        if not placed.is_nothing:
            yield name, placed
        size, filters = placed.out_size, placed.out_filters


def place(block: BlockSpec | ClassifierSpec, size: int, filters: int, activation: str) -> PlacedBlock:
    """Put a block on an input, with its own activation, and remove its skip connection if shapes do not allow it."""
    if isinstance(block, BlockSpec) and block.activation:
        activation, block = block.activation, replace(block, activation="")
    if isinstance(block, BlockSpec) and block.skip != "none":
        fits = block.filters == filters and (block.stride == 1 or block.skip == "pool")
        if not fits:
            block = replace(block, skip="none")
    return PlacedBlock(block, size, filters, activation)


def layers(placed: PlacedBlock) -> tuple[Layer, ...]:
    """Return the operators of a placed block, in order. Only this function knows what a block contains."""
    chain = _Chain(placed)
    block = placed.block
    if isinstance(block, ClassifierSpec):
        chain.add("pool", "mean")
        if block.pooled_filters:  # a 1x1 convolution of one pixel
            filters, norm = block.pooled_filters, block.pooled_norm
            chain.add("pooled", "dense", filters=filters, activation=placed.activation, norm=norm)
        chain.add("classifier", "dense", filters=block.num_classes)
        return tuple(chain.layers)
    act = placed.activation
    kernel, stride = block.kernel_size, block.stride
    if block.op == "identity":
        if not placed.is_nothing:
            chain.add("conv", "conv", filters=block.filters, stride=stride, norm=True)
    elif block.op == "conv":
        chain.add("conv", "conv", filters=block.filters, kernel_size=kernel, stride=stride, activation=act, norm=True)
        chain.add_se(block, act)
    else:
        start, middle = block.start_kernel_size, max(1, round(placed.in_filters * block.expand_ratio))
        if start:
            chain.add("start", "depthwise", kernel_size=start, stride=1 if kernel else stride, norm=True)
        if block.op == "fused_mbconv":
            chain.add("expand", "conv", filters=middle, kernel_size=kernel, stride=stride, activation=act, norm=True)
        else:
            if block.op != "sepconv":
                chain.add("expand", "conv", filters=middle, activation=act, norm=True)
            if kernel:
                chain.add("depthwise", "depthwise", kernel_size=kernel, stride=stride, activation=act, norm=True)
        chain.add_se(block, act)
        chain.add("project", "conv", filters=block.filters, norm=True)
    if block.skip != "none":
        chain.add_skip(block)
    return tuple(chain.layers)


class _Chain:
    """Collects a block's layers; the input of each is the previous output unless `inputs` is given."""

    def __init__(self, placed: PlacedBlock) -> None:
        self.placed = placed
        self.layers: list[Layer] = []

    def shape(self, value: int) -> tuple[int, int]:
        if value == 0:
            return self.placed.in_size, self.placed.in_filters
        return self.layers[value - 1].out_size, self.layers[value - 1].filters

    def add(self, role: str, kind: str, *, inputs: tuple[int, ...] = (), filters: int = 0, **options: Any) -> int:
        inputs = inputs or (len(self.layers),)
        size, in_filters = self.shape(inputs[0])
        self.layers.append(Layer(role, kind, inputs, size, in_filters, filters or in_filters, **options))
        return len(self.layers)

    def add_se(self, block: BlockSpec, activation: str) -> None:
        ratio, hard = block.se_ratio, block.hard_se
        if not ratio:
            return
        body = len(self.layers)
        filters = self.shape(body)[1]
        self.add("se_squeeze", "mean")
        reduced = round_filters(filters, ratio) if hard else max(1, int(self.placed.in_filters * ratio))
        self.add("se_reduce", "conv", filters=reduced, activation="relu" if hard else activation)
        gate = self.add("se_expand", "conv", filters=filters, activation="hsigmoid" if hard else "sigmoid")
        self.add("se_excite", "multiply", inputs=(body, gate))

    def add_skip(self, block: BlockSpec) -> None:
        body, shortcut = len(self.layers), 0
        if block.skip == "pool":
            shortcut = self.add("skip_pool", "pool", inputs=(0,), kernel_size=3, stride=block.stride)
        self.add("skip_add", "add", inputs=(body, shortcut))
