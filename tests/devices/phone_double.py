"""A phone as adb sees one: the adb transport protocol on loopback, with a real shell behind it.

Speaks what adbd speaks (AOSP, packages/modules/adb/protocol.txt, OVERVIEW and SYNC.TXT): CNXN, AUTH, OPEN, OKAY, WRTE,
CLSE; the services `shell` (protocol v2) and `sync` (STAT, SEND, RECV). Commands run in `sh` on this machine, with the
phone's folders moved under a temporary one and the phone's own programs first in the PATH.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from mnas.tflite.operators import read_operators

_MOVED = ("/data/local/tmp", "/sys/devices/system/cpu")
_MAX_DATA = 4096
_BANNER = b"device::ro.product.name=double;ro.product.model=Double;ro.product.device=double;"
_NEW_SHELL = b"features=shell_v2,cmd"

BENCHMARK_MODEL = """\
#!/bin/sh
# Stands for benchmark_model (--num_threads, --enable_op_profiling, --use_xnnpack): a network takes what its size says.
# Files in $PHONE make it another build or phone: unknown (flags that it ignores), idle and partly (delegates that run
# nothing or a part), int8_only (delegates run nothing of other files), old (words of TensorFlow 2.1), default_xnnpack,
# accelerators, silent (about a delegate's options), log.sed (changes its output).
run() {
for argument in "$@"; do
    grep -qxF -e "${argument%%=*}" "$PHONE/unknown" 2>/dev/null && { ignored="$ignored $argument"; continue; }
    case $argument in
        --graph=*) graph=${argument#*=} ;;
        --num_runs=*) runs=${argument#*=} ;;
        --num_threads=*) threads=${argument#*=} ;;
        --warmup_runs=*) warm=${argument#*=} ;;
        --enable_op_profiling=true) profiling=yes ;;
        --require_full_delegation=true) whole=yes ;;
        --input_layer_value_files=*) image=${argument#*:} ;;
        --output_filepath=*) output=${argument#*=} ;;
        --use_gpu=true) [ -e "$PHONE/no_gpu" ] || delegate=GPU ;;
        --use_nnapi=true) delegate=NNAPI ;;
        --use_xnnpack=true) delegate=XNNPACK ;;
        --gpu_precision_loss_allowed=false) said="Allow lower precision in gpu: [0]" ;;
        --nnapi_accelerator_name=*) said="NNAPI accelerator name: [${argument#*=}]" ;;
        --external_delegate_path=*) delegate=EXTERNAL; library=${argument#*=}; [ -f "$library" ] || exit 1 ;;
        --external_delegate_options=*) said="External delegate options: [${argument#*=}]" ;;
    esac
done
echo "$@" >>"$PHONE/arguments"
size=$(wc -c <"$graph") || exit 1
us=$((50 + size / 64))
[ -n "$ignored" ] && echo "WARN: Unconsumed cmdline flags:$ignored"
echo "INFO: Num threads: [${threads:-4}]"
echo "INFO: Graph: [${graph#$PHONE}]"
[ -n "$said" ] && [ ! -e "$PHONE/silent" ] && echo "INFO: $said"
[ -n "$library" ] && echo "INFO: External delegate path: [${library#$PHONE}]"
[ -e "$PHONE/accelerators" ] && echo "INFO: NNAPI accelerators available: [$(cat "$PHONE/accelerators")]"
echo "INFO: Loaded model $graph"
[ -e "$PHONE/default_xnnpack" ] && echo 'INFO: Created TensorFlow Lite XNNPACK delegate for CPU.'
[ -e "$PHONE/int8_only" ] && [ "$(cat "$PHONE/kinds/${graph##*/}")" != int8-plain ] && touch "$PHONE/idle"
[ -e "$PHONE/int8_only" ] && [ "$(cat "$PHONE/kinds/${graph##*/}")" = int8-plain ] && rm -f "$PHONE/idle"
if [ -z "$delegate" ]; then :
elif [ -e "$PHONE/old" ]; then echo "Applied $delegate delegate."
elif [ -e "$PHONE/idle" ]; then
    us=$((us * 2))
    echo "INFO: Though $delegate delegate is explicitly applied, the model graph will not be executed by the delegate."
elif [ -e "$PHONE/partly" ]; then
    [ -n "$whole" ] && { echo 'ERROR: Disallowed CPU fallback detected.'; echo 'ERROR: Benchmarking failed.'; exit 1; }
    echo "INFO: Replacing 61 out of 64 node(s) with delegate (TfLite${delegate}Delegate) node, yielding 2 partitions."
    echo "INFO: Explicitly applied $delegate delegate, and the model graph will be partially executed by the delegate \
w/ 2 delegate kernels."
else echo "INFO: Explicitly applied $delegate delegate, and the model graph will be completely executed by the \
delegate."
fi
echo "INFO: Initialized session in 12.5ms."
[ -n "$output" ] && infer "$graph" "$image" "$output"
limits='iterations and at least 0 seconds but terminate if exceeding 20 seconds.'
echo "INFO: Running benchmark for at least $warm $limits"
echo "INFO: count=$warm first=$((us * 2)) curr=$us min=$us max=$((us * 2)) avg=$((us + 9)) std=7"
echo
echo "INFO: Running benchmark for at least ${runs:-50} $limits"
echo "INFO: count=${runs:-50} first=$us curr=$us min=$us max=$((us + 4)) avg=$((us + 1)).5 std=1"
echo
echo "INFO: Inference timings in us: Init: 12500, First inference: $((us * 2)), Warmup (avg): $((us + 9)), \
Inference (avg): $((us + 1)).5"
[ -z "$profiling" ] && exit
echo 'INFO: Overall peak memory footprint (MB) via periodic monitoring: 21.5'
echo 'INFO: Operator-wise Profiling Info for Regular Benchmark Runs:'
echo '============================== Run Order =============================='
printf '\\t[node type]\\t[first]\\t[avg ms]\\t[%%]\\t[cdf%%]\\t[mem KB]\\t[times called]\\t[Name]\\n'
printf '\\tConvolution (NHWC, F32) DWConv\\t0.4\\t0.25\\t50%%\\t50%%\\t0.0\\t2\\tDelegate/Convolution:0\\n\\n'
}
if [ -e "$PHONE/log.sed" ]; then run "$@" | sed -f "$PHONE/log.sed"; else run "$@"; fi
"""
COMPILED_MODEL = """\
#!/bin/sh
# Stands for LiteRT's (--num_threads, --warmup_runs, --use_profiler): results on stderr, in ms with two digits.
for argument in "$@"; do
    case $argument in --num_runs=*) runs=${argument#*=} ;; esac
done
{
    echo "========== BENCHMARK RESULTS =========="
    echo "INFO: [benchmark_litert_model.h:62] Model initialization: 3.25 ms"
    echo "INFO: [benchmark_litert_model.h:65] Warmup (avg):         1.60 ms (3 runs)"
    echo "INFO: [benchmark_litert_model.h:67] Inference (avg):      1.50 ms ($runs runs)"
    echo "INFO: [benchmark_litert_model.h:70] Inference (min):      1.40 ms"
    echo "INFO: [benchmark_litert_model.h:72] Inference (max):      1.70 ms"
} >&2
"""

_INFER = f"""\
#!{sys.executable}
import sys, numpy as np
from ai_edge_litert.interpreter import Interpreter
graph, image, output = sys.argv[1:]
network = Interpreter(graph)
network.allocate_tensors()
taken, given = network.get_input_details()[0], network.get_output_details()[0]
network.set_tensor(taken["index"], np.fromfile(image, taken["dtype"]).reshape(taken["shape"]))
network.invoke()
network.get_tensor(given["index"]).tofile(output)
"""
_PROGRAMS = {
    "taskset": 'echo "taskset $1" >>"$PHONE/calls"; shift; exec "$@"',
    "getprop": 'cat "$PHONE/props/$1" 2>/dev/null || echo',
    "dumpsys": 'cat "$PHONE/dumpsys/$1" 2>/dev/null',
}
_PROPS = {
    "ro.product.model": "Pixel 4",
    "ro.product.manufacturer": "Google",
    "ro.soc.model": "SM8150",
    "ro.build.fingerprint": "google/flame/flame:13/TP1A.221005.002/9012097:user/release-keys",
    "ro.product.cpu.abilist": "arm64-v8a,armeabi-v7a,armeabi",
}
_BIG, _LITTLE = 2841600, 1785600


class PhoneDouble:
    """Serves until it is closed.

    Attributes:
        address: for `adb connect`, which is its serial too.
        authorized: whether it has allowed this computer.
        full: whether it has no space left.
        damages: whether it changes the files that are copied to it.
        old: whether it speaks the shell protocol of before Android 7: no exit codes, one stream, other line ends.
        slow_s: how long every command takes to start.
        starts_left: of benchmark_model, before the connection drops.
        root: where its files are.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.authorized, self.full, self.old, self.starts_left = True, False, False, 10**9
        self.damages, self.slow_s = False, 0.0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._connections: list[socket.socket] = []
        self._furnish()
        threading.Thread(target=self._accept, daemon=True).start()

    def _furnish(self) -> None:
        for folder in ("bin", "props", "dumpsys", "data/local/tmp"):
            (self.root / folder).mkdir(parents=True)
        for name, text in _PROGRAMS.items():
            self.install(self.root / "bin" / name, f"#!/bin/sh\n{text}\n")
        self.install(self.root / "bin" / "infer", _INFER)
        for name, value in _PROPS.items():
            self.set_prop(name, value)
        self.set_temperature(25.0)
        for cpu in range(8):
            folder = self.root / f"sys/devices/system/cpu/cpu{cpu}/cpufreq"
            folder.mkdir(parents=True)
            (folder / "scaling_governor").write_text("schedutil\n")
            (folder / "cpuinfo_max_freq").write_text(f"{_BIG if cpu == 7 else _LITTLE}\n")

    @staticmethod
    def install(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    def set_prop(self, name: str, value: str) -> None:
        (self.root / "props" / name).write_text(value + "\n")

    def set_temperature(self, celsius: float, status: int = 0) -> None:
        (self.root / "dumpsys/battery").write_text(f"  level: 80\n  temperature: {round(celsius * 10)}\n")
        (self.root / "dumpsys/thermalservice").write_text(f"IsStatusOverride: false\nThermal Status: {status}\n")

    @property
    def files(self) -> list[str]:
        """What lies in its folder for temporary files."""
        base = self.root / "data/local/tmp"
        return sorted(str(path.relative_to(base)) for path in base.rglob("*") if path.is_file())

    @property
    def copied(self) -> list[str]:
        """Files that a run copied to it, without the lock."""
        return [name.rpartition("/")[2] for name in self.files if name.startswith("mnas/run-")]

    def drop(self) -> None:
        """Pull the cable."""
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()
        self.drop()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._connections.append(connection)
                threading.Thread(target=_Transport(self, connection).serve, daemon=True).start()

    def moved(self, text: str) -> str:
        """A command or path with the phone's folders where they are on this machine."""
        for folder in _MOVED:
            text = text.replace(folder, f"{self.root}{folder}")
        return text


class _Transport:
    """One connection from an adb server, with its streams."""

    def __init__(self, phone: PhoneDouble, connection: socket.socket) -> None:
        self.phone, self.connection = phone, connection
        self.lock = threading.Lock()
        self.streams: dict[int, _Stream] = {}

    def send(self, command: bytes, arg0: int, arg1: int, data: bytes = b"") -> None:
        number = struct.unpack("<I", command)[0]
        head = struct.pack("<6I", number, arg0, arg1, len(data), sum(data) & 0xFFFFFFFF, number ^ 0xFFFFFFFF)
        with self.lock:
            self.connection.sendall(head + data)

    def serve(self) -> None:
        with contextlib.suppress(OSError, struct.error):
            while True:
                command, arg0, arg1, length, _, _ = struct.unpack("<4s5I", self._receive(24))
                self._handle(command, arg0, arg1, self._receive(length))
        self.connection.close()
        for stream in self.streams.values():
            stream.credit.release()

    def _receive(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            part = self.connection.recv(length - len(data))
            if not part:
                raise OSError
            data += part
        return data

    def _handle(self, command: bytes, arg0: int, arg1: int, data: bytes) -> None:
        if command == b"CNXN" and self.phone.authorized:
            self.send(b"CNXN", 0x01000000, _MAX_DATA, _BANNER + (b"" if self.phone.old else _NEW_SHELL))
        elif command == b"CNXN" or (command == b"AUTH" and arg0 == 2):
            self.send(b"AUTH", 1, 0, os.urandom(20))  # no signature is good enough: the owner has not accepted
        elif command == b"OPEN":
            self.streams[arg0] = _Stream(self, arg0, data.rstrip(b"\0").decode())
        elif command == b"WRTE" and arg0 in self.streams:
            self.send(b"OKAY", arg0, arg0)
            self.streams[arg0].received(data)
        elif command == b"OKAY" and arg0 in self.streams:
            self.streams[arg0].credit.release()
        elif command == b"CLSE" and self.streams.pop(arg0, None):
            self.send(b"CLSE", arg0, arg0)


class _Stream:
    """One service; its own number is that of the other side."""

    def __init__(self, transport: _Transport, number: int, service: str) -> None:
        self.transport, self.number, self.phone = transport, number, transport.phone
        self.credit = threading.Semaphore(0)
        self.buffer = b""
        self.file: Any = None
        transport.send(b"OKAY", number, number)
        kind, _, command = service.partition(":")
        self.phone.starts_left -= "--graph=" in service
        if self.phone.starts_left < 0:
            self.phone.drop()
        elif kind.startswith("shell"):
            threading.Thread(target=self._shell, args=(command,), daemon=True).start()
        elif kind != "sync":
            self.transport.send(b"CLSE", number, number)

    def write(self, data: bytes) -> None:
        for start in range(0, len(data), _MAX_DATA):
            self.transport.send(b"WRTE", self.number, self.number, data[start : start + _MAX_DATA])
            self.credit.acquire(timeout=20)

    def _shell(self, command: str) -> None:
        time.sleep(self.phone.slow_s)
        environment = {"PATH": f"{self.phone.root}/bin:{os.environ['PATH']}", "PHONE": str(self.phone.root)}
        done = subprocess.run(
            ["sh", "-c", self.phone.moved(command)],
            capture_output=True,
            env=environment,
            cwd=self.phone.root,
            check=False,
        )
        with contextlib.suppress(OSError):
            if self.phone.old:
                self.write((done.stdout + done.stderr).replace(b"\n", b"\r\n"))
                self.transport.send(b"CLSE", self.number, self.number)
                return
            for kind, data in ((1, done.stdout), (2, done.stderr), (3, bytes([done.returncode & 255]))):
                for start in range(0, len(data), _MAX_DATA - 5):
                    part = data[start : start + _MAX_DATA - 5]
                    self.write(struct.pack("<BI", kind, len(part)) + part)
            self.transport.send(b"CLSE", self.number, self.number)

    def received(self, data: bytes) -> None:
        """Requests of the sync service; a shell's input is not read."""
        self.buffer += data
        while len(self.buffer) >= 8:
            request, length = struct.unpack("<4sI", self.buffer[:8])
            if request in (b"DONE", b"QUIT"):
                length = 0
            if len(self.buffer) < 8 + length:
                return
            body, self.buffer = self.buffer[8 : 8 + length], self.buffer[8 + length :]
            self._sync(request, body)

    def _sync(self, request: bytes, body: bytes) -> None:
        if request in (b"STAT", b"RECV"):
            path = Path(self.phone.moved(body.decode()))
        if request == b"STAT":
            found = path.stat() if path.exists() else None
            numbers = (found.st_mode, found.st_size, int(found.st_mtime)) if found else (0, 0, 0)
            self._later(b"STAT" + struct.pack("<3I", *numbers))
        elif request == b"RECV" and not path.is_file():
            reason = b"No such file or directory"
            self._later(b"FAIL" + struct.pack("<I", len(reason)) + reason)
        elif request == b"RECV":
            data = path.read_bytes()
            self._later(b"DATA" + struct.pack("<I", len(data)) + data + b"DONE" + struct.pack("<I", 0))
        elif request == b"SEND":
            name, _, mode = body.decode().rpartition(",")
            target = Path(self.phone.moved(name))
            self.file = target.open("wb")
            target.chmod(stat.S_IMODE(int(mode)))
        elif request == b"DATA" and not self.phone.full:
            self.file.write(body[::-1] if self.phone.damages else body)
        elif request == b"DONE":
            self.file.close()
            self._sort(Path(self.file.name))
            reason = b"couldn't write file: No space left on device"
            answer = b"FAIL" + struct.pack("<I", len(reason)) + reason if self.phone.full else b"OKAY" + bytes(4)
            self._later(answer)
        elif request == b"QUIT":
            self.transport.send(b"CLSE", self.number, self.number)

    def _sort(self, file: Path) -> None:
        """Note of what kind a network is, for an accelerator that takes one kind alone."""
        if file.suffix == ".tflite" and (self.phone.root / "int8_only").exists():
            operators = read_operators(file.read_bytes())
            (self.phone.root / "kinds").mkdir(exist_ok=True)
            kind = ("int8" if "QUANTIZE" in operators else "float32") + ("" if "MUL" in operators else "-plain")
            (self.phone.root / "kinds" / file.name).write_text(kind)

    def _later(self, data: bytes) -> None:
        """Writing waits for the other side's OKAY, which comes to the thread that called."""
        threading.Thread(target=self.write, args=(data,), daemon=True).start()
