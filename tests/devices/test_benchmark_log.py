"""Logs of both benchmark_models: real ones where they are at hand, lines in the same formats always."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest

from mnas.devices.benchmark_log import RunStats, parse_benchmark_log
from mnas.devices.operator_table import parse_operators
from mnas.errors import MnasError

DATA = Path(__file__).parents[2].parent / "shared" / "data"
CLASSIC = """\
INFO: Log parameter values verbosely: [0]
INFO: Graph: [/data/local/tmp/x.tflite]
INFO: Explicitly applied XNNPACK delegate, and the model graph will be partially executed by the delegate w/ 2 kernels.
INFO: The input model file size (MB): 13.9
INFO: Initialized session in 52.687ms.
INFO: Running benchmark for at least 3 iterations and at least 0 seconds but terminate if exceeding 20 seconds.
INFO: count=35 first=19105 curr=14140 min=13703 max=19105 avg=14452.5 std=935

INFO: Running benchmark for at least 70 iterations and at least 0 seconds but terminate if exceeding 20 seconds.
INFO: count=70 first=14941 curr=14066 min=13728 max=16145 avg=14290.9 std=452 p5=13800 median=14200 p95=15100

INFO: Inference timings in us: Init: 52687, First inference: 19105, Warmup (avg): 14452.5, Inference (avg): 14290.9
INFO: Memory footprint delta from the start of the tool (MB): init=31.2 overall=37.5
INFO: Overall peak memory footprint (MB) via periodic monitoring: 93.25
INFO: Profiling Info for Benchmark Initialization:
============================== Run Order ==============================
\t[node type]\t[first]\t[avg ms]\t[%]\t[cdf%]\t[mem KB]\t[times called]\t[Name]
\tModifyGraphWithDelegate\t40.1\t40.1\t90.0%\t90.0%\t100.000\t1\tModifyGraphWithDelegate/0

INFO: Operator-wise Profiling Info for Regular Benchmark Runs:
============================== Run Order ==============================
\t[node type]\t[first]\t[avg ms]\t[%]\t[cdf%]\t[mem KB]\t[times called]\t[Name]
\tConvolution (NHWC, QC8) IGEMM\t0.428\t0.5\t4.317%\t8.304%\t0.000\t1\tDelegate/Convolution (NHWC, QC8) IGEMM:0
\tConvolution (NHWC, QC8) DWConv\t0.428\t0.051\t4.317%\t8.304%\t0.000\t13\tDelegate/Convolution (NHWC, QC8) DWConv:1

============================== Top by Computation Time ==============================
\t[node type]\t[first]\t[avg ms]\t[%]\t[cdf%]\t[mem KB]\t[times called]\t[Name]
\tConvolution (NHWC, QC8) DWConv\t0.428\t0.051\t4.317%\t8.304%\t0.000\t13\tDelegate/Convolution (NHWC, QC8) DWConv:1

Number of nodes executed: 14
============================== Summary by node type ==============================
\t[Node type]\t[count]\t[avg ms]\t[avg %]\t[cdf %]\t[mem KB]\t[times called]
\tConvolution (NHWC, QC8) DWConv\t13\t0.663\t57.006%\t57.006%\t0.000\t13
"""
COMPILED = """\
INFO: [benchmark_litert_model.h:61]
========== BENCHMARK RESULTS ==========
INFO: [benchmark_litert_model.h:62] Model initialization: 12.34 ms
INFO: [benchmark_litert_model.h:63] Warmup (first):       3.21 ms
INFO: [benchmark_litert_model.h:65] Warmup (avg):         1.50 ms (3 runs)
INFO: [benchmark_litert_model.h:67] Inference (avg):      1.25 ms (20 runs)
INFO: [benchmark_litert_model.h:70] Inference (min):      1.10 ms
INFO: [benchmark_litert_model.h:72] Inference (max):      1.90 ms
INFO: [benchmark_litert_model.h:74] Inference (std):      0.08
INFO: [benchmark_litert_model.h:90] Overall footprint:    25.00 MB
INFO: [benchmark_litert_model.h:95] Peak memory:          61.50 MB
=========================== Run Order ============================
              [node type]    [start]    [first]   [avg ms]        [%]     [cdf%]   [mem KB] [times called]   [Name]
 Delegate/Add (ND)             0.000      0.001      0.200     1.035%     2.935%      0.000            20  [Delegate]:0
 Delegate/Mean (ND) Reduce2    0.001      0.001      0.100     1.035%     2.935%      0.000            40  [Delegate]:1

"""


def test_the_classic_log() -> None:
    log = parse_benchmark_log(CLASSIC)
    expected = RunStats(70, 14.2909, 13.728, 16.145, 0.452, 14.941, 13.8, 14.2, 15.1)
    assert astuple(log.inference) == pytest.approx(astuple(expected))
    assert log.warm_up is not None
    assert log.warm_up.count == 35
    assert (log.init_ms, log.first_ms, log.peak_memory_mb, log.memory_mb) == (52.687, 19.105, 93.25, 37.5)
    assert (log.claims.applied, log.claims.partly, log.claims.unknown_flags) == (("XNNPACK",), ("XNNPACK",), ())
    assert [row.node_type for row in log.operators] == [
        "Convolution (NHWC, QC8) IGEMM",
        "Convolution (NHWC, QC8) DWConv",
    ]
    assert log.operators[1].name == "Delegate/Convolution (NHWC, QC8) DWConv:1"
    assert log.operators[1].calls == 13
    assert log.operators[1].latency_ms == pytest.approx(13 * 0.051)


def test_without_prefixes_and_with_carriage_returns() -> None:
    assert parse_benchmark_log(CLASSIC.replace("INFO: ", "").replace("\n", "\r\n")) == parse_benchmark_log(CLASSIC)


def test_the_compiled_models_log() -> None:
    log = parse_benchmark_log(COMPILED)
    assert log.inference == RunStats(20, 1.25, 1.10, 1.90, 0.08)
    assert (log.init_ms, log.first_ms, log.peak_memory_mb, log.memory_mb) == (12.34, 3.21, 61.5, 25.0)
    assert [(row.calls, row.latency_ms) for row in log.operators] == [(1, 0.2), (2, 0.2)]
    counts = (
        "INFO: count=3 curr=1500(all same)\nINFO: count=20 first=1201 curr=1251 min=1101 max=1901 avg=1254.5 std=8\n"
    )
    finer = parse_benchmark_log(counts + COMPILED)  # the lines in microseconds, where the build prints them
    assert finer.inference.mean_ms == 1.2545
    assert finer.warm_up == RunStats(3, 1.5, 1.5, 1.5, 0.0, 1.5)


@pytest.mark.parametrize(
    ("line", "mean", "mean_ms"),
    [
        ("count=1 curr=637079", "Inference (avg): 637079", 637.079),
        ("count=5 curr=1000(all same)", "Inference: 1000", 1.0),
        (
            "INFO: count=2 first=9e6 curr=9.99242e+06 min=9e6 max=9.99242e+06 avg=9.49621e+06 std=0",
            "Inference (avg): 9.49621e+06",
            9496.21,
        ),
        ("07-14 13:14:56 228 I tflite  : count=2 first=8 curr=6 min=6 max=8 avg=7 std=1", "no stats: 7", 0.007),
    ],
)
def test_rare_count_lines(line: str, mean: str, mean_ms: float) -> None:
    log = parse_benchmark_log(f"{line}\n\nInference timings in us: Init: 5, First inference: 7, {mean}\n")
    assert log.inference.mean_ms == pytest.approx(mean_ms)
    assert (log.init_ms, log.first_ms) == (0.005, 0.007)


def test_a_log_that_was_cut_off_is_no_result() -> None:
    cut = CLASSIC[: CLASSIC.index("INFO: Inference timings")]
    with pytest.raises(MnasError, match=r"(?s)no result.*count=70"):
        parse_benchmark_log(cut)
    end = CLASSIC.index("INFO: Memory footprint")
    for size in range(CLASSIC.index("INFO: count=70"), end - 1):
        with pytest.raises(MnasError, match="benchmark_model"):  # wherever it is cut, no number is taken from it
            parse_benchmark_log(CLASSIC[:size])
    assert parse_benchmark_log(CLASSIC[:end]).inference.mean_ms == pytest.approx(14.2909)
    with pytest.raises(MnasError, match="nothing"):
        parse_benchmark_log("")
    with pytest.raises(MnasError, match="no statistics"):
        parse_benchmark_log("Inference timings in us: Init: 5, Inference (avg): 5\n")


def test_a_network_that_takes_no_time_is_no_result() -> None:
    with pytest.raises(MnasError, match="too fast"):
        parse_benchmark_log(COMPILED.replace("1.10 ms", "0.00 ms"))


def test_flags_that_a_build_does_not_know() -> None:
    log = parse_benchmark_log("Unconsumed cmdline flags: --use_gpu=true --warmup_min_secs=0\n" + CLASSIC)
    assert log.claims.unknown_flags == ("--use_gpu=true", "--warmup_min_secs=0")


def test_times_have_the_summary() -> None:
    stats = RunStats(50, mean_ms=2.0, min_ms=1.8, max_ms=3.0, std_ms=0.2)
    times = stats.times_ms(400)
    assert (times[0], times[-1]) == (1.8, 3.0)
    assert times.mean() == pytest.approx(2.0, rel=0.005)
    assert (np.diff(times) >= 0).all()
    full = RunStats(50, 2.0, 1.8, 3.0, p5_ms=1.85, median_ms=1.9, p95_ms=2.5)
    assert np.median(full.times_ms(401)) == 1.9
    assert RunStats(5, 2.0, 2.0, 2.0).times_ms(3).tolist() == [2.0, 2.0, 2.0]
    assert RunStats(5, 2.0, 1.0, 3.0).times_ms(1).tolist() == [2.0]


def test_a_real_log_of_a_pixel_1() -> None:
    path = DATA / "benchmark_model_log_pixel1_proxyless_mobile.txt"
    if not path.is_file():
        pytest.skip("the real log is not at ../shared/data")
    log = parse_benchmark_log(path.read_text())
    assert (log.inference.count, log.inference.mean_ms, log.init_ms) == (100, 80.6702, 47.967)
    assert log.first_ms == 101.052
    assert len(log.operators) == 77
    assert sum(row.latency_ms for row in log.operators) == pytest.approx(80.67, abs=0.05)
    assert log.operators[1].node_type == "DEPTHWISE_CONV_2D"
    assert log.operators[-1].name == "MNasNet/Logits/output"


@pytest.mark.parametrize(
    ("name", "count", "wall_us"),
    [("builtin_x86_64", 29, 2018.8), ("xnnpack_x86_64", 30, 755.7), ("xnnpack_aarch64_qemu", 30, 215029.8)],
)
def test_real_summaries_of_litert(name: str, count: int, wall_us: float) -> None:
    path = DATA / f"litert_2.3_profile_{name}.txt"
    if not path.is_file():
        pytest.skip("the real summaries are not at ../shared/data")
    rows = parse_operators(path.read_text(), totals=True)
    assert len(rows) == count
    assert all(row.calls == 1 for row in rows)
    assert sum(row.latency_ms for row in rows) * 1e3 == pytest.approx(wall_us, rel=0.25)  # the rest is no operator


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("avg=14290.9", "avg=-14290.9"),
        ("avg=14290.9", "avg=99999999"),
        ("min=13728", "min=14500"),
        ("median=14200", "median=1420"),
        ("max=16145", "max=1e12"),
        ("max=16145 avg=14290.9 std=452 p5=13800 median=14200 p95=15100", "max=1e999 avg=14290.9"),
    ],
)
def test_times_that_cannot_be_are_refused(before: str, after: str) -> None:
    assert before in CLASSIC
    stated = after.rpartition("avg=")[2] if "avg=" in after else "14290.9"
    text = CLASSIC.replace(before, after).replace("Inference (avg): 14290.9", f"Inference (avg): {stated}")
    with pytest.raises(MnasError, match="are impossible"):
        parse_benchmark_log(text)


@pytest.mark.parametrize("before", ["\t0.428\t0.5\t", "\t0.428\t0.051\t"])
@pytest.mark.parametrize("after", ["\t0.428\t1.2.3\t", "\t0.428\t-0.051\t", "\t0.428\t0,5\t"])
def test_operators_are_read_completely_or_not_at_all(before: str, after: str) -> None:
    log = parse_benchmark_log(CLASSIC.replace(before, after, 1))
    assert log.operators == ()
    assert log.inference.mean_ms == pytest.approx(14.2909)
    assert len(parse_benchmark_log(CLASSIC).operators) == 2


ROW = "INFO: count=70 first=14941 curr=14066 min=13728 max=16145 avg=14290.9 std=452 p5=13800 median=14200 p95=15100"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (ROW, ""),  # lost: what is left is the warm-up's row
        (ROW, ROW.replace("std=452", "std=452 mali: frame 3")),
        (ROW, ROW.replace("avg=14290.9", "avg=14290,9")),
        (ROW, ROW.replace("avg=14290.9", "avg=14,290.9")),
        (ROW, ROW.replace("14290.9", "14 290.9")),
        (ROW, ROW.replace("avg=14290.9", "avg=nan")),
        (ROW, ROW.replace("avg=14290.9", "avg=14290.9us")),
        (ROW, ROW.replace("avg=14290.9", "avg=14290.9mali: 3")),
        (ROW, ROW.replace(" avg=14290.9", "")),
        (ROW, "INFO: count=70 first=14941 curr=14066"),
        (ROW, "INFO: count=0"),
        (ROW, ROW.replace("count=", "cou mali nt=")),
        (ROW, f"{ROW}\n{ROW}"),
        ("Inference (avg): 14290.9", "Inference (avg): 14,290.9"),
        ("Inference (avg): 14290.9", "Inference (avg): 14290,9"),
        ("Inference (avg): 14290.9", "Inference (avg): nan"),
        ("Inference (avg): 14290.9", "Inference (avg): 14452.5"),
        (", Inference (avg): 14290.9", ""),
        ("Warmup (avg): 14452.5", "Warmup (avg): 14290.9"),
        ("Init: 52687", "Init: 52,687"),
        ("session in 52.687ms", "session in 52,687ms"),
        ("INFO: Inference timings", ROW.replace("avg=14290.9", "avg=14000") + "\nINFO: Inference timings"),
    ],
)
def test_a_log_that_cannot_be_read_completely_is_refused_with_its_line(before: str, after: str) -> None:
    assert before in CLASSIC
    with pytest.raises(MnasError, match=r"output cannot be trusted: the line\n  .*(count|Running|timings|Init).*\n"):
        parse_benchmark_log(CLASSIC.replace(before, after))


def test_two_programs_that_print_at_a_time_are_refused() -> None:
    for text in (CLASSIC + CLASSIC, COMPILED + COMPILED):
        with pytest.raises(MnasError, match=r"two programs is mixed|has no row|where the warm-up"):
            parse_benchmark_log(text)


@pytest.mark.parametrize(
    "text",
    [
        CLASSIC.replace(ROW, f"\x1b[32m{ROW}\x1b[0m").replace("Inference (avg)", "\x1b[1mInference (avg)\x1b[0m"),
        CLASSIC.replace(ROW, "\x1b[0;32mINFO:\x1b[0m " + ROW.removeprefix("INFO: ")),
        CLASSIC.replace(ROW, ROW.replace("INFO: ", "07-14 13:14:56.520 22838 22838 I tflite  : ")),
        CLASSIC.replace(ROW, f"mali: frame 3\n{ROW}\nmali: frame 4 took 20450"),
    ],
)
def test_colours_and_text_of_others_change_nothing(text: str) -> None:
    assert parse_benchmark_log(text) == parse_benchmark_log(CLASSIC)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("1.25 ms (20 runs)", "1,25 ms (20 runs)"),
        ("1.25 ms (20 runs)", "nan ms (20 runs)"),
        ("INFO: [benchmark_litert_model.h:70] Inference (min):      1.10 ms\n", ""),
        ("INFO: [benchmark_litert_model.h:72] Inference (max):      1.90 ms\n", ""),
        ("Inference (max):      1.90", "Inference (max):      1,90"),
    ],
)
def test_results_of_litert_that_cannot_be_read_are_refused(before: str, after: str) -> None:
    assert before in COMPILED
    with pytest.raises(MnasError, match=r"output cannot be trusted: the line\n  .*Inference"):
        parse_benchmark_log(COMPILED.replace(before, after))


def test_rows_of_litert_agree_with_its_results() -> None:
    counts = "INFO: count=3 curr=1500(all same)\nINFO: count=20 curr=1300(all same)\n"
    with pytest.raises(MnasError, match=r"contradicts the row of 20 runs, whose mean is 1\.3 ms"):
        parse_benchmark_log(counts + COMPILED)
