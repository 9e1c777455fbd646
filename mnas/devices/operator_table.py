"""The table of single operators that TFLite's and LiteRT's profilers print."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile

_HEADER = re.compile(r"\[([^\]]+)\]")
_VALUE = r"\s+(-?[\d.]+(?:e[-+]?\d+)?)%?"
_MOST_MS, _MOST_CALLS = 1e7, 10**9  # larger numbers are errors of the profiler


@dataclass(frozen=True, slots=True)
class OperatorRow:
    """One operator of a network, or several that the profiler reports as one.

    Attributes:
        node_type: such as `CONV_2D` or `Convolution (NHWC, F32) IGEMM`.
        name: as the profiler prints it; it ends in `:N` for the Nth operator of a delegate.
        calls: number of calls per inference.
        latency_ms: per inference, all its calls together.
    """

    node_type: str
    name: str
    calls: float
    latency_ms: float


def parse_operators(text: str, *, totals: bool) -> tuple[OperatorRow, ...]:
    """Read the tables in order of execution; those of the initialization are skipped.

    Args:
        text: the output of the profiler.
        totals: whether `[times called]` counts all inferences together, as LiteRT does, and not one.

    Returns:
        The operators; none if a row cannot be read, because the others alone would be another network's.
    """
    rows = [row for table in _tables(text) for row in table]
    found = [row for row in rows if row is not None]
    if len(found) < len(rows):
        return ()
    # Every operator runs at least once per inference, so the common divisor of all counts is the number of inferences.
    inferences = math.gcd(*(calls for *_, calls in found)) or 1 if totals and found else 1
    return tuple(
        OperatorRow(node_type, name, calls / inferences, average_ms * calls / inferences)
        for node_type, name, average_ms, calls in found
    )


def _tables(text: str) -> Iterator[list[tuple[str, str, float, int] | None]]:
    lines = text.splitlines()
    heading, initializing = "", False
    for number, line in enumerate(lines):
        if "Profiling Info for" in line:
            initializing = "Initialization" in line
        if line.startswith("===") or " Run Order " in line:
            heading = line
        columns = _HEADER.findall(line)
        if columns[:1] == ["node type"] and "avg ms" in columns and "Run Order" in heading and not initializing:
            rest = takewhile(lambda row: row.strip() and "=====" not in row, lines[number + 1 :])
            yield [_row(columns, line) for line in rest]


def _row(columns: list[str], line: str) -> tuple[str, str, float, int] | None:
    """Node types contain spaces and commas, so columns are found by their numbers; they differ between versions."""
    numbers = columns[1 : -1 if columns[-1].lower() == "name" else None]
    match = re.fullmatch(rf"\s*(\S.*?){_VALUE * len(numbers)}(?:\s+(.*))?", line)
    if match is None:
        return None
    node_type, *values, name = match.groups()
    try:
        by_name = dict(zip(numbers, map(float, values), strict=True))
        calls = int(by_name.get("times called", 1))
    except (ValueError, OverflowError):  # not numbers, such as 1.2.3 or 1e999
        return None
    if not 0 <= by_name["avg ms"] <= _MOST_MS or not 0 < calls <= _MOST_CALLS:
        return None
    name = (name or "").strip()
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    return node_type.strip(), name, by_name["avg ms"], calls
