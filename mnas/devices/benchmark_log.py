"""Parsing the output of `benchmark_model`: TFLite's classic program, and LiteRT's for compiled models.

Both come from one code base and print `count=... avg=...` lines in microseconds; LiteRT's adds lines such as
`Inference (avg):      1.23 ms (50 runs)`. Builds since 2024 append percentiles; older ones lack the leading `INFO: `.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mnas.devices.base import Array
from mnas.devices.operator_table import OperatorRow, parse_operators
from mnas.errors import MnasError

_NUMBER = r"([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)"
_COUNT = re.compile(rf"^(?:\w+: )?count={_NUMBER}((?: \w+={_NUMBER}(?:\(all same\))?)+)\s*$", re.MULTILINE)
_FIELD = re.compile(rf"(\w+)={_NUMBER}")
_TIMINGS = re.compile(r"^(?:\w+: )?(?:Average inference|Inference) timings in us:", re.MULTILINE)
_LAST_LINES = 4
_ROUNDING = 1.001
_MOST_MS = 1e7  # hours


@dataclass(frozen=True, slots=True)
class RunStats:
    """Statistics of a series of runs; times in ms. Percentiles are None if the program does not print them."""

    count: int
    mean_ms: float
    min_ms: float
    max_ms: float
    std_ms: float = 0.0
    first_ms: float | None = None
    p5_ms: float | None = None
    median_ms: float | None = None
    p95_ms: float | None = None

    def times_ms(self, num: int) -> Array:
        """Return `num` increasing times in ms with these statistics, because the program does not report single runs.

        With percentiles, times are interpolated between them. Without, the quantile function is min + (max - min) u^k,
        which has the reported mean for k = (max - mean) / (mean - min).
        """
        if num < 2 or self.max_ms <= self.min_ms:
            return np.full(num, self.mean_ms)
        at = np.linspace(0.0, 1.0, num)
        if self.p5_ms is not None and self.median_ms is not None and self.p95_ms is not None:
            points = (self.min_ms, self.p5_ms, self.median_ms, self.p95_ms, self.max_ms)
            return np.interp(at, (0.0, 0.05, 0.5, 0.95, 1.0), points)
        tiny = 1e-3 * (self.max_ms - self.min_ms)
        power = (self.max_ms - self.mean_ms) / max(self.mean_ms - self.min_ms, tiny)
        times: Array = self.min_ms + (self.max_ms - self.min_ms) * at ** max(power, 1e-3)
        return times


@dataclass(frozen=True, slots=True)
class BenchmarkLog:
    """One run of `benchmark_model`.

    Attributes:
        inference: the measured runs.
        warm_up: the runs before them, if reported.
        init_ms: time to load and prepare the network.
        first_ms: time of the first inference.
        operators: times of single operators, if profiling was on.
        peak_memory_mb: the largest footprint, if measured.
        memory_mb: growth of the footprint from the start of the program to its end.
        applied: requested delegates that the program applied: `GPU`, `NNAPI`, `XNNPACK`.
        partly: those of them that run only a part of the operators.
        taken: number of operators that the first delegate runs, and of all operators, if TFLite prints it.
        unknown_flags: arguments that this build does not know.
    """

    inference: RunStats
    warm_up: RunStats | None = None
    init_ms: float | None = None
    first_ms: float | None = None
    operators: tuple[OperatorRow, ...] = ()
    peak_memory_mb: float | None = None
    memory_mb: float | None = None
    applied: tuple[str, ...] = ()
    partly: tuple[str, ...] = ()
    taken: tuple[int, int] | None = None
    unknown_flags: tuple[str, ...] = ()


def parse_benchmark_log(text: str) -> BenchmarkLog:
    """Parse the program's output, stdout and stderr together.

    Raises:
        MnasError: if it contains no result, as when the program failed.
    """
    text = text.replace("\r\n", "\n")
    compiled = _number(text, r"Inference \(avg\):\s*{} ms \(") is not None
    if not compiled and not _TIMINGS.search(text):
        raise MnasError(f"benchmark_model printed no result. Its last lines:\n  {last_lines(text)}")
    try:
        rows = [_stats(match) for match in _COUNT.finditer(text)]
    except (OverflowError, ValueError) as error:
        raise MnasError(f"benchmark_model's statistics contain an invalid number: {error}") from None
    if compiled and len(rows) < 2:
        rows = [row for row in (_compiled_stats(text, "Warmup"), _compiled_stats(text, "Inference")) if row]
    if not rows:
        raise MnasError(f"benchmark_model printed no statistics of its runs. Its last lines:\n  {last_lines(text)}")
    _check(rows[-1])
    warm_up = rows[-2] if len(rows) > 1 else None
    return BenchmarkLog(
        inference=rows[-1],
        warm_up=warm_up,
        init_ms=_init_ms(text),
        first_ms=_first_ms(text, warm_up),
        operators=parse_operators(text, totals=compiled),
        peak_memory_mb=_first_of(text, r"peak memory footprint \(MB\)[^:\n]*: {}", r"Peak memory:\s*{} MB"),
        memory_mb=_first_of(
            text,
            r"Memory footprint delta[^\n]*overall={}",
            r"Peak memory footprint \(MB\): init=[^\n]*overall={}",
            r"Overall footprint:\s*{} MB",
        ),
        applied=tuple(re.findall(r"Explicitly applied (\w+) delegate", text)),
        partly=tuple(re.findall(r"Explicitly applied (\w+) delegate[^\n]*partially", text)),
        taken=_taken(text),
        unknown_flags=_unknown_flags(text),
    )


def _check(stats: RunStats) -> None:
    """Reject impossible statistics: no runs, or times out of order. Printed numbers are rounded to 6 digits."""
    if stats.min_ms <= 0 or stats.count < 1:
        raise MnasError("this network is too fast for the clock of this benchmark_model: use the classic one")
    inner = [time for time in (stats.p5_ms, stats.median_ms, stats.p95_ms) if time is not None]
    rows = ([stats.min_ms, *inner, stats.max_ms], [stats.min_ms, stats.mean_ms, stats.max_ms])
    ordered = all(before <= after * _ROUNDING for row in rows for before, after in pairwise(row))
    if not ordered or stats.max_ms > _MOST_MS:
        raise MnasError(f"benchmark_model's statistics are impossible: {stats}")


def last_lines(text: str) -> str:
    """Return the last lines of a program's output for a message: short, and without control characters."""
    lines = [line.strip() for line in printable(text, keep_lines=True).splitlines() if line.strip()]
    return "\n  ".join(line[:200] for line in lines[-_LAST_LINES:]) or "(nothing)"


def printable(text: str, *, keep_lines: bool = False) -> str:
    """Return text from a device without control characters, which could change the terminal."""
    return "".join(char for char in text if char.isprintable() or (keep_lines and char == "\n"))


def _stats(match: re.Match[str]) -> RunStats:
    found = {name: float(value) / 1e3 for name, value in _FIELD.findall(match[2])}
    same = found.get("curr", 0.0)  # for one run, or equal times, only this is printed
    return RunStats(
        count=int(float(match[1])),
        mean_ms=found.get("avg", same),
        min_ms=found.get("min", same),
        max_ms=found.get("max", same),
        std_ms=found.get("std", 0.0),
        first_ms=found.get("first", same),
        p5_ms=found.get("p5"),
        median_ms=found.get("median"),
        p95_ms=found.get("p95"),
    )


def _compiled_stats(text: str, name: str) -> RunStats | None:
    match = re.search(rf"{name} \(avg\):\s*{_NUMBER} ms \((\d+) runs\)", text)
    if match is None:
        return None
    mean = float(match[1])
    low, high, std = (_number(text, rf"{name} \({what}\):\s*{{}}") for what in ("min", "max", "std"))
    first = _number(text, rf"{name} \(first\):\s*{{}} ms")
    return RunStats(
        int(match[2]), mean, mean if low is None else low, mean if high is None else high, std or 0.0, first
    )


def _init_ms(text: str) -> float | None:
    said = _first_of(text, r"Initialized session in {}ms", r"Model initialization:\s*{} ms")
    in_us = _number(text, r"timings in us:[^\n]*Init: {}")
    return in_us / 1e3 if said is None and in_us is not None else said


def _first_ms(text: str, warm_up: RunStats | None) -> float | None:
    in_us = _number(text, r"First inference: {}")
    if in_us is not None:
        return in_us / 1e3
    said = _number(text, r"Warmup \(first\):\s*{} ms")
    return warm_up.first_ms if said is None and warm_up else said


def _taken(text: str) -> tuple[int, int] | None:
    found = re.search(r"Replacing (\d{1,9}) out of (\d{1,9}) node\(s\) with delegate", text)
    return (int(found[1]), int(found[2])) if found else None


def _unknown_flags(text: str) -> tuple[str, ...]:
    found = re.search(r"Unconsumed cmdline flags:([^\n]*)", text)
    return tuple(found[1].split()) if found else ()


def _first_of(text: str, *patterns: str) -> float | None:
    return next((value for pattern in patterns if (value := _number(text, pattern)) is not None), None)


def _number(text: str, pattern: str) -> float | None:
    match = re.search(pattern.replace("{}", _NUMBER), text)
    value = None if match is None else float(match[1])
    return value if value is not None and math.isfinite(value) else None
