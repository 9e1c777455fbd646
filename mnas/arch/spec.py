"""A block, a stage, an architecture: frozen, hashable, checked when created."""

from __future__ import annotations

from dataclasses import dataclass

from mnas.checks import check_choice, check_integer, check_number
from mnas.errors import InputError

OPS = ("conv", "sepconv", "mbconv", "identity")
SKIPS = ("none", "identity", "pool")
MOST_BLOCKS = 2000  # of one network
ACTIVATIONS = ("relu", "relu6", "swish", "hswish")


@dataclass(frozen=True, slots=True)
class BlockSpec:
    """One block, independent of its input.

    Attributes:
        op: `conv` (one convolution), `sepconv` (depthwise separable) or `mbconv` (expand, depthwise, project).
            An `mbconv` with expansion ratio 1 has no expansion layer, so it becomes a `sepconv`. `identity` has no
            operators where size and filters stay, and is a linear 1x1 convolution elsewhere.
        kernel_size: side of the square kernel, odd.
        stride: 1 or 2.
        expand_ratio: middle filters over input filters; 1 for everything but `mbconv`.
        filters: output filters.
        se_ratio: squeeze-and-excitation width over the block's *input* filters, 0 for none; above 1
            where a published network's width follows from the middle filters.
        skip: `identity` and `pool` (3x3 average pooling) are added to the output where shapes allow it:
            `identity` at stride 1, both where the block keeps the number of filters.
    """

    op: str
    kernel_size: int
    stride: int
    expand_ratio: float
    filters: int
    se_ratio: float = 0
    skip: str = "identity"

    def __post_init__(self) -> None:
        check_choice("op", self.op, OPS)
        check_integer("kernel_size", self.kernel_size, 1, 31)
        if self.kernel_size % 2 == 0:
            raise InputError(f"kernel_size is {self.kernel_size}: expected an odd number")
        check_integer("stride", self.stride, 1, 2)
        check_number("expand_ratio", self.expand_ratio, 1e-3, 64)
        check_integer("filters", self.filters, 1, 65536)
        check_number("se_ratio", self.se_ratio, 0, 64)
        check_choice("skip", self.skip, SKIPS)
        # Equal networks get equal specs: 6.0 becomes 6, and an mbconv that does not expand a sepconv.
        object.__setattr__(self, "expand_ratio", _tidy(self.expand_ratio))
        object.__setattr__(self, "se_ratio", _tidy(self.se_ratio))
        if self.op == "mbconv" and self.expand_ratio == 1:
            object.__setattr__(self, "op", "sepconv")
        if self.op != "mbconv" and self.expand_ratio != 1:
            raise InputError(f"expand_ratio is {self.expand_ratio!r} for op {self.op}: only mbconv expands, use 1")
        if self.op == "identity":
            if self.kernel_size != 1 or self.se_ratio:
                raise InputError("op identity needs kernel_size 1 and se_ratio 0")
            object.__setattr__(self, "skip", "none")


def _tidy(value: float) -> float:
    """6.0 becomes 6, so that equal numbers are written alike."""
    return int(value) if value == int(value) else float(value)


@dataclass(frozen=True, slots=True)
class ClassifierSpec:
    """The end of every network: global average pooling and a dense layer."""

    num_classes: int

    def __post_init__(self) -> None:
        check_integer("num_classes", self.num_classes, 2, 1_000_000)


@dataclass(frozen=True, slots=True)
class StageSpec:
    """`repeats` times the same block; only the first one has its stride."""

    block: BlockSpec
    repeats: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.block, BlockSpec):
            raise InputError(f"block is {self.block!r}: expected a BlockSpec")
        check_integer("repeats", self.repeats, 1, 1000)


@dataclass(frozen=True, slots=True)
class Architecture:
    """A whole network: stem convolution, stages, 1x1 head convolution, classifier.

    Attributes:
        stages: at least one stage.
        stem_filters: filters of the 3x3 stem convolution.
        head_filters: filters of the 1x1 convolution before pooling; 0 leaves it out.
        resolution: side of the square RGB input in pixels.
        num_classes: width of the classifier.
        activation: after every convolution but the linear projections; also inside squeeze-and-excitation.
        dropout: before the classifier.
        stem_stride: 2 for photographs, 1 for small images.
        stochastic_depth: rate at which the last block's residual is dropped in training; falls linearly to 0.
    """

    stages: tuple[StageSpec, ...]
    stem_filters: int = 32
    head_filters: int = 1280
    resolution: int = 224
    num_classes: int = 1000
    activation: str = "relu"
    dropout: float = 0.2
    stem_stride: int = 2
    stochastic_depth: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(self.stages))
        if not self.stages or len(self.stages) > 1000:
            raise InputError(f"stages holds {len(self.stages)} stages: expected 1 to 1000")
        for stage in self.stages:
            if not isinstance(stage, StageSpec):
                raise InputError(f"stages holds {stage!r}: expected StageSpecs")
        blocks = sum(stage.repeats for stage in self.stages)
        if blocks > MOST_BLOCKS:
            raise InputError(f"stages hold {blocks} blocks: expected at most {MOST_BLOCKS}")
        check_integer("stem_filters", self.stem_filters, 1, 65536)
        check_integer("head_filters", self.head_filters, 0, 65536)
        check_integer("resolution", self.resolution, 1, 8192)
        check_integer("num_classes", self.num_classes, 2, 1_000_000)
        check_choice("activation", self.activation, ACTIVATIONS)
        check_number("dropout", self.dropout, 0, 0.99)
        check_integer("stem_stride", self.stem_stride, 1, 2)
        check_number("stochastic_depth", self.stochastic_depth, 0, 0.99)
        object.__setattr__(self, "dropout", _tidy(self.dropout))
        object.__setattr__(self, "stochastic_depth", _tidy(self.stochastic_depth))

    def _repr_html_(self) -> str:
        """The blocks with their costs, for notebooks."""
        from pkgutil import resolve_name

        return str(resolve_name("mnas.report.notebook:architecture_html")(self))
