"""Writing numbers and blocks as text: timm's block grammar, canonical form. `codec` reads it."""

from __future__ import annotations

from mnas.arch.spec import EXPANDING, BlockSpec, ClassifierSpec

OP_PREFIX = {"conv": "cn", "sepconv": "ds", "mbconv": "ir", "fused_mbconv": "er", "uib": "uir", "identity": "id"}
ACTIVATION_TOKENS = {"relu": "nre", "relu6": "nr6", "swish": "nsw", "hswish": "nhs"}  # as timm writes them
_WITH_SKIP = ("sepconv", *EXPANDING)


def format_number(value: float) -> str:
    """The shortest text that reads back as the same number: `6`, `0.25`."""
    return str(int(value)) if value == int(value) else repr(float(value))


def format_block(block: BlockSpec, repeats: int | None = None) -> str:
    """`ir_r3_k5_s2_e3_c40_se0.25`; without repeats for a placed block."""
    parts = [OP_PREFIX[block.op]]
    if repeats is not None:
        parts.append(f"r{repeats}")
    if block.op == "uib":
        parts.append(f"a{block.start_kernel_size}")
    parts += [f"k{block.kernel_size}", f"s{block.stride}"]
    if block.op in EXPANDING:
        parts.append(f"e{format_number(block.expand_ratio)}")
    parts.append(f"c{block.filters}")
    if block.se_ratio:
        parts.append(f"{'hse' if block.hard_se else 'se'}{format_number(block.se_ratio)}")
    if block.activation:
        parts.append(ACTIVATION_TOKENS[block.activation])
    default = default_skip(block.op)
    if block.skip != default:
        parts.append({"none": "noskip", "identity": "skip", "pool": "pool"}[block.skip])
    return "_".join(parts)


def default_skip(op: str) -> str:
    """Timm's defaults: ds, ir, er and uir have an identity skip unless noskip is given, cn has one only with skip."""
    return "identity" if op in _WITH_SKIP else "none"


def format_classifier(classifier: ClassifierSpec) -> str:
    """`classifier_n1000`; `classifier_c1280_n1000` with a convolution after pooling, `_b1280` if it has a bias."""
    pooled = (
        f"_{'c' if classifier.pooled_norm else 'b'}{classifier.pooled_filters}" if classifier.pooled_filters else ""
    )
    return f"classifier{pooled}_n{classifier.num_classes}"
