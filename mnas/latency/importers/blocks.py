"""Rows of the ProxylessNAS and Once-for-All tables as placed blocks.

Both name a row by its operator, its input and its output: `expanded_conv-input:112x112x16-output:56x56x24-expand:3-
kernel:3-stride:2-idskip:0`. In ProxylessNAS `expand` is a ratio; in Once-for-All it is the number of middle channels,
and the name ends in `-se:0|1-hs:0|1` (squeeze-and-excitation, h-swish).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from mnas.arch.spec import BlockSpec, ClassifierSpec
from mnas.arch.walk import PlacedBlock, place
from mnas.errors import InputError
from mnas.latency.importers.flat import Row

_SHAPES = (
    r"input:(?P<h>\d{1,5})x(?P<w>\d{1,5})x(?P<c>\d{1,5})-output:(?:(?P<oh>\d{1,5})x(?P<ow>\d{1,5})x)?(?P<oc>\d{1,6})"
)
_BLOCK = r"-expand:(?P<expand>\d{1,6})-kernel:(?P<kernel>\d{1,2})-stride:(?P<stride>[12])-idskip:(?P<skip>[01])"
_FLAGS = r"(?:-se:(?P<se>[01])-hs:(?P<hs>[01]))?"
_NAME = re.compile(
    rf"(?P<op>Conv|Conv_1|Conv_2|AvgPool2D|Logits|expanded_conv)-{_SHAPES}(?:{_BLOCK}{_FLAGS})?", re.ASCII
)
_KERNELS = {"Conv": 3, "Conv_1": 1, "Conv_2": 1}
_SE_REDUCTION, _SE_DIVISOR = 4, 8


def proxylessnas_block(row: Row) -> PlacedBlock:
    """Convert a row of a ProxylessNAS table: expansion by ratio, ReLU6 everywhere, no squeeze-and-excitation.

    Raises:
        InputError: for any other row.
    """
    found = _match(row)
    if found["se"] is not None:
        row.refuse("ProxylessNAS rows do not end in -se and -hs: this looks like --format once-for-all")
    if found["op"] in ("Conv_2", "AvgPool2D"):
        row.refuse(f"ProxylessNAS tables have no {found['op']} row: expected --format once-for-all?")
    return _placed(row, found, "relu6", float(found["expand"] or 1), 0)


def once_for_all_block(row: Row) -> PlacedBlock | None:
    """Convert a row of a Once-for-All table; None for the pooling, which is not a block.

    Stem, head and feature mixing (Conv, Conv_1, Conv_2) have h-swish, as in MobileNetV3.

    Raises:
        InputError: for any other row.
    """
    found = _match(row)
    if found["op"] == "AvgPool2D":
        return None
    if found["op"] != "expanded_conv":
        return _placed(row, found, "hswish", 1, 0)
    if found["se"] is None:
        row.refuse("a Once-for-All row ends in -se and -hs: this looks like --format proxylessnas")
    middle, filters = int(found["expand"] or 0), int(found["c"] or 0)
    try:
        se_ratio = once_for_all_se_ratio(filters, middle) if found["se"] == "1" else 0
        return _placed(row, found, "hswish" if found["hs"] == "1" else "relu", expansion(filters, middle), se_ratio)
    except InputError as error:
        if str(error).startswith("line "):
            raise
        row.refuse(str(error))


def expansion(in_filters: int, middle: int) -> float:
    """Return the shortest expansion ratio with which a block of `in_filters` has `middle` middle channels.

    Raises:
        InputError: if there is none.
    """
    return _ratio(in_filters, middle, lambda ratio: round(in_filters * ratio))


def once_for_all_se_ratio(in_filters: int, middle: int) -> float:
    """Return the ratio over *input* filters that gives Once-for-All's width: a quarter of the middle, a multiple of 8.

    Raises:
        InputError: if there is none.
    """
    quarter = middle // _SE_REDUCTION
    width = max(_SE_DIVISOR, (quarter + _SE_DIVISOR // 2) // _SE_DIVISOR * _SE_DIVISOR)
    if width < 0.9 * quarter:
        width += _SE_DIVISOR
    return _ratio(in_filters, width, lambda ratio: int(in_filters * ratio))


def _ratio(in_filters: int, wanted: int, count: Callable[[float], int]) -> float:
    """Return the ratio with the fewest decimals for which `count` gives the wanted number of filters."""
    exact = wanted / in_filters if in_filters else 0.0
    for decimals in range(16 if exact else 0):
        for ratio in (
            round(exact, decimals),
            round(exact + 10**-decimals, decimals),
        ):  # the latter if `count` rounds down
            if ratio > 0 and count(ratio) == wanted:
                return ratio
    raise InputError(f"no ratio of {in_filters} filters gives {wanted}")


def _match(row: Row) -> dict[str, str | None]:
    match = _NAME.fullmatch(row.name)
    if match is None:
        row.refuse(
            "expected Conv, Conv_1, Conv_2, AvgPool2D, Logits or expanded_conv with -input:HxWxC-output:HxWxC, and "
            "for expanded_conv -expand:N-kernel:K-stride:S-idskip:0|1, then -se:0|1-hs:0|1 in Once-for-All tables"
        )
    found = match.groupdict()
    if (found["op"] == "expanded_conv") != (found["kernel"] is not None):
        row.refuse("expanded_conv, and nothing else, has -expand, -kernel, -stride and -idskip")
    if (found["op"] == "Logits") != (found["oh"] is None):
        row.refuse("the output of Logits is a number of classes, that of every other row is HxWxC")
    if found["h"] != found["w"] or found["oh"] != found["ow"]:
        row.refuse("inputs and outputs that are not square are not supported")
    return found


def _placed(
    row: Row, found: dict[str, str | None], activation: str, expand_ratio: float, se_ratio: float
) -> PlacedBlock:
    """Convert a matched row, and check the block against the output in the row's name."""
    size, filters = int(found["h"] or 0), int(found["c"] or 0)
    out_size, out_filters = int(found["oh"] or 1), int(found["oc"] or 0)
    block: BlockSpec | ClassifierSpec
    try:
        if found["op"] == "Logits":
            return place(ClassifierSpec(out_filters), size, filters, activation)
        if found["op"] == "expanded_conv":
            kernel, stride, skips = int(found["kernel"] or 0), int(found["stride"] or 0), found["skip"] == "1"
            skip = "identity" if skips else "none"
            block = BlockSpec("mbconv", kernel, stride, expand_ratio, out_filters, se_ratio, skip)
        else:
            kernel, stride, skip = _KERNELS[str(found["op"])], 1 if size == out_size else 2, "none"
            block = BlockSpec("conv", kernel, stride, 1, out_filters, skip=skip)
    except InputError as error:
        row.refuse(str(error))
    placed = place(block, size, filters, activation)
    if placed.out_size != out_size:
        row.refuse(f"stride {stride} takes {size} px to {placed.out_size}, not to {out_size}")
    if skip != "none" and placed.block != block:
        row.refuse("there is no skip connection between an input and an output of different shapes")
    return placed
