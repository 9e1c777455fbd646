"""The one file that runs on a board: it answers over stdin and stdout; an interpreter and numpy are all it needs.

Requests are lines of JSON, some followed by a file's bytes; each is answered by one line that begins with `mnas `. It
ends when its input does, so that nothing stays behind when the connection breaks. Python 3.8 is new enough.
"""

from __future__ import annotations

import base64
import importlib
import json
import os
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, BinaryIO, TextIO

PACKAGES = {
    "litert": ("ai-edge-litert", "ai_edge_litert.interpreter"),
    "tflite-runtime": ("tflite-runtime", "tflite_runtime.interpreter"),
}
_CPU = "/sys/devices/system/cpu/cpu{}/cpufreq/{}"


def serve(requests: BinaryIO, answers: TextIO) -> None:
    """Answer requests until there are no more.

    Args:
        requests: `{"do": "start", "runtime", "threads", "delegate"}` first; then `load` with `id` and the `size` of the
            file that follows, `run` with `id`, `runs` and `warm_up`, `infer` with `id` and the `size` of the image that
            follows, `close` with `id`; `heat`.
        answers: `{"ok": ...}` or `{"error": TEXT}`.
    """
    board = Board()
    for line in requests:
        request = json.loads(line)
        data = requests.read(request["size"]) if "size" in request else b""
        try:
            answer = {"ok": board.handle(request, data)}
        except Exception as error:  # whatever a runtime throws is for the other end to say
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write("mnas " + json.dumps(answer) + "\n")
        answers.flush()


class Board:
    """The interpreters that stand ready."""

    def __init__(self) -> None:
        self._models: dict[int, Any] = {}
        self._options: dict[str, Any] = {}
        self._module: Any = None

    def handle(self, request: dict[str, Any], data: bytes) -> Any:
        """Do what a request asks for."""
        kind = request["do"]
        if kind == "start":
            return self._start(request)
        if kind == "load":
            self._models[request["id"]] = self._interpreter(data)
        elif kind == "run":
            return _times_ns(self._models[request["id"]], request["runs"], request["warm_up"])
        elif kind == "infer":
            return _infer(self._models[request["id"]], data)
        elif kind == "close":
            del self._models[request["id"]]
        elif kind == "heat":
            return _celsius()
        else:
            raise ValueError(kind)
        return None

    def _start(self, options: dict[str, Any]) -> dict[str, Any]:
        self._options = options
        package, module = PACKAGES[options["runtime"]]
        cpus = pin(options["threads"])
        self._module = importlib.import_module(module)
        try:
            found = version(package)
        except PackageNotFoundError:
            found = "unknown"
        return {
            "machine": platform.machine(),
            "os": platform.system() + " " + platform.release(),
            "cpu": _cpu_model(),
            "model": _read("/proc/device-tree/model") or platform.node(),
            "runtime_version": found,
            "python": platform.python_version(),
            "affinity": ",".join(map(str, cpus)),
            "governor": _read(_CPU.format(cpus[0] if cpus else 0, "scaling_governor")),
        }

    def _interpreter(self, data: bytes) -> Any:
        import numpy as np

        resolver = self._module.OpResolverType
        plain = self._options["delegate"] != "xnnpack"
        interpreter = self._module.Interpreter(
            model_content=data,
            num_threads=self._options["threads"],
            experimental_op_resolver_type=resolver.BUILTIN_WITHOUT_DEFAULT_DELEGATES if plain else resolver.AUTO,
        )
        interpreter.allocate_tensors()
        rng = np.random.RandomState(0)
        for detail in interpreter.get_input_details():
            low, high = (-1, 1) if np.issubdtype(detail["dtype"], np.floating) else (0, 127)
            value = rng.uniform(low, high, detail["shape"]).astype(detail["dtype"])
            interpreter.set_tensor(detail["index"], value)
        return interpreter


def _times_ns(interpreter: Any, runs: int, warm_up: int) -> list[int]:
    invoke, clock = interpreter.invoke, time.perf_counter_ns
    for _ in range(warm_up):
        invoke()
    times = []
    for _ in range(runs):
        start = clock()
        invoke()
        times.append(clock() - start)
    return times


def _infer(interpreter: Any, image: bytes) -> str:
    """The first output's bytes for an image's, as base64."""
    import numpy as np

    taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    interpreter.set_tensor(taken["index"], np.frombuffer(image, taken["dtype"]).reshape(taken["shape"]))
    interpreter.invoke()
    return base64.b64encode(interpreter.get_tensor(given["index"]).tobytes()).decode()


def pin(count: int) -> list[int]:
    """Stay on the `count` fastest CPUs, the last of them where they are alike; [] where one cannot choose."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    allowed = sorted(os.sched_getaffinity(0))
    if count > len(allowed):
        raise ValueError(f"--threads is {count}: this board has {len(allowed)} CPUs")
    fastest = sorted(allowed, key=lambda cpu: (-int(_read(_CPU.format(cpu, "cpuinfo_max_freq")) or 0), -cpu))
    chosen = sorted(fastest[:count])
    os.sched_setaffinity(0, chosen)
    return chosen


def _cpu_model() -> str:
    names = ("model name", "hardware", "cpu part")
    for line in _read("/proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip().lower() in names:
            return value.strip()
    return platform.processor() or platform.machine()


def _celsius() -> float | None:
    """Of the warmest sensor; None where there is none."""
    found = [_read(str(zone)) for zone in Path("/sys/class/thermal").glob("thermal_zone*/temp")]
    return max((int(text) / 1000 for text in found if text.lstrip("-").isdigit()), default=None)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return ""


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)  # what libraries print must not stand between answers
        serve(sys.stdin.buffer, out)
