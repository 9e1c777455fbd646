"""What runs on a board, run here."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mnas.devices
from mnas.devices.board_agent import check_delegate, choose_cores, core_speeds
from mnas.space import load_space
from mnas.tflite.random_model import write_random_model

AGENT = Path(mnas.devices.__file__).with_name("board_agent.py")
DATA = write_random_model(load_space("mnasnet-16").sample(np.random.default_rng(0)), dtype="int8")
START = {"do": "start", "runtime": "litert", "threads": 1, "delegate": "xnnpack"}


def talk(*requests: tuple[dict[str, Any], bytes]) -> list[dict[str, Any]]:
    said = b"".join(json.dumps(request).encode() + b"\n" + data for request, data in requests)
    done = subprocess.run([sys.executable, "-u", AGENT], input=said, capture_output=True, check=True, timeout=60)
    assert all(line.startswith("mnas ") for line in done.stdout.decode().splitlines())  # XNNPACK greets on stderr
    return [json.loads(line[5:]) for line in done.stdout.decode().splitlines()]


def test_a_conversation() -> None:
    load = ({"do": "load", "id": 7, "size": len(DATA)}, DATA)
    run = ({"do": "run", "id": 7, "runs": 4, "warm_up": 1}, b"")
    image = np.linspace(-1, 1, 16 * 16 * 3, dtype=np.float32).tobytes()
    infer = ({"do": "infer", "id": 7, "size": len(image)}, image)
    short = ({"do": "infer", "id": 7, "size": 8}, image[:8])
    started, loaded, times, output, refused, closed, again, unknown = talk(
        (START, b""), load, run, infer, short, ({"do": "close", "id": 7}, b""), run, ({"do": "dance"}, b"")
    )
    probabilities = np.frombuffer(base64.b64decode(output["ok"]), np.float32)
    assert probabilities.shape == (10,)
    assert probabilities.sum() == pytest.approx(1, abs=0.05)
    assert refused["error"].startswith("ValueError")
    assert len(started["ok"]["affinity"].split(",")) == 1
    assert started["ok"]["runtime_version"]
    assert loaded == closed == {"ok": None}
    assert len(times["ok"]) == 4
    assert min(times["ok"]) > 0
    assert again["error"].startswith("KeyError")
    assert "dance" in unknown["error"]


@pytest.mark.parametrize(
    ("change", "message"), [({"threads": 1000}, "CPUs"), ({"runtime": "tflite-runtime"}, "tflite_runtime")]
)
def test_what_a_board_does_not_have(change: dict[str, Any], message: str) -> None:
    if message == "tflite_runtime":
        try:
            import tflite_runtime  # noqa: F401
        except ImportError:
            pass
        else:
            pytest.skip("tflite-runtime is installed here")
    (answer,) = talk(({**START, **change}, b""))
    assert message in answer["error"]


def test_it_needs_nothing_of_mnas() -> None:
    assert "mnas." not in AGENT.read_text().replace("`mnas `", "")


class Runtime:
    """An interpreter of these operators."""

    def __init__(self, *operators: str) -> None:
        self._operators = operators

    def _get_ops_details(self) -> list[dict[str, str]]:
        return [{"op_name": name} for name in self._operators]


def test_a_delegate_that_does_nothing_is_no_delegate() -> None:
    check_delegate(Runtime("DELEGATE", "SOFTMAX"), "xnnpack")
    check_delegate(Runtime("CONV_2D"), "none")
    with pytest.raises(RuntimeError, match="XNNPACK runs none of this network's operators here: use --delegate none"):
        check_delegate(Runtime("CONV_2D"), "xnnpack")
    with pytest.raises(RuntimeError, match="this runtime uses XNNPACK although --delegate is none"):
        check_delegate(Runtime("DELEGATE"), "none")


PHONE = dict(enumerate([350, 350, 350, 350, 870, 870, 870, 1024]))  # capacities of a chip with three kinds of core
EQUAL = dict.fromkeys(range(4), 1000)


@pytest.mark.parametrize(
    ("wanted", "speeds", "threads", "chosen"),
    [
        ("big", PHONE, 4, [4, 5, 6, 7]),
        ("little", PHONE, 1, [0, 1, 2, 3]),
        ("1", PHONE, 1, [7]),
        ("2", PHONE, 2, [6, 7]),
        ("7-7", PHONE, 1, [7]),
        ("0-1,4", PHONE, 3, [0, 1, 4]),
        ("3,3", PHONE, 1, [3]),
        ("2", EQUAL, 1, [2, 3]),  # the first ones serve interrupts
        ("0,1", dict.fromkeys(range(4), 0), 2, [0, 1]),
    ],
)
def test_cores_are_chosen(wanted: str, speeds: dict[int, int], threads: int, chosen: list[int]) -> None:
    assert choose_cores(wanted, speeds, threads) == chosen


@pytest.mark.parametrize(
    ("wanted", "speeds", "threads", "message"),
    [
        ("big", EQUAL, 1, "all cores are equally fast here; name some of 0-3"),
        ("big", dict.fromkeys(range(4), 0), 1, "does not say which cores are fast; name some of 0-3"),
        ("2", {0: 0, 1: 0, 4: 0}, 1, "does not say which cores are fast; name some of 0-1,4"),
        ("little", PHONE, 5, "'little', which is 4 of the cores here, for --threads 5"),
        ("9", PHONE, 1, "8 cores can be used here, 0-7"),
        ("0", PHONE, 1, "8 cores can be used here, 0-7"),
        ("7-9", PHONE, 1, "the cores that can be used here are 0-7"),
        ("5-4", PHONE, 1, "the cores that can be used here are 0-7"),
        ("fast", PHONE, 1, "expected big, little, a number of cores, or a list"),
        ("4;reboot", PHONE, 1, "expected big, little"),
    ],
)
def test_cores_that_are_not_there(wanted: str, speeds: dict[int, int], threads: int, message: str) -> None:
    with pytest.raises(ValueError, match="--cores is") as error:
        choose_cores(wanted, speeds, threads)
    assert message in str(error.value)


def test_capacities_come_before_frequencies() -> None:
    cores = [{"number": 0, "capacity": 500, "max_khz": 2000}, {"number": 1, "capacity": 1024, "max_khz": 1900}]
    assert core_speeds(cores) == {0: 500, 1: 1024}
    assert core_speeds([cores[0], {**cores[1], "capacity": 0}]) == {0: 2000, 1: 1900}
    assert core_speeds([{**core, "capacity": 0, "max_khz": 0} for core in cores]) == {0: 0, 1: 0}


def test_a_board_pins_to_the_cores_asked_for() -> None:
    core = max(os.sched_getaffinity(0))
    started, refused = talk(({**START, "cores": f"{core}-{core}"}, b""), ({**START, "cores": "9999-9999"}, b""))
    assert started["ok"]["affinity"] == str(core)
    assert "the cores that can be used here are" in refused["error"]


def test_an_option_that_the_board_cannot_follow_is_said_without_pythons_name_of_the_error() -> None:
    (answer,) = talk(({**START, "cores": "900-901"}, b""))
    assert answer["error"].startswith("--cores is '900-901': the cores that can be used here are")
