"""Networks whose starts were all disturbed: they are measured once more, and the faster result counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mnas.latency.table import LatencyTable
from mnas.profiling.again import choose_suspicious
from mnas.profiling.log import read_log
from mnas.profiling.profile import ProfileOptions, profile
from tests.profiling.fakes import POISONED, FakePhone, PoisonedPhone, table_error
from tests.spaces import small_space

SPACE = small_space(3)


def make(out: Path, phone: FakePhone, monkeypatch: pytest.MonkeyPatch, networks: int = 30) -> LatencyTable:
    monkeypatch.setattr("mnas.profiling.collect.LEAST", networks)
    monkeypatch.setattr("mnas.profiling.collect.MOST", networks)
    with phone.own_clock():
        return profile(SPACE, phone, out, ProfileOptions(minutes=1))


def error(table: LatencyTable) -> float:
    return table_error(table, SPACE)


def test_a_poisoned_network_is_measured_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calm = error(make(tmp_path / "calm.json", FakePhone(), monkeypatch))
    out, log = tmp_path / "table.json", tmp_path / "table.json.log"
    table = make(out, PoisonedPhone(), monkeypatch)
    assert error(table) < calm + 0.01
    assert "set aside" not in table.method
    assert f"network {POISONED} of the profile took 2." in caplog.text or "took 1.9" in caplog.text
    known = read_log(log)
    assert POISONED in known.again
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    both = [line["time"]["quiet_ms"] for line in lines if line.get("network") == POISONED]
    assert known.times[POISONED].quiet_ms == both[1] < 0.6 * both[0]
    assert len(known.times) == 30
    log.write_text("".join(f"{json.dumps(line)}\n" for line in lines if "table" not in line))  # interrupted at the end
    out.unlink()
    caplog.clear()
    phone = PoisonedPhone()
    assert make(out, phone, monkeypatch) == table
    assert phone.loaded == 1, "only the reference: no network is measured a third time"


def test_a_profile_with_nothing_suspicious_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnas.profiling.again._FAR", 100.0)
    undisturbed = make(tmp_path / "calm.json", FakePhone(), monkeypatch)
    assert not read_log(tmp_path / "calm.json.log").again
    monkeypatch.setattr("mnas.profiling.profile.choose_suspicious", lambda residuals: [])
    assert make(tmp_path / "without.json", FakePhone(), monkeypatch) == undisturbed


def test_a_phone_that_is_gone_does_not_cost_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    phone = PoisonedPhone()
    phone.lost = True
    table = make(tmp_path / "table.json", phone, monkeypatch)
    assert "not measured once more, as the device is gone" in caplog.text
    assert LatencyTable.load(tmp_path / "table.json") == table


def test_what_is_suspicious() -> None:
    usual = {number: (-1) ** number * 0.02 for number in range(20)}
    assert choose_suspicious(usual) == []
    assert choose_suspicious({}) == []
    assert choose_suspicious(usual | {4: 0.5, 7: -0.9, 9: 0.7}) == [9, 4], "a disturbance does not make networks faster"
    assert choose_suspicious(usual | dict.fromkeys(range(5), 0.5)) == [0, 1, 2]
    assert choose_suspicious(dict.fromkeys(range(20), 0.001) | {3: 0.02}) == [], "noise, however small the others are"
