"""Writing numbers and blocks as text: timm's block grammar, canonical form. `codec` reads it."""

from __future__ import annotations

from mnas.arch.spec import EXPANDING, BlockSpec, ClassifierSpec

OP_PREFIX = {"conv": "cn", "sepconv": "ds", "mbconv": "ir", "fused_mbconv": "er", "uib": "uir", "identity": "id"}
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
        parts.append(f"se{format_number(block.se_ratio)}")
    default = default_skip(block.op)
    if block.skip != default:
        parts.append({"none": "noskip", "identity": "skip", "pool": "pool"}[block.skip])
    return "_".join(parts)


def default_skip(op: str) -> str:
    """Timm's defaults: ds, ir, er and uir have an identity skip unless noskip is given, cn has one only with skip."""
    return "identity" if op in _WITH_SKIP else "none"


def format_classifier(classifier: ClassifierSpec) -> str:
    """`classifier_n1000`."""
    return f"classifier_n{classifier.num_classes}"
