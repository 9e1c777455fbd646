"""The agent that runs on a board. It is a single file, and needs Python 3.8, an interpreter and numpy.

Requests on stdin are lines of JSON, some followed by a file's bytes; each is answered on stdout by one line that begins
with `mnas `. It ends when its input does, so that nothing stays behind when the connection breaks.
"""

from __future__ import annotations

import base64
import importlib
import json
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, BinaryIO, TextIO

PACKAGES = {
    "litert": ("ai-edge-litert", "ai_edge_litert.interpreter"),
    "tflite-runtime": ("tflite-runtime", "tflite_runtime.interpreter"),
}
_CORE = "/sys/devices/system/cpu/cpu{}/{}"
_CPU = "/sys/devices/system/cpu/cpu{}/cpufreq/{}"
_MOMENT_S = 0.5
_SAME_KIND = 1.1  # ratio of two speeds up to which cores are of one kind


class WrongOptionError(ValueError):
    """An option of the command that this board cannot follow."""


def serve(requests: BinaryIO, answers: TextIO) -> None:
    """Answer requests until the input ends.

    Args:
        requests: `{"do": "start", "runtime", "threads", "delegate", "cores"}` first; then `load` with `id` and the
            `size` of the file that follows, `run` with `id`, `runs` and `warm_up`, `infer` with `id` and the `size` of
            the image that follows, `close` with `id`; `heat`; `hold` with `owner`, to keep others from measuring
            meanwhile; `condition`, which needs no `start`.
        answers: `{"ok": ...}` or `{"error": TEXT}`.
    """
    board = Board()
    try:
        for line in requests:
            request = json.loads(line)
            data = requests.read(request["size"]) if "size" in request else b""
            try:
                answer = {"ok": board.handle(request, data)}
            except WrongOptionError as error:
                answer = {"error": str(error)}
            except Exception as error:  # the other end reports any error of a runtime
                answer = {"error": f"{type(error).__name__}: {error}"}
            answers.write("mnas " + json.dumps(answer) + "\n")
            answers.flush()
    finally:
        board.close()


class Board:
    """The loaded interpreters."""

    def __init__(self) -> None:
        self._models: dict[int, Any] = {}
        self._options: dict[str, Any] = {}
        self._module: Any = None
        self._lock: Lock | None = None

    def close(self) -> None:
        """Let others measure."""
        if self._lock is not None:
            self._lock.release()

    def handle(self, request: dict[str, Any], data: bytes) -> Any:
        """Carry out a request and return the answer."""
        kind = request["do"]
        if kind == "start":
            return self._start(request)
        if kind == "load":
            self._models[request["id"]] = self._interpreter(data)
        elif kind == "run":
            return run_times_ns(self._models[request["id"]], request["runs"], request["warm_up"])
        elif kind == "infer":
            return _infer(self._models[request["id"]], data)
        elif kind == "close":
            del self._models[request["id"]]
        elif kind == "heat":
            return warmest_celsius()
        elif kind == "condition":
            return condition()
        elif kind == "hold":
            self._lock = self._lock or Lock(request["owner"])
        else:
            raise ValueError(kind)
        return None

    def _start(self, options: dict[str, Any]) -> dict[str, Any]:
        self._options = options
        package, module = PACKAGES[options["runtime"]]
        cpus = pin(options["threads"], options.get("cores", ""))
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
            "governor": read_governor(cpus),
        }

    def _interpreter(self, data: bytes) -> Any:
        resolver = self._module.OpResolverType
        plain = self._options["delegate"] != "xnnpack"
        interpreter = self._module.Interpreter(
            model_content=data,
            num_threads=self._options["threads"],
            experimental_op_resolver_type=resolver.BUILTIN_WITHOUT_DEFAULT_DELEGATES if plain else resolver.AUTO,
        )
        interpreter.allocate_tensors()
        check_delegate(interpreter, self._options["delegate"])
        set_random_inputs(interpreter)
        return interpreter


class Lock:
    """The board's lock: one agent measures at a time. The system releases it when the process ends, however it does.

    Args:
        owner: of this agent, for the others.
    """

    def __init__(self, owner: str) -> None:
        import fcntl  # not on Windows, where the rest of this file measures

        self.path = os.path.join(tempfile.gettempdir(), "mnas-board.lock")
        while True:
            self._file = self._open()
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(self._file, 500).decode("utf-8", "replace").strip()
                os.close(self._file)
                raise RuntimeError("this board is being measured by " + (holder or "another mnas")) from None
            with suppress(OSError):
                if os.path.samestat(os.fstat(self._file), os.stat(self.path)):  # its holder has not just removed it
                    break
            os.close(self._file)
        with suppress(OSError):  # the file of another user, who has left it
            os.ftruncate(self._file, 0)
            os.write(self._file, owner.encode())

    def _open(self) -> int:
        safe = os.O_NOFOLLOW | os.O_CLOEXEC  # anyone may make links in a folder for temporary files
        for how in (os.O_RDWR, os.O_RDONLY):
            with suppress(FileNotFoundError, PermissionError):
                return os.open(self.path, safe | how)
        return os.open(self.path, safe | os.O_RDWR | os.O_CREAT, 0o644)

    def release(self) -> None:
        """Let others measure."""
        with suppress(OSError):
            os.unlink(self.path)
        os.close(self._file)


def check_delegate(interpreter: Any, delegate: str) -> None:
    """Check that XNNPACK runs operators if and only if it was asked for; a runtime without it does not say so.

    Args:
        interpreter: with allocated tensors.
        delegate: `xnnpack` or `none`.
    """
    operators = getattr(interpreter, "_get_ops_details", None)
    if operators is None:  # an old runtime
        return
    used = any(operator["op_name"] == "DELEGATE" for operator in operators())
    if not used and delegate == "xnnpack":
        raise RuntimeError(
            "XNNPACK runs none of this network's operators here: use --delegate none (tflite-runtime 2.14 runs no int8 "
            "network with XNNPACK; ai-edge-litert does)"
        )
    if used and delegate != "xnnpack":
        raise RuntimeError("this runtime uses XNNPACK although --delegate is none: use --delegate xnnpack")


def set_random_inputs(interpreter: Any) -> None:
    """Set every input to random values, the same each time."""
    import numpy as np

    rng = np.random.RandomState(0)
    for detail in interpreter.get_input_details():
        low, high = (-1, 1) if np.issubdtype(detail["dtype"], np.floating) else (0, 127)
        interpreter.set_tensor(detail["index"], rng.uniform(low, high, detail["shape"]).astype(detail["dtype"]))


def run_times_ns(interpreter: Any, runs: int, warm_up: int = 0) -> list[int]:
    """Wall time of each of `runs` inferences after `warm_up` others, in ns."""
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
    """Run on an image's bytes; returns the first output's as base64."""
    import numpy as np

    taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    interpreter.set_tensor(taken["index"], np.frombuffer(image, taken["dtype"]).reshape(taken["shape"]))
    interpreter.invoke()
    return base64.b64encode(interpreter.get_tensor(given["index"]).tobytes()).decode()


def pin(count: int, wanted: str = "") -> list[int]:
    """Pin to the wanted cores (see `choose_cores`), and return them.

    By default these are the `count` fastest, the last of equal ones; [] if the system cannot pin.
    """
    if wanted:
        chosen = choose_cores(wanted, usable_speeds(), count)
        os.sched_setaffinity(0, chosen)
        return chosen
    if not hasattr(os, "sched_setaffinity"):
        return []
    allowed = sorted(os.sched_getaffinity(0))
    if count > len(allowed):
        raise WrongOptionError(f"--threads is {count}: this board has {len(allowed)} CPUs")
    fastest = sorted(allowed, key=lambda cpu: (-int(_read(_CPU.format(cpu, "cpuinfo_max_freq")) or 0), -cpu))
    chosen = sorted(fastest[:count])
    os.sched_setaffinity(0, chosen)
    return chosen


def condition() -> dict[str, Any]:
    """What this machine is, and how busy, warm and full; None for what it does not tell. Takes a moment."""
    free = None
    with suppress(OSError):
        free = shutil.disk_usage(tempfile.gettempdir()).free
    return {
        "model": _read("/proc/device-tree/model"),
        "soc": platform.machine(),
        "cpu": _cpu_model(),
        "os": platform.system() + " " + platform.release(),
        "cores": read_cores(),
        "celsius": warmest_celsius(),
        "free_bytes": free,
        "busy": _busy(),
    }


def read_cores() -> list[dict[str, Any]]:
    """Every core: number, `max_khz` and `capacity` (0 if unknown), governor, and whether it is switched on."""
    numbers = [int(path.name[3:]) for path in Path("/sys/devices/system/cpu").glob("cpu*") if path.name[3:].isdigit()]
    cores = []
    for number in sorted(numbers) or range(os.cpu_count() or 1):
        khz, capacity = _read(_CPU.format(number, "cpuinfo_max_freq")), _read(_CORE.format(number, "cpu_capacity"))
        cores.append(
            {
                "number": number,
                "max_khz": int(khz) if khz.isdigit() else 0,
                "capacity": int(capacity) if capacity.isdigit() else 0,
                "governor": _read(_CPU.format(number, "scaling_governor")),
                "online": _read(_CORE.format(number, "online")) != "0",
            }
        )
    return cores


def usable_speeds() -> dict[int, int]:
    """The speeds of the cores that this process may be pinned to; raises ValueError if the system cannot pin."""
    if not hasattr(os, "sched_setaffinity"):
        raise WrongOptionError("--cores: this system cannot pin programs to cores: leave the option out")
    allowed = os.sched_getaffinity(0)
    return core_speeds([core for core in read_cores() if core["number"] in allowed])


def core_speeds(cores: Sequence[dict[str, Any]]) -> dict[int, int]:
    """Each core's capacity by its number; its highest frequency where a core has none, and 0 without that too."""
    for name in ("capacity", "max_khz"):
        if all(core[name] > 0 for core in cores):
            return {core["number"]: core[name] for core in cores}
    return {core["number"]: 0 for core in cores}


def choose_cores(wanted: str, speeds: Mapping[int, int], threads: int) -> list[int]:
    """Return the numbers of the cores that `--cores` asks for.

    Args:
        wanted: `little` (the slowest kind of core), `big` (all others), the number of the fastest, or a list such as
            `4-6,7`.
        speeds: of the cores that can be used; 0 if unknown.
        threads: that will run on them, one core each at least.

    A wish that cannot be met is a ValueError with its reason.
    """
    there = _spans(sorted(speeds))
    if re.fullmatch(r"\d{1,4}(-\d{1,4})?(,\d{1,4}(-\d{1,4})?)*", wanted) and not wanted.isdigit():
        parts = [part.partition("-") for part in wanted.split(",")]
        chosen = {core for low, _, high in parts for core in range(int(low), int(high or low) + 1)}
        if not chosen or not chosen <= set(speeds):
            raise WrongOptionError(f"--cores is {wanted!r}: the cores that can be used here are {there}")
    elif wanted not in ("big", "little") and not wanted.isdigit():
        raise WrongOptionError(
            f"--cores is {wanted!r}: expected big, little, a number of cores, or a list such as 4-6,7 (7-7 for one)"
        )
    elif not all(speeds.values()):
        raise WrongOptionError(
            f"--cores is {wanted!r}: this device does not say which cores are fast; name some of {there}"
        )
    elif wanted.isdigit():
        if not 1 <= int(wanted) <= len(speeds):
            raise WrongOptionError(f"--cores is {wanted}: {len(speeds)} cores can be used here, {there}")
        chosen = set(sorted(speeds, key=lambda core: (-speeds[core], -core))[: int(wanted)])
    else:
        little = {core for core, speed in speeds.items() if speed <= _SAME_KIND * min(speeds.values())}
        chosen = little if wanted == "little" else set(speeds) - little
        if len(little) == len(speeds):
            raise WrongOptionError(f"--cores is {wanted!r}: all cores are equally fast here; name some of {there}")
    if len(chosen) < threads:
        raise WrongOptionError(
            f"--cores is {wanted!r}, which is {len(chosen)} of the cores here, for --threads {threads}: every "
            "thread needs a core"
        )
    return sorted(chosen)


def _spans(numbers: Sequence[int]) -> str:
    """`0-3,5` for 0, 1, 2, 3 and 5."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][-1] == number - 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)


def _busy() -> float | None:
    """Share of the CPU time that programs use, over a moment; None if the system does not tell."""
    before = _read("/proc/stat")
    if not before:
        return None
    time.sleep(_MOMENT_S)
    return busy_share(before, _read("/proc/stat"))


def busy_share(before: str, after: str) -> float | None:
    """Share of the CPU time that programs use between two texts of `/proc/stat`; None if they do not tell."""
    times = []
    for text in (before, after):
        words = text.split("\n", 1)[0].split()
        if len(words) < 5 or words[0] != "cpu" or not all(word.isdigit() for word in words[1:]):
            return None
        counts = [int(word) for word in words[1:9]]  # what follows is counted in these already
        times.append((sum(counts), sum(counts[3:5])))
    (total, idle), (later, later_idle) = times
    return 1 - (later_idle - idle) / (later - total) if later > total else None


def _cpu_model() -> str:
    names = ("model name", "hardware", "cpu part")
    for line in _read("/proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip().lower() in names:
            return value.strip()
    return platform.processor() or platform.machine()


def read_governor(cpus: Sequence[int]) -> str:
    """Return the frequency governor of the first of these CPUs; empty if it cannot be read."""
    return _read(_CPU.format(cpus[0] if cpus else 0, "scaling_governor"))


def warmest_celsius() -> float | None:
    """Temperature of the warmest sensor; None without sensors."""
    found = [_read(str(zone)) for zone in Path("/sys/class/thermal").glob("thermal_zone*/temp")]
    return max((int(text) / 1000 for text in found if text.lstrip("-").isdigit()), default=None)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return ""


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)  # keep what libraries print out of the answers
        serve(sys.stdin.buffer, out)
