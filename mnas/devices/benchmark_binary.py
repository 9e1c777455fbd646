"""A `benchmark_model` of the user: which of the two programs it is, its platform and its flags."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mnas.devices.benchmark_claims import Claims
from mnas.devices.benchmark_log import BenchmarkLog, printable
from mnas.devices.delegate import Delegate
from mnas.errors import InputError, MnasError

_BUILDS = "https://storage.googleapis.com"
_CLASSIC = f"{_BUILDS}/tensorflow-nightly-public/prod/tensorflow/release/lite/tools/nightly/latest"
WHERE = (
    f"get it from {_CLASSIC}/android_aarch64_benchmark_model, or LiteRT's from "
    f"{_BUILDS}/litert/binaries/latest/android_arm64/benchmark_model"
)
RUNTIMES = {"classic": "benchmark_model", "compiled": "litert_benchmark_model"}
MAX_SECONDS = 20  # of warm-up, and of runs, at most
_EXTERNAL = "external"
# By delegate; the program does not support others.
_FLAGS: dict[str, dict[str, tuple[str, ...]]] = {
    "classic": {
        "xnnpack": ("--use_xnnpack=true",),
        "none": ("--use_xnnpack=false",),
        # Old builds do not say whether a delegate runs everything: they end if it does not, or do not know the flag.
        "gpu": ("--use_gpu=true", "--require_full_delegation=true"),
        # Without the second, NNAPI may run operators on its own, slow, CPU code.
        "nnapi": ("--use_nnapi=true", "--disable_nnapi_cpu=true", "--require_full_delegation=true"),
        "hexagon": ("--use_hexagon=true", "--require_full_delegation=true"),
        _EXTERNAL: ("--require_full_delegation=true",),
    },
    "compiled": {
        "xnnpack": ("--use_cpu=true",),
        # Without these two it would silently use the CPU if it finds no GPU.
        "gpu": ("--use_gpu=true", "--use_cpu=false", "--require_full_delegation=true"),
    },
}
_PROFILING = {"classic": "--enable_op_profiling=true", "compiled": "--use_profiler=true"}
_ABIS = {0xB7: "arm64-v8a", 0x28: "armeabi-v7a", 0x3E: "x86_64", 0x03: "x86"}  # by e_machine of the ELF header
_INPUT = "image"  # any name works for a single input
_OPTIONAL = {*_PROFILING.values(), "--report_peak_memory_footprint=true"}  # details, which a build may lack
# As the program calls them.
_DELEGATES = {"gpu": "GPU", "nnapi": "NNAPI", "xnnpack": "XNNPACK", "hexagon": "HEXAGON", _EXTERNAL: "EXTERNAL"}
_NNAPI_ON_CPU = "nnapi-reference"
NOT_WHOLE = "Disallowed CPU fallback detected"  # the program ends with it, for --require_full_delegation


@dataclass(frozen=True)
class BenchmarkBinary:
    """A program to measure with.

    Attributes:
        path: on this machine.
        kind: `classic` (TFLite's) or `compiled` (LiteRT's, for its CompiledModel).
        abi: the platform it is built for, as Android names it; empty for a script, which runs anywhere.
        sha256: of the file.
    """

    path: Path
    kind: str
    abi: str
    sha256: str

    @staticmethod
    def read(path: Path | None) -> BenchmarkBinary:
        """Inspect the file.

        Raises:
            InputError: if it is missing, or is another file.
        """
        if path is None:
            raise InputError(f"a phone is measured with TFLite's benchmark_model: add --benchmark-binary PATH; {WHERE}")
        try:
            data = path.read_bytes()
        except OSError as error:
            raise InputError(f"cannot read --benchmark-binary {path}: {error.strerror}") from None
        abi = _abi(path, data)
        if b"num_runs" not in data or b"num_threads" not in data:
            raise InputError(f"--benchmark-binary {path} is not a benchmark_model: {WHERE}")
        compiled = b"BENCHMARK RESULTS" in data  # only in LiteRT's program
        return BenchmarkBinary(path, "compiled" if compiled else "classic", abi, hashlib.sha256(data).hexdigest())

    @property
    def runtime(self) -> str:
        """Its name in tables."""
        return RUNTIMES[self.kind]

    @property
    def delegates(self) -> tuple[str, ...]:
        """The delegates that it has flags for, without those that need a library."""
        return tuple(name for name in _FLAGS[self.kind] if name != _EXTERNAL)

    def check_delegate(self, delegate: str) -> None:
        """Raise InputError if it cannot run with this delegate, a text as `Delegate.parse` reads it."""
        known, wanted = _FLAGS[self.kind], Delegate.parse(delegate)
        if self.kind == "compiled" and wanted.name in known and wanted.flags:
            raise InputError(f"--delegate is {delegate!r}: only the classic benchmark_model has such options; {WHERE}")
        if wanted.name not in known:
            what = "LiteRT's CompiledModel" if self.kind == "compiled" else "TFLite's"
            other = "" if self.kind == "classic" else f"; the classic one has {', '.join(_FLAGS['classic'])}"
            raise InputError(f"--delegate is {delegate!r}: {what} benchmark_model has {', '.join(known)}{other}")

    def check_abis(self, abis: str) -> None:
        """Raise InputError if a phone with these platforms cannot run it."""
        if self.abi and abis and self.abi not in abis.split(","):
            raise InputError(f"--benchmark-binary {self.path} is built for {self.abi}; this phone runs {abis}: {WHERE}")

    def arguments(
        self, graph: str, *, runs: int, warm_up: int, threads: int, delegate: str, profiling: bool = False
    ) -> list[str]:
        """Its command line, for an exact number of runs."""
        wanted = Delegate.parse(delegate)
        extra = [_PROFILING[self.kind], "--report_peak_memory_footprint=true"] if profiling else []
        return [
            f"--graph={graph}",
            f"--num_threads={threads}",
            f"--num_runs={runs}",
            "--min_secs=0",
            f"--max_secs={MAX_SECONDS}",
            f"--warmup_runs={max(warm_up, 1)}",
            "--warmup_min_secs=0",
            *_FLAGS[self.kind][wanted.name],
            *wanted.flags,
            *extra,
        ]

    def exchange(self, shape: Sequence[int], image: str, output: str) -> list[str]:
        """Flags to read an image from one file and write the first output to another, both as raw bytes.

        Raises:
            InputError: if this program has no such flags.
        """
        if self.kind != "classic":
            raise InputError(
                f"--benchmark-binary {self.path} is LiteRT's, which does not return outputs: compare them with the "
                f"classic one; {WHERE}"
            )
        sides = ",".join(map(str, shape))
        return [
            f"--input_layer={_INPUT}",
            f"--input_layer_shape={sides}",
            f"--input_layer_value_files={_INPUT}:{image}",
            f"--output_filepath={output}",
        ]

    def check_log(self, log: BenchmarkLog, delegate: str, *, graph: str, runs: int, threads: int) -> None:
        """Check that the program did what it was asked; otherwise its times are of something else.

        Args:
            log: of the run.
            delegate: that was asked for, a text as `Delegate.parse` reads it.
            graph: that was asked for, as are the next.
            runs: measured ones.
            threads: of the runtime.

        Raises:
            MnasError: if it ignored flags, or ran another file, number of runs or threads, or not on this delegate.
        """
        unknown = [flag for flag in log.claims.unknown_flags if flag not in _OPTIONAL]
        if unknown:
            raise MnasError(
                f"this benchmark_model does not know {printable(', '.join(unknown))}: use a newer one; {WHERE}"
            )
        asked = {
            "graph": graph,
            "num threads": str(threads),
            "#threads used for cpu inference": str(threads),
            "min num runs": str(runs),
            "num runs": str(runs),
        }
        wanted = Delegate.parse(delegate)
        if self.kind == "classic":
            asked |= {"use xnnpack": "0"} if wanted.name == "none" else {f"use {wanted.name}": "1"}
        _check_options(log.claims, wanted)
        for name, value in asked.items():
            if (said := log.claims.settings.get(name, value)) != value:
                raise MnasError(
                    f"benchmark_model says that its setting {name!r} is {printable(said)[:200]!r}; it was asked for "
                    f"{value!r}: run the same command again, or use another build; {WHERE}"
                )
        _check_count(log, runs)
        if self.kind == "classic":
            _check_delegate(log.claims, wanted.name)
        elif wanted.name == "gpu" and log.claims.taken.get("XNNPACK", (0, 0))[0]:
            raise not_whole(wanted.name)


def not_whole(delegate: str, share: str = "only a part") -> MnasError:
    """The error for a network that a delegate runs only in part."""
    name = _DELEGATES[Delegate.parse(delegate).name]
    return MnasError(
        f"the phone ran {share} of the network on {name}, the rest on its CPU: the time is of neither; "
        "use --delegate xnnpack or none, or a space of operators that it supports"
    )


def _check_count(log: BenchmarkLog, runs: int) -> None:
    """Raise MnasError for another number of runs, unless the program ran out of time."""
    count, seconds = log.inference.count, log.inference.count * log.inference.mean_ms / 1e3
    if runs and count != runs and not (count < runs and seconds > 0.9 * MAX_SECONDS):
        raise MnasError(f"benchmark_model ran the network {count} times instead of {runs}: use another build; {WHERE}")


def _check_options(claims: Claims, wanted: Delegate) -> None:
    """Raise MnasError unless the program says that it took the delegate's options, all of which it states if given."""
    offered = claims.accelerators
    if wanted.accelerator and offered is not None and wanted.accelerator not in offered:
        there = printable(", ".join(offered))[:200]
        raise MnasError(f"this phone's NNAPI has no accelerator {wanted.accelerator!r}; it has {there}")
    for name, value in wanted.settings.items():
        said = claims.settings.get(name)
        if said != value:
            found = "nothing of it" if said is None else f"{printable(said)[:200]!r}"
            raise MnasError(
                f"benchmark_model was asked for its setting {name!r} to be {value!r}, and says {found}: use another "
                f"build; {WHERE}"
            )


def _check_delegate(claims: Claims, delegate: str) -> None:
    """Raise MnasError unless the network ran on the delegate, or for `none` on TFLite's own kernels."""
    wanted = _DELEGATES.get(delegate, "")
    used = {name for name, (taken, _) in claims.taken.items() if taken} | set(claims.applied)
    if not wanted:
        if used or claims.created_xnnpack:
            raise MnasError(
                f"benchmark_model used {', '.join(sorted(used)) or 'XNNPACK'} although --delegate is none: it cannot "
                f"run TFLite's own kernels alone; use --delegate xnnpack, or another build; {WHERE}"
            )
        return
    if wanted in claims.idle or wanted not in used:
        why = (
            f"{wanted} takes none of its operators"
            if wanted in claims.idle
            else "this benchmark_model or phone has no such delegate"
        )
        raise MnasError(f"the phone did not run the network on {wanted}: {why}")
    taken, offered = claims.taken.get(wanted, (0, 0))
    if delegate != "xnnpack" and (wanted in claims.partly or taken < offered):
        raise not_whole(delegate, claims.share(wanted))
    if delegate == "nnapi" and claims.accelerators and set(claims.accelerators) <= {_NNAPI_ON_CPU}:
        raise MnasError(
            f"the phone did not run the network on an accelerator: its NNAPI has {_NNAPI_ON_CPU} alone, which is slow "
            "code for the CPU; use --delegate xnnpack or gpu"
        )


def _abi(path: Path, data: bytes) -> str:
    if data[:2] == b"#!":
        return ""
    machine = int.from_bytes(data[18:20], "little") if data[:4] == b"\x7fELF" else None
    if machine not in _ABIS:
        raise InputError(f"--benchmark-binary {path} is not a program for Android (ELF for ARM or x86): {WHERE}")
    return _ABIS[machine]
