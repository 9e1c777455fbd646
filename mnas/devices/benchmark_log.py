"""Parsing the output of `benchmark_model`: TFLite's classic program, and LiteRT's for compiled models.

Both come from one code base and print `count=... avg=...` lines in microseconds; LiteRT's adds lines such as
`Inference (avg):      1.23 ms (50 runs)`. Builds since 2024 append percentiles; older ones lack the leading `INFO: `.
What the program says of delegates and settings is in `benchmark_claims`.

A phone mixes other text into this output. So a result is only what can be read completely: one row for each block of
runs, and the mean of the last one stated a second time at the end. Anything else is refused with the line in question.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from mnas.devices.base import Array
from mnas.devices.benchmark_claims import Claims, parse_claims
from mnas.devices.operator_table import OperatorRow, parse_operators
from mnas.errors import MnasError

_NUMBER = r"([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)"
_WORD = r"(\S+?)"  # where a number should be
_ROW = re.compile(rf"(?:.*\s)?count={_NUMBER}((?: \w+={_NUMBER}(?:\(all same\))?)+)\s*")
_ROW_LIKE = re.compile(r"\bcount=(?:0\b|.*\b(?:first|curr|min|max|avg|std)=)")
_FIELD = re.compile(rf"(\w+)={_NUMBER}")
_SUMMARIES = ("Timings (microseconds)", "Memory (bytes)")  # of the profiler; in the form of a row
_BLOCK, _TIMINGS = "Running benchmark for", "timings in us:"
_MEAN_NAMES = ("Inference (avg)", "Inference", "no stats")  # from new builds to old ones
_WARM_UP_NAMES = ("Warmup (avg)", "Warmup")
_COMPILED_MEAN = re.compile(r"^.*Inference \(avg\):[^\n]*\bruns\b.*$", re.MULTILINE)
_ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_LAST_LINES = 4
_ROUNDING = 1.001
_SAME = 1e-5  # relative difference of a mean that is printed twice, with 6 digits
_SAME_MS = 0.0051  # of LiteRT's, with two digits
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
        claims: what the program says about its delegates and settings.
    """

    inference: RunStats
    warm_up: RunStats | None = None
    init_ms: float | None = None
    first_ms: float | None = None
    operators: tuple[OperatorRow, ...] = ()
    peak_memory_mb: float | None = None
    memory_mb: float | None = None
    claims: Claims = field(default_factory=Claims)


def parse_benchmark_log(text: str) -> BenchmarkLog:
    """Parse the program's output, stdout and stderr together.

    Raises:
        MnasError: if it contains no result, as when the program failed, or one that cannot be read completely.
    """
    text = _ESCAPE.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    rows, timings = _blocks(text)
    compiled = _COMPILED_MEAN.findall(text)
    if len(timings) + len(compiled) == 0:
        raise MnasError(f"benchmark_model printed no result. Its last lines:\n  {last_lines(text)}")
    if max(len(timings), len(compiled)) > 1:
        raise _unreadable((timings or compiled)[1], "states a second result: the output of two programs is mixed")
    if compiled:
        rows = _with_compiled(text, rows)
    if not rows:
        raise MnasError(f"benchmark_model printed no statistics of its runs. Its last lines:\n  {last_lines(text)}")
    warm_up, inference = (rows[-2] if len(rows) > 1 else None), rows[-1]
    for line in timings:
        _check_mean(line, _MEAN_NAMES, inference, required=True)
        _check_mean(line, _WARM_UP_NAMES, warm_up, required=False)
    _check(inference)
    return BenchmarkLog(
        inference=inference,
        warm_up=warm_up,
        init_ms=_init_ms(text),
        first_ms=_first_ms(text, warm_up),
        operators=parse_operators(text, totals=bool(compiled)),
        peak_memory_mb=_first_of(text, r"peak memory footprint \(MB\)[^:\n]*: {}(?=\s|$)", r"Peak memory:\s*{} MB"),
        memory_mb=_first_of(
            text,
            r"Memory footprint delta[^\n]*overall={}(?=\s|$)",
            r"Peak memory footprint \(MB\): init=[^\n]*overall={}(?=\s|$)",
            r"Overall footprint:\s*{} MB",
        ),
        claims=parse_claims(text),
    )


def _blocks(text: str) -> tuple[list[RunStats], list[str]]:
    """Return the row of each block of runs (the warm-up's and the measured one's), and the lines of mean times.

    Raises:
        MnasError: if a row cannot be read, or a block has none or several.
    """
    rows: list[RunStats] = []
    timings: list[str] = []
    blocks: list[str] = []
    for line in text.split("\n"):
        if any(summary in line for summary in _SUMMARIES):
            continue
        if _TIMINGS in line:
            timings.append(line)
        elif _BLOCK in line:
            if len(blocks) != len(rows):
                raise _unreadable((*blocks, line)[-2], "has no row of statistics after it")
            blocks.append(line)
        elif _ROW_LIKE.search(line):
            rows.append(_stats(line))
            if blocks and len(rows) > len(blocks):
                raise _unreadable(line, "belongs to no block of runs: the output of two programs is mixed")
    if len(blocks) > len(rows):
        raise _unreadable(blocks[-1], "has no row of statistics after it")
    if len(rows) > 2:
        raise MnasError(
            f"benchmark_model printed {len(rows)} rows of runs where the warm-up and the runs have one each"
        )
    return rows, timings


def _stats(line: str) -> RunStats:
    """Read a row.

    Raises:
        MnasError: if it is not complete.
    """
    match = _ROW.fullmatch(line)
    if match is None:
        raise _unreadable(line, "is not a complete row of its statistics")
    try:
        found = {name: float(value) / 1e3 for name, value in _FIELD.findall(match[2])}
        count = int(float(match[1]))
    except (OverflowError, ValueError) as error:
        raise _unreadable(line, f"has an invalid number ({error})") from None
    if set(found) == {"curr"}:  # one run, or equal times
        same = found["curr"]
        if count != 1 and "(all same)" not in line:
            raise _unreadable(line, "is cut off")
        return RunStats(count, same, same, same, first_ms=same)
    if missing := {"min", "max", "avg"} - found.keys():
        raise _unreadable(line, f"has no {', '.join(sorted(missing))}")
    return RunStats(
        count=count,
        mean_ms=found["avg"],
        min_ms=found["min"],
        max_ms=found["max"],
        std_ms=found.get("std", 0.0),
        first_ms=found.get("first"),
        p5_ms=found.get("p5"),
        median_ms=found.get("median"),
        p95_ms=found.get("p95"),
    )


def _check_mean(line: str, names: Sequence[str], stats: RunStats | None, *, required: bool) -> None:
    """Check that a line of mean times in microseconds states the mean of a row.

    Raises:
        MnasError: if it cannot be read, or states another mean.
    """
    values = dict(part.strip().rpartition(": ")[::2] for part in line.partition(_TIMINGS)[2].split(", "))
    stated = next((values[name] for name in names if name in values), None)
    if stated is None and required:
        raise _unreadable(line, "does not state the mean of the runs")
    if stated is None or stats is None:
        return
    if re.fullmatch(_NUMBER, stated) is None:
        raise _unreadable(line, f"states {stated!r} where a number of microseconds is expected")
    mean_ms = float(stated) / 1e3
    if not math.isclose(mean_ms, stats.mean_ms, rel_tol=_SAME):
        raise _unreadable(line, f"contradicts the row of the runs, whose mean is {stats.mean_ms:.6g} ms")


def _with_compiled(text: str, rows: list[RunStats]) -> list[RunStats]:
    """Return the rows of LiteRT's program, in microseconds where it prints them, compared with its results in ms.

    Raises:
        MnasError: if one cannot be read, or they differ.
    """
    stated = [stats for stats in (_compiled_stats(text, "Warmup"), _compiled_stats(text, "Inference")) if stats]
    if len(rows) < 2:
        return stated
    row, result = rows[-1], stated[-1]
    if row.count != result.count or not math.isclose(row.mean_ms, result.mean_ms, abs_tol=_SAME_MS, rel_tol=_SAME):
        line = _COMPILED_MEAN.findall(text)[0]
        raise _unreadable(line, f"contradicts the row of {row.count} runs, whose mean is {row.mean_ms:.6g} ms")
    return rows


def _unreadable(line: str, why: str) -> MnasError:
    shown = printable(line).strip()[:300]
    return MnasError(
        f"benchmark_model's output cannot be trusted: the line\n  {shown}\n  {why}. Run the same command again; if it "
        "stays so, take another build of benchmark_model"
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


def _compiled_stats(text: str, name: str) -> RunStats | None:
    mean = _number(text, rf"{name} \(avg\):\s*{{}} ms \(\S+ runs\)")
    if mean is None:
        return None
    count = _number(text, rf"{name} \(avg\):\s*\S+ ms \({{}} runs\)") or 0
    low, high, std = (_number(text, rf"{name} \({what}\):\s*{{}}(?=\s|$)") for what in ("min", "max", "std"))
    if name == "Inference" and (low is None or high is None):
        raise _unreadable(f"Inference ({'min' if low is None else 'max'}):", "is missing from the results")
    first = _number(text, rf"{name} \(first\):\s*{{}} ms")
    return RunStats(int(count), mean, mean if low is None else low, mean if high is None else high, std or 0.0, first)


def _init_ms(text: str) -> float | None:
    said = _first_of(text, r"Initialized session in {}ms", r"Model initialization:\s*{} ms")
    in_us = _number(text, r"timings in us:[^\n]*Init: {},?(?=\s|$)")
    return in_us / 1e3 if said is None and in_us is not None else said


def _first_ms(text: str, warm_up: RunStats | None) -> float | None:
    in_us = _number(text, r"First inference: {},?(?=\s|$)")
    if in_us is not None:
        return in_us / 1e3
    said = _number(text, r"Warmup \(first\):\s*{} ms")
    return warm_up.first_ms if said is None and warm_up else said


def _first_of(text: str, *patterns: str) -> float | None:
    return next((value for pattern in patterns if (value := _number(text, pattern)) is not None), None)


def _number(text: str, pattern: str) -> float | None:
    """The number at `{}` in a pattern; None where the pattern does not occur.

    Raises:
        MnasError: if there is something else than a number.
    """
    match = re.search(pattern.replace("{}", _WORD), text, re.MULTILINE)
    if match is None:
        return None
    value = float(match[1]) if re.fullmatch(_NUMBER, match[1]) else math.nan
    if not math.isfinite(value):
        raise _unreadable(match[0], f"has {printable(match[1])[:40]!r} where a number is expected")
    return value
