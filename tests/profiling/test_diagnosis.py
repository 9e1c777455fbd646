"""What an examined device is said to need."""

from __future__ import annotations

from dataclasses import replace

from mnas.devices.condition import Condition
from mnas.profiling.diagnosis import DelegateCheck, Diagnosis, NoiseFloor
from tests.latency.tables import CONFIGURATION

RUNS = DelegateCheck("xnnpack", "float32", 0.5)
QUIET = NoiseFloor("xnnpack", 0.5, 0.01, 1.01, 0.9)
GOOD = Diagnosis("local", Condition("local"), "litert 2", (RUNS,), replace(CONFIGURATION, affinity="1"), QUIET)


def test_nothing_is_to_be_done_for_what_is_unknown_or_good() -> None:
    assert GOOD.advice == ()
    good = Condition("adb", celsius=30.0, thermal_status=1, free_bytes=10**9, busy=0.05)
    assert replace(GOOD, condition=good).advice == ()


def test_what_does_not_run_comes_first() -> None:
    broken = replace(GOOD, delegates=(DelegateCheck("xnnpack", "float32", None, "no such thing"),))
    assert not broken.can_be_measured
    assert replace(broken, condition=Condition("local", celsius=95.0)).advice == (
        "No network runs: no such thing.",
        "It is hot, and slows itself down: let it cool.",
    )
    nothing = Diagnosis("adb", Condition("adb"), "")
    assert nothing.advice[0].startswith("There is no benchmark program")


def test_noise_and_missing_pins_are_said() -> None:
    (pins,) = replace(GOOD, configuration=CONFIGURATION).advice
    assert "not pinned" in pins
    (noise,) = replace(GOOD, noise=replace(QUIET, repeatability=0.08)).advice
    assert noise == "It repeats itself to 8.0% only: give a profile more --minutes."
    (busy,) = replace(GOOD, noise=replace(QUIET, slowdown=1.4)).advice
    assert busy.startswith("The reference network ran 1.40 times slower")


def test_a_warm_board_is_not_a_warm_phone() -> None:
    assert replace(GOOD, condition=Condition("ssh", celsius=60.0)).advice == ()
    assert replace(GOOD, condition=Condition("adb", celsius=60.0)).advice
