"""Measuring a file on this machine in a process of its own: beside TensorFlow's threads a small network looks slower.

One looked half as slow again. Used by commands that have TensorFlow loaded already.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

from mnas.devices.benchmark_log import last_lines
from mnas.devices.local import LocalDevice, Runtime
from mnas.errors import MnasError
from mnas.profiling.bench import bench
from mnas.system.child import run_module


@dataclass(frozen=True, slots=True)
class Apart:
    """What was measured: on the quiet device, and the median as it was, in ms."""

    quiet_ms: float
    median_ms: float


def bench_apart(content: bytes, runtime: Runtime, *, seconds: float = 10.0, reference_ms: float = 0.0) -> Apart:
    """Measure a `.tflite` file as `mnas.profiling.bench.bench` does, in another process.

    Args:
        content: of the file.
        runtime: what it runs with.
        seconds: at most about this long.
        reference_ms: the reference network's quiet latency, from a table; 0 if it is not known.

    Raises:
        MnasError: if it cannot be measured.
    """
    options = [runtime.name, runtime.threads, runtime.delegate, seconds, reference_ms]
    done = run_module("mnas.profiling.apart", json.dumps(options), content=content)
    if done.returncode:
        raise MnasError(f"the file could not be measured: {last_lines(done.stderr.decode('utf-8', 'replace'))}")
    return Apart(*json.loads(done.stdout))


def main() -> None:
    """The other process: a file on stdin, two numbers on stdout."""
    name, threads, delegate, seconds, reference_ms = json.loads(sys.argv[1])
    device = LocalDevice(Runtime(name, threads=threads, delegate=delegate))
    found = bench(sys.stdin.buffer.read(), device, seconds=seconds, reference_ms=reference_ms)
    print(json.dumps([found.quiet_ms, found.median_ms]))
