"""A block, a stage, an architecture: frozen, hashable, checked when created."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mnas.checks import check_choice, check_flag, check_integer, check_number
from mnas.errors import InputError

OPS = ("conv", "sepconv", "mbconv", "fused_mbconv", "uib", "identity")
EXPANDING = ("mbconv", "fused_mbconv", "uib")  # these have an expansion ratio
SKIPS = ("none", "identity", "pool")
MOST_BLOCKS = 2000  # of one network
ACTIVATIONS = ("relu", "relu6", "swish", "hswish")


@dataclass(frozen=True, slots=True)
class BlockSpec:
    """One block, independent of its input.

    Attributes:
        op: `conv` (one convolution), `sepconv` (depthwise separable), `mbconv` (expand, depthwise, project),
            `fused_mbconv` (one full convolution in place of expand and depthwise; EfficientNetV2, Tan and Le 2021),
            `uib` (universal inverted bottleneck: depthwise, expand, depthwise, project, where either depthwise
            convolution may be missing; MobileNetV4, Qin et al. 2024) or `identity`, which has no operators where size
            and filters stay, and is a linear 1x1 convolution elsewhere. An `mbconv` with expansion ratio 1 has no
            expansion layer, so it becomes a `sepconv`; a `uib` without the first depthwise convolution an `mbconv`.
        kernel_size: side of the square kernel, odd; 0 for a `uib` without the second depthwise convolution.
        stride: 1 or 2; of a `uib`'s last depthwise convolution.
        expand_ratio: middle filters over input filters; 1 for `conv`, `sepconv` and `identity`.
        filters: output filters.
        se_ratio: squeeze-and-excitation width over the block's *input* filters, 0 for none; above 1
            where a published network's width follows from the middle filters.
        skip: `identity` and `pool` (3x3 average pooling) are added to the output where shapes allow it:
            `identity` at stride 1, both where the block keeps the number of filters.
        start_kernel_size: side of the kernel of a `uib`'s first depthwise convolution, odd; 0 for none.
        activation: in place of the network's; "" for the network's own.
        hard_se: squeeze-and-excitation as in MobileNetV3 (Howard et al. 2019): `se_ratio` is over the *middle* filters,
            its width a multiple of 8, with ReLU inside and a hard sigmoid as the gate.
    """

    op: str
    kernel_size: int
    stride: int
    expand_ratio: float
    filters: int
    se_ratio: float = 0
    skip: str = "identity"
    start_kernel_size: int = 0
    activation: str = ""
    hard_se: bool = False

    def __post_init__(self) -> None:
        check_choice("op", self.op, OPS)
        _check_kernel("kernel_size", self.kernel_size, optional=self.op == "uib")
        _check_kernel("start_kernel_size", self.start_kernel_size, optional=True)
        check_integer("stride", self.stride, 1, 2)
        check_number("expand_ratio", self.expand_ratio, 1e-3, 64)
        check_integer("filters", self.filters, 1, 65536)
        check_number("se_ratio", self.se_ratio, 0, 64)
        check_choice("skip", self.skip, SKIPS)
        if self.activation != "":
            check_choice("activation", self.activation, ACTIVATIONS)
        check_flag("hard_se", self.hard_se)
        if self.start_kernel_size and self.op != "uib":
            raise InputError(f"start_kernel_size is {self.start_kernel_size} for op {self.op}: only uib has one, use 0")
        if self.stride > 1 and not (self.kernel_size or self.start_kernel_size):
            raise InputError("a uib without depthwise convolutions has stride 2: use 1, or give one a kernel size")
        # Equal networks get equal specs: 6.0 becomes 6, an mbconv that does not expand a sepconv, and so on.
        object.__setattr__(self, "expand_ratio", _tidy(self.expand_ratio))
        object.__setattr__(self, "se_ratio", _tidy(self.se_ratio))
        if self.op == "mbconv" and self.expand_ratio == 1:
            object.__setattr__(self, "op", "sepconv")
        if self.op == "uib" and self.kernel_size and not self.start_kernel_size and self.expand_ratio != 1:
            object.__setattr__(self, "op", "mbconv")
        if self.op not in EXPANDING and self.expand_ratio != 1:
            raise InputError(
                f"expand_ratio is {self.expand_ratio!r} for op {self.op}: only {', '.join(EXPANDING)} expand, use 1"
            )
        if self.op == "fused_mbconv" and self.expand_ratio == 1:
            raise InputError(
                "a fused_mbconv with expansion ratio 1 is one convolution: use op conv with skip identity, which is "
                f"cn_k{self.kernel_size}_s{self.stride}_c{self.filters}_skip as text"
            )
        if self.hard_se and not self.se_ratio:
            object.__setattr__(self, "hard_se", False)
        if self.op == "identity":
            object.__setattr__(self, "activation", "")
            if self.kernel_size != 1 or self.se_ratio:
                raise InputError("op identity needs kernel_size 1 and se_ratio 0")
            object.__setattr__(self, "skip", "none")


def _check_kernel(name: str, side: int, *, optional: bool) -> None:
    check_integer(name, side, 0 if optional else 1, 31)
    if side and side % 2 == 0:
        raise InputError(f"{name} is {side}: expected an odd number")


def _tidy(value: float) -> float:
    """6.0 becomes 6, so that equal numbers are written alike."""
    return int(value) if value == int(value) else float(value)


@dataclass(frozen=True, slots=True)
class ClassifierSpec:
    """The end of every network: global average pooling and a dense layer, with another one between them if wanted.

    Attributes:
        num_classes: width of the classifier.
        pooled_filters, pooled_norm: as in `Architecture`.
    """

    num_classes: int
    pooled_filters: int = 0
    pooled_norm: bool = True

    def __post_init__(self) -> None:
        check_integer("num_classes", self.num_classes, 2, 1_000_000)
        check_integer("pooled_filters", self.pooled_filters, 0, 65536)
        check_flag("pooled_norm", self.pooled_norm)
        if not (self.pooled_filters or self.pooled_norm):
            object.__setattr__(self, "pooled_norm", True)


@dataclass(frozen=True, slots=True)
class StageSpec:
    """`repeats` times the same block; only the first one has its stride."""

    block: BlockSpec
    repeats: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.block, BlockSpec):
            raise InputError(f"block is {self.block!r}: expected a BlockSpec")
        check_integer("repeats", self.repeats, 1, 1000)


def _plain(stage: StageSpec, activation: str) -> StageSpec:
    """Leave out an activation that is the network's own, so that equal networks are equal."""
    if not isinstance(stage, StageSpec):
        raise InputError(f"stages holds {stage!r}: expected StageSpecs")
    if stage.block.activation != activation:
        return stage
    return replace(stage, block=replace(stage.block, activation=""))


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
        pooled_filters: filters of the 1x1 convolution after pooling, which has the network's activation; 0 leaves it
            out. MobileNetV3 and MobileNetV4 have one.
        pooled_norm: whether it has a batch normalisation (MobileNetV4) or a bias (MobileNetV3).
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
    pooled_filters: int = 0
    pooled_norm: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(_plain(stage, self.activation) for stage in self.stages))
        if not self.stages or len(self.stages) > 1000:
            raise InputError(f"stages holds {len(self.stages)} stages: expected 1 to 1000")
        blocks = sum(stage.repeats for stage in self.stages)
        if blocks > MOST_BLOCKS:
            raise InputError(f"stages hold {blocks} blocks: expected at most {MOST_BLOCKS}")
        check_integer("stem_filters", self.stem_filters, 1, 65536)
        check_integer("head_filters", self.head_filters, 0, 65536)
        check_integer("resolution", self.resolution, 1, 8192)
        object.__setattr__(self, "pooled_norm", self.classifier.pooled_norm)
        check_choice("activation", self.activation, ACTIVATIONS)
        check_number("dropout", self.dropout, 0, 0.99)
        check_integer("stem_stride", self.stem_stride, 1, 2)
        check_number("stochastic_depth", self.stochastic_depth, 0, 0.99)
        object.__setattr__(self, "dropout", _tidy(self.dropout))
        object.__setattr__(self, "stochastic_depth", _tidy(self.stochastic_depth))

    @property
    def classifier(self) -> ClassifierSpec:
        """What follows the last convolution before pooling."""
        return ClassifierSpec(self.num_classes, self.pooled_filters, self.pooled_norm)

    def _repr_html_(self) -> str:
        """The blocks with their costs, for notebooks."""
        from pkgutil import resolve_name

        return str(resolve_name("mnas.report.notebook:architecture_html")(self))
