"""Which benchmark_model a file is, and what it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from mnas.devices.benchmark_binary import BenchmarkBinary
from mnas.devices.benchmark_log import parse_benchmark_log
from mnas.errors import InputError, MnasError

DONE = "count=3 curr=5\nInference timings in us: Init: 5\n"


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
    classic.check_log(parse_benchmark_log(DONE), "xnnpack")
    with pytest.raises(MnasError, match="did not run the network on NNAPI"):
        classic.check_log(parse_benchmark_log(DONE), "nnapi")
    old = parse_benchmark_log("Unconsumed cmdline flags: --use_xnnpack=false\n" + DONE)
    with pytest.raises(MnasError, match="does not know --use_xnnpack"):
        classic.check_log(old, "none")


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
    applied = "INFO: Explicitly applied {} delegate, and the model graph will be {} executed by the delegate{}.\n"
    partly = parse_benchmark_log(said + applied.format("GPU", "partially", " w/ 2 kernels") + DONE)
    with pytest.raises(MnasError, match=f"ran {share} of the network on GPU, the rest on its CPU"):
        classic.check_log(partly, "gpu")
    classic.check_log(parse_benchmark_log(applied.format("GPU", "completely", "") + DONE), "gpu")
    # XNNPACK shares the CPU with TFLite's own kernels: that is what a phone's CPU takes.
    classic.check_log(parse_benchmark_log(applied.format("XNNPACK", "partially", " w/ 2 kernels") + DONE), "xnnpack")


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
