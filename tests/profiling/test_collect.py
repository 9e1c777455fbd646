"""Measuring the networks of a plan where a start takes long: what fits into the time, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mnas.profiling import collect as module
from mnas.profiling.collect import collect
from mnas.profiling.log import ProfileLog
from tests.profiling.fakes import FakePhone
from tests.spaces import small_space


def run(tmp_path: Path, start_ms: float, minutes: float) -> tuple[ProfileLog, list[tuple[float, str]], float]:
    phone, told = FakePhone(), []
    phone.pace = replace(phone.pace, start_ms=start_ms)
    log = ProfileLog(tmp_path / f"{start_ms}.log", {})
    with phone.own_clock():
        collect(
            small_space(),
            phone,
            log,
            dtype="float32",
            seed=0,
            seconds=minutes * 60,
            progress=lambda share, what: told.append((share, what)),
        )
    return log, told, phone.now


def test_a_slow_shell_is_planned_with(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With 1.2 s a start, 20 minutes are enough for all networks, which share them."""
    log, told, seconds = run(tmp_path, 1200.0, 20.0)
    assert len(log.times) >= module.LEAST
    assert seconds < 1.1 * 20 * 60
    bursts = [time.num_bursts for number, time in log.times.items() if number < module.LEAST]
    assert min(bursts) >= 4, "the first networks did not take the time of the later ones"
    assert told[0][1] == "measured 0 networks of about 44 (a start takes 1.2 s)"
    assert not caplog.text
    assert [share for share, _ in told] == sorted(share for share, _ in told)


def test_a_time_that_is_too_short_is_said_and_progress_tells_the_truth(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, told, seconds = run(tmp_path, 1200.0, 2.0)
    assert "a start of the program takes 1.2 s on this device: the 40 networks that a table needs take about" in (
        caplog.text
    )
    minutes = float(caplog.text.partition("take about ")[2].partition(" minutes")[0])
    assert seconds / 60 == pytest.approx(minutes, rel=0.3)
    at_ten = next(share for share, what in told if what.startswith("measured 10 networks of 40"))
    assert at_ten == pytest.approx(0.24)


def test_what_was_measured_before_needs_no_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(tmp_path, 120.0, 5.0)
    log, _, seconds = run(tmp_path, 120.0, -1.0)  # a resumed profile, whose minutes are over
    assert len(log.times) > module.LEAST
    assert seconds < 10
    assert not caplog.text


def test_a_quick_start_is_not_worth_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log, told, _ = run(tmp_path, 120.0, 5.0)
    assert len(log.times) > module.LEAST
    assert not caplog.text
    planned = int(told[0][1].partition("about ")[2].partition(" ")[0])
    assert len(log.times) == pytest.approx(planned, rel=0.35)
