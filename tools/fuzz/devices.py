"""What phones and boards answer, for `tools.fuzz`: the readers as they are, without the programs adb and ssh."""

from __future__ import annotations

import io
import json
import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from mnas.devices.adb import parse_states
from mnas.devices.benchmark_log import parse_benchmark_log
from mnas.devices.phone import read_heat, read_phone
from mnas.devices.ssh import BoardDevice
from tests.devices.test_benchmark_log import CLASSIC, COMPILED
from tools.fuzz.scenario import Scenario

_PHONE = b"""prop ro.product.manufacturer Google
prop ro.product.model Pixel 4; rm -rf ~
prop ro.soc.model SM8150
prop ro.board.platform msmnile
prop ro.build.fingerprint google/flame/flame:13/TP1A.221005.002/9012097:user/release-keys
prop ro.product.cpu.abilist arm64-v8a,armeabi-v7a
cpu 0 1785600 schedutil
cpu 6 2419200 schedutil
cpu 7 2841600 schedutil
"""
_HEAT = b"""Current Battery Service state:
  AC powered: false
  level: 87
  temperature: 312
  technology: Li-ion
IsStatusOverride: false
Thermal Status: 1
Cached temperatures:
\tTemperature{mValue=31.2, mType=2, mName=battery, mStatus=0}
"""
_STATES = b"List of devices attached\n0123ABCD\tdevice\n10.0.0.7:5555\toffline\nX9\tunauthorized (see adb); or not\n"
_FACTS = {"machine": "aarch64", "cpu": "Cortex-A76", "model": "Raspberry Pi 5", "os": "Linux 6.6", "affinity": "3"}
_BOARD = b"".join(
    b"mnas " + json.dumps({"ok": answer}).encode() + b"\n"
    for answer in ({**_FACTS, "runtime_version": "2.3.0", "governor": "ondemand"}, None, [1200000, 1250000, 1190000])
)
_NUM_RUNS = 3


def _phone(path: Path) -> dict[str, Any]:
    return asdict(read_phone(_shell(path)))


def _heat(path: Path) -> dict[str, Any]:
    return asdict(read_heat(_shell(path)))


def _shell(path: Path) -> Any:
    """A phone that answers every command with the file."""
    return SimpleNamespace(shell=lambda command, check: _text(path))


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")


@contextmanager
def board_that_says(data: bytes) -> Iterator[None]:
    """Within it, every `ssh` that is started prints this and ends, and takes whatever is written to it."""

    def start(*arguments: Any, **options: Any) -> Any:
        ended = {"wait": lambda timeout=None: 0, "kill": lambda: None}
        return SimpleNamespace(stdin=io.BytesIO(), stdout=io.BytesIO(data), stderr=open(os.devnull, "rb"), **ended)

    with mock.patch("mnas.devices.ssh_link.subprocess.Popen", start):
        yield


def _board(path: Path) -> dict[str, Any]:
    """A whole conversation: what the board is, a network loaded, its times."""
    with board_that_says(path.read_bytes()):
        device = BoardDevice("board", "python3", runtime="litert", threads=1, delegate="xnnpack")
        times = device.load(b"").run_times_ms(_NUM_RUNS)
        return {"facts": asdict(device.configuration("float32")), "times_ms": times.tolist()}


def _same_board(data: bytes, understood: dict[str, Any]) -> bool:
    """The times are those of the third answer, and all facts are text that can be printed."""
    said = [line[5:] for line in data.split(b"\n")[:-1] if line.startswith(b"mnas ")]
    texts = [value for value in understood["facts"].values() if isinstance(value, str)]
    times = [nanoseconds / 1e6 for nanoseconds in json.loads(said[2])["ok"]]
    return times == understood["times_ms"] and all(text.isprintable() for text in texts)


def _same_phone(data: bytes, understood: dict[str, Any]) -> bool:
    """No core that the phone has not told of, and text that can be printed."""
    text = data.decode("utf-8", "replace")
    told = {(int(number), int(khz)) for number, khz in re.findall(r"(?:^|\W)cpu (\d{1,4}) (\d{1,9})\b", text)}
    words = [understood[name] for name in ("model", "soc", "fingerprint", "abis")]
    return {(cpu["number"], cpu["max_khz"]) for cpu in understood["cpus"]} <= told and all(
        word.isprintable() for word in words
    )


def _same_heat(data: bytes, understood: dict[str, Any]) -> bool:
    numbers = {float(number) for number in re.findall(r"-?\d{1,4}(?:\.\d{1,3})?", data.decode("utf-8", "replace"))}
    celsius = understood["celsius"]
    known = celsius is None or celsius in numbers or round(celsius * 10) in numbers
    return known and understood["status"] in {0, *numbers}


def _same_states(data: bytes, understood: dict[str, str]) -> bool:
    text = data.decode("utf-8", "replace")
    return all(state.isprintable() and name in text for name, state in understood.items())


def _sound_log(data: bytes, understood: dict[str, Any]) -> bool:
    """Times that there can be: positive, in order, of this world."""
    runs = understood["inference"]
    inside = [runs[name] for name in ("mean_ms", "p5_ms", "median_ms", "p95_ms") if runs[name] is not None]
    more = [understood[name] for name in ("init_ms", "first_ms", "peak_memory_mb", "memory_mb")]
    more += [number for row in understood["operators"] for number in (row["latency_ms"], row["calls"])]
    return all(0 < runs["min_ms"] <= each * 1.01 <= runs["max_ms"] * 1.03 < 1e8 for each in inside) and all(
        each is None or math.isfinite(each) for each in more
    )


DEVICES: dict[str, Scenario] = {
    "benchmark_model's log": Scenario(
        lambda folder: [CLASSIC.encode(), COMPILED.encode()],
        lambda path: asdict(parse_benchmark_log(_text(path))),
        _sound_log,
    ),
    "adb: what a phone is": Scenario(lambda folder: [_PHONE], _phone, _same_phone),
    "adb: how warm it is": Scenario(lambda folder: [_HEAT], _heat, _same_heat),
    "adb: the list of phones": Scenario(lambda folder: [_STATES], lambda path: parse_states(_text(path)), _same_states),
    "ssh: a board's answers": Scenario(lambda folder: [_BOARD], _board, _same_board),
}
