"""Which benchmark_model a file is, and what it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from mnas.devices.benchmark_binary import BenchmarkBinary
from mnas.devices.benchmark_log import parse_benchmark_log
from mnas.errors import InputError, MnasError

DONE = "count=3 curr=5(all same)\nInference timings in us: Init: 5, Inference (avg): 5\n"
APPLIED = "INFO: Explicitly applied {} delegate, and the model graph will be {} executed by the delegate{}.\n"
IDLE = "INFO: Though {} delegate is explicitly applied, the model graph will not be executed by the delegate.\n"
CREATED = "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n"
REPLACED = "VERBOSE: Replacing {} out of {} node(s) with delegate ({}) node, yielding 1 partitions for subgraph 0.\n"


def check(binary: BenchmarkBinary, log: str, delegate: str) -> None:
    binary.check_log(parse_benchmark_log(log + DONE), delegate, graph="/x.tflite", runs=3, threads=1)


def make(folder: Path, *strings: str, machine: int = 0xB7) -> BenchmarkBinary:
    path = folder / "benchmark"
    path.write_bytes(b"\x7fELF" + bytes(14) + machine.to_bytes(2, "little") + "\0".join(strings).encode())
    return BenchmarkBinary.read(path)


def test_the_two_kinds(tmp_path: Path) -> None:
    classic = make(tmp_path, "num_runs", "num_threads", "enable_op_profiling", "use_xnnpack")
    assert (classic.kind, classic.abi, classic.runtime) == ("classic", "arm64-v8a", "benchmark_model")
    compiled = make(tmp_path, "num_runs", "num_threads", "use_profiler", "= BENCHMARK RESULTS =", machine=0x28)
    assert (compiled.kind, compiled.abi) == ("compiled", "armeabi-v7a")
    assert compiled.sha256 != classic.sha256
    options = {"runs": 5, "warm_up": 0, "threads": 2}
    said = classic.arguments("x", delegate="none", **options)  # type: ignore[arg-type]
    assert {"--graph=x", "--use_xnnpack=false", "--num_threads=2", "--warmup_runs=1"} <= set(said)
    said = classic.arguments("x", delegate="nnapi", profiling=True, **options)  # type: ignore[arg-type]
    assert {"--use_nnapi=true", "--enable_op_profiling=true"} <= set(said)
    said = compiled.arguments("x", delegate="gpu", profiling=True, **options)  # type: ignore[arg-type]
    assert {"--use_gpu=true", "--require_full_delegation=true", "--use_profiler=true"} <= set(said)


def test_delegates(tmp_path: Path) -> None:
    compiled = make(tmp_path, "num_runs", "num_threads", "use_profiler", "= BENCHMARK RESULTS =")
    for delegate in ("none", "nnapi", "coreml"):
        with pytest.raises(InputError, match="has xnnpack, gpu; the classic one has xnnpack, none, gpu, nnapi"):
            compiled.check_delegate(delegate)
    compiled.check_delegate("xnnpack")
    classic = make(tmp_path, "num_runs", "num_threads")
    check(classic, "", "none")
    with pytest.raises(MnasError, match="did not run the network on NNAPI"):
        check(classic, "", "nnapi")
    with pytest.raises(MnasError, match="does not know --use_xnnpack"):
        check(classic, "Unconsumed cmdline flags: --use_xnnpack=false\n", "none")


@pytest.mark.parametrize(
    ("delegate", "log"),
    [
        ("xnnpack", APPLIED.format("XNNPACK", "completely", "")),
        ("xnnpack", CREATED + REPLACED.format(58, 58, "TfLiteXNNPackDelegate")),
        # XNNPACK shares the CPU with TFLite's own kernels: that is what a phone's CPU takes.
        ("xnnpack", APPLIED.format("XNNPACK", "partially", " w/ 2 kernels")),
        ("gpu", APPLIED.format("GPU", "completely", "") + IDLE.format("XNNPACK")),
        ("gpu", CREATED + REPLACED.format(49, 49, "TfLiteGpuDelegateV2") + APPLIED.format("GPU", "completely", "")),
        ("gpu", "Created 1 GPU delegate kernels.\nApplied GPU delegate.\n"),
        ("gpu", "Applied GPU delegate, and the model graph will be completely executed w/ the delegate.\n"),
        ("nnapi", APPLIED.format("NNAPI", "completely", "")),
        (
            "nnapi",
            "INFO: NNAPI accelerators available: [google-edgetpu,nnapi-reference]\n"
            + APPLIED.format("NNAPI", "completely", ""),
        ),
        ("none", "INFO: Use gpu: [0]\nUse xnnpack: [0]\nNum threads: [1]\nGraph: [/x.tflite]\nMin num runs: [3]\n"),
        ("none", "Use gpu : [0]\nNum runs: [3]\n"),
        ("none", "WARN: Unconsumed cmdline flags: --report_peak_memory_footprint=true\n"),
    ],
)
def test_what_was_done_is_what_was_asked(tmp_path: Path, delegate: str, log: str) -> None:
    check(make(tmp_path, "num_runs", "num_threads"), log, delegate)


@pytest.mark.parametrize(
    ("delegate", "log", "message"),
    [
        ("xnnpack", IDLE.format("XNNPACK"), "not run the network on XNNPACK: XNNPACK takes none of its operators"),
        ("xnnpack", "", "did not run the network on XNNPACK: this benchmark_model or phone has no"),
        ("xnnpack", CREATED, "did not run the network on XNNPACK"),
        ("xnnpack", CREATED + REPLACED.format(0, 58, "TfLiteXNNPackDelegate"), "did not run the network on XNNPACK"),
        ("gpu", IDLE.format("GPU"), "not run the network on GPU: GPU takes none of its operators"),
        ("gpu", APPLIED.format("XNNPACK", "completely", ""), "did not run the network on GPU"),
        (
            "gpu",
            "Applied GPU delegate, and the model graph will be partially executed w/ the delegate.\n",
            "only a part",
        ),
        ("gpu", REPLACED.format(5, 64, "TfLiteGpuDelegateV2") + "Applied GPU delegate.\n", "only 5 of 64 operators"),
        # NNAPI says that it took everything, and then that it runs nothing: a float network on an accelerator for int8.
        ("nnapi", REPLACED.format(31, 31, "TfLiteNnapiDelegate") + IDLE.format("NNAPI"), "takes none of its operators"),
        (
            "nnapi",
            "INFO: NNAPI accelerators available: [nnapi-reference]\n" + APPLIED.format("NNAPI", "completely", ""),
            "its NNAPI has nnapi-reference alone",
        ),
        ("none", APPLIED.format("XNNPACK", "completely", ""), "used XNNPACK although --delegate is none"),
        ("none", CREATED, "used XNNPACK although --delegate is none"),
        ("none", "Unconsumed cmdline flags: --num_threads=1\n", "does not know --num_threads=1: use a newer one"),
        (
            "none",
            "WARN: Unconsumed cmdline flags: --min_secs=0 --max_secs=20\n",
            "does not know --min_secs=0, --max_secs",
        ),
        ("none", "Num threads: [4]\n", "its setting 'num threads' is '4'; it was asked for '1'"),
        ("none", "#threads used for CPU inference: [4]\n", "'#threads used for cpu inference' is '4'"),
        ("none", "Graph: [/data/local/tmp/mnas/1.tflite]\n", "'graph' is '/data/local/tmp/mnas/1.tflite'"),
        ("none", "Use xnnpack: [1]\n", "'use xnnpack' is '1'"),
        ("none", "Min num runs: [50]\n", "'min num runs' is '50'; it was asked for '3'"),
    ],
)
def test_what_was_not_done_as_asked_is_refused(tmp_path: Path, delegate: str, log: str, message: str) -> None:
    with pytest.raises(MnasError, match=message):
        check(make(tmp_path, "num_runs", "num_threads"), log, delegate)


def test_the_number_of_runs_is_the_one_asked_for(tmp_path: Path) -> None:
    classic = make(tmp_path, "num_runs", "num_threads")
    row = "count=50 curr={us}(all same)\nInference timings in us: Init: 5, Inference (avg): {us}\n"
    slow, quick = (parse_benchmark_log(row.format(us=us)) for us in (399000, 5))
    classic.check_log(slow, "none", graph="x", runs=60, threads=1)  # the time was over
    for runs in (3, 60):
        with pytest.raises(MnasError, match=f"ran the network 50 times instead of {runs}"):
            classic.check_log(quick, "none", graph="x", runs=runs, threads=1)


def test_litert_does_not_share_a_network_between_gpu_and_cpu(tmp_path: Path) -> None:
    compiled = make(tmp_path, "num_runs", "num_threads", "= BENCHMARK RESULTS =")
    with pytest.raises(MnasError, match="only a part of the network on GPU, the rest on its CPU"):
        check(compiled, REPLACED.format(2, 40, "TfLiteXNNPackDelegate"), "gpu")
    check(compiled, REPLACED.format(40, 40, "LITERT_CL"), "gpu")


@pytest.mark.parametrize(
    ("said", "share"),
    [
        ("", "only a part"),
        (
            "INFO: Replacing 61 out of 64 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 3 partitions.\n"
            "INFO: Replacing 3 out of 4 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 2 partitions.\n",
            "only 61 of 64 operators",
        ),
    ],
)
def test_a_network_that_ran_partly_elsewhere_is_refused(tmp_path: Path, said: str, share: str) -> None:
    classic = make(tmp_path, "num_runs", "num_threads")
    with pytest.raises(MnasError, match=f"ran {share} of the network on GPU, the rest on its CPU"):
        check(classic, said + APPLIED.format("GPU", "partially", " w/ 2 kernels"), "gpu")


def test_what_does_not_run_on_the_phone(tmp_path: Path) -> None:
    classic = make(tmp_path, "num_runs", "num_threads", machine=0x3E)
    classic.check_abis("x86_64,x86")
    with pytest.raises(InputError, match=r"built for x86_64; this phone runs arm64-v8a,armeabi"):
        classic.check_abis("arm64-v8a,armeabi-v7a")
    classic.check_abis("")  # a phone that does not say


def test_what_is_no_benchmark_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--benchmark-binary PATH"):
        BenchmarkBinary.read(None)
    with pytest.raises(InputError, match="No such file"):
        BenchmarkBinary.read(tmp_path / "none")
    with pytest.raises(InputError, match="is not a benchmark_model"):
        make(tmp_path, "something else")
    (tmp_path / "page.html").write_text("<html>num_runs num_threads")
    with pytest.raises(InputError, match="not a program for Android"):
        BenchmarkBinary.read(tmp_path / "page.html")
