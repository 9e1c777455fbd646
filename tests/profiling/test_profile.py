"""From a space and a device to a table."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from mnas.errors import InputError, MnasError
from mnas.latency.estimator import LatencyEstimator
from mnas.latency.table import LatencyTable
from mnas.profiling.check import check_table
from mnas.profiling.collect import describe_disturbance
from mnas.profiling.log import ProfileLog, read_log
from mnas.profiling.measure import NetworkTime
from mnas.profiling.plan import plan_networks
from mnas.profiling.profile import ProfileOptions, profile
from mnas.tflite.random_model import write_random_model
from tests.profiling.fakes import FakeDevice, true_latency_ms, with_all_bursts
from tests.spaces import small_space

SPACE = small_space(3)
OPTIONS = ProfileOptions(minutes=0.1)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> LatencyTable:
    return profile(SPACE, FakeDevice(), tmp_path_factory.mktemp("profile") / "table.json", OPTIONS)


def test_the_table_predicts_networks_it_has_not_seen(table: LatencyTable) -> None:
    rng = np.random.default_rng(99)
    networks = [SPACE.sample(rng) for _ in range(40)]
    truth = np.array([true_latency_ms(write_random_model(network)) for network in networks])
    estimates = [LatencyEstimator(table).predict(network) for network in networks]
    errors = np.abs([estimate.latency_ms for estimate in estimates] / truth - 1)
    assert errors.mean() < 0.015
    assert errors.max() < 0.06
    inside = [e.low_ms <= latency <= e.high_ms for e, latency in zip(estimates, truth, strict=True)]
    assert np.mean(inside) > 0.7


def test_the_report_card_says_so(table: LatencyTable) -> None:
    card = table.report_card
    assert card is not None
    assert card.num_networks >= 16
    assert card.mape < 0.015
    assert card.kendall_tau > 0.9
    assert card.repeatability < 0.005


def test_the_table_is_whole(table: LatencyTable) -> None:
    assert {placed.key for placed in SPACE.placed_blocks()} <= set(table.entries)
    assert all(entry.latency_ms > 0 for entry in table.entries.values())
    assert {int(key.rpartition("_n")[2]) for key in table.entries if "classifier" in key} == {10, 100, 1000}


def test_one_table_for_several_resolutions_has_a_card_for_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnas.profiling.collect.MOST", 100)
    sizes = small_space(3, resolutions=(24, 12))
    table = profile(sizes, FakeDevice(), tmp_path / "table.json", ProfileOptions(minutes=0.5))
    assert LatencyTable.load(tmp_path / "table.json") == table
    assert table.input_sizes == (24, 12) == tuple(table.report_cards)
    assert all(card.num_networks >= 5 and card.mape < 0.05 for card in table.report_cards.values())
    assert sum(card.num_networks for card in table.report_cards.values()) == table.report_card.num_networks
    assert {placed.key for placed in sizes.placed_blocks()} <= set(table.entries)
    rng = np.random.default_rng(99)
    for size in sizes.resolutions:
        network = replace(sizes.sample(rng), resolution=size)
        truth = true_latency_ms(write_random_model(network))
        assert LatencyEstimator(table).predict(network).latency_ms == pytest.approx(truth, rel=0.1)


@pytest.mark.parametrize("count", [1, 3, 8])
def test_the_plan_holds_out_networks_of_every_resolution(count: int) -> None:
    space = small_space(resolutions=range(40, 40 - count, -1))
    plan = list(islice(plan_networks(space, seed=0), 110))
    assert plan == list(islice(plan_networks(space, seed=0), 110))
    held_out = Counter(planned.architecture.resolution for planned in plan if planned.held_out)
    assert set(held_out) == set(space.input_sizes) == {one.architecture.resolution for one in plan if not one.held_out}
    assert min(held_out.values()) >= 5


def test_an_interrupted_profile_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, log = tmp_path / "table.json", tmp_path / "table.json.log"
    monkeypatch.setattr("mnas.profiling.collect.WAVE_BYTES", 0)  # networks are kept one by one
    monkeypatch.setattr("mnas.profiling.collect.MOST", 60)
    with pytest.raises(KeyboardInterrupt):
        profile(SPACE, FakeDevice(fail_after=31), out, OPTIONS)
    assert not out.exists()
    kept = [json.loads(line) for line in log.read_text().splitlines()]
    finished = {record["network"] for record in kept if "network" in record}
    assert finished
    with log.open("a") as file:
        file.write('{"network": 3, "sec')  # the line that was being written when the power went
    device = FakeDevice()
    table = profile(SPACE, device, out, OPTIONS)
    assert device.loaded <= 2 + 60 - len(finished)  # 2 are references
    assert len(finished) == 29 == max(finished) + 1
    assert LatencyTable.load(out) == table
    kept_log = read_log(log)
    assert kept_log.table == table.sha256
    assert finished < set(kept_log.times)


def test_measurements_of_another_plan_are_set_aside_and_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As when the plan depended on the process: number 3 was another network then, with another time."""
    monkeypatch.setattr("mnas.profiling.collect.MOST", 60)
    with_all_bursts(monkeypatch)
    unhurried = ProfileOptions(minutes=10)
    whole = profile(SPACE, FakeDevice(noise=0.0), tmp_path / "whole.json", unhurried)
    out, log = tmp_path / "table.json", tmp_path / "table.json.log"
    header, *lines, _ = (tmp_path / "whole.json.log").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    for number in (3, 7):
        other = next(each for each in records if each["network"] == number)
        other["architecture"] = "0" * 16
        other["time"]["quiet_ms"] *= 2
    log.write_text("".join(f"{line}\n" for line in (header, *map(json.dumps, records))))
    device = FakeDevice(noise=0.0)
    assert profile(SPACE, device, out, unhurried) == whole
    assert device.loaded == 2 + 2  # 2 are references
    (said,) = (record.getMessage() for record in caplog.records)
    assert said.startswith(f"{log}: 2 of its 60 measured networks, such as number 3, are not those that have")
    assert said.endswith("set aside, and these networks are measured again")
    assert read_log(log).times == read_log(tmp_path / "whole.json.log").times
    assert profile(SPACE, FakeDevice(noise=0.0), out, unhurried, force=True)
    assert len(caplog.records) == 2, "only that the earlier log is kept"


def test_logs_without_fingerprints_go_on_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnas.profiling.collect.LEAST", 24)
    monkeypatch.setattr("mnas.profiling.collect.MOST", 24)
    whole = profile(SPACE, FakeDevice(noise=0.0), tmp_path / "whole.json", OPTIONS)
    header, *lines, _ = (tmp_path / "whole.json.log").read_text().splitlines()
    former = [{name: value for name, value in json.loads(line).items() if name != "architecture"} for line in lines]
    (tmp_path / "table.json.log").write_text("".join(f"{line}\n" for line in (header, *map(json.dumps, former))))
    device = FakeDevice(noise=0.0)
    assert profile(SPACE, device, tmp_path / "table.json", OPTIONS) == whole
    assert device.loaded == 2


def test_a_profile_that_ends_within_a_wave_loses_only_what_lacked_bursts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mnas.profiling.collect.MOST", 60)  # one wave
    with_all_bursts(monkeypatch)
    unhurried = ProfileOptions(minutes=10)
    whole = profile(SPACE, FakeDevice(noise=0.0), tmp_path / "whole.json", unhurried)

    class Dying(FakeDevice):
        left = 1200  # calls: the networks to fit to have their bursts, those held out have not

        def load(self, data: bytes):  # type: ignore[no-untyped-def]
            model = super().load(data)
            run = model.run_times_ms

            def run_times_ms(num_runs: int):  # type: ignore[no-untyped-def]
                self.left -= 1
                if not self.left:
                    raise KeyboardInterrupt
                return run(num_runs)

            model.run_times_ms = run_times_ms  # type: ignore[method-assign]
            return model

    out = tmp_path / "table.json"
    with pytest.raises(KeyboardInterrupt):
        profile(SPACE, Dying(noise=0.0), out, unhurried)
    kept = [json.loads(line) for line in out.with_name("table.json.log").read_text().splitlines()[1:]]
    assert 20 < len(kept) < 60
    assert 0 < sum(record["seconds"] for record in kept) < 60
    device = FakeDevice(noise=0.0)
    table = profile(SPACE, device, out, unhurried)
    assert device.loaded == 2 + 60 - len(kept)  # 2 are references
    assert table == whole


def test_a_table_is_not_overwritten_without_force_and_its_measurements_never(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mnas.profiling.collect.LEAST", 24)
    monkeypatch.setattr("mnas.profiling.collect.MOST", 24)
    out, log = tmp_path / "table.json", tmp_path / "table.json.log"
    first = profile(SPACE, FakeDevice(), out, OPTIONS)
    device = FakeDevice()
    with pytest.raises(InputError) as refused:
        profile(SPACE, device, out, OPTIONS)
    assert f"exists already (a latency table of {SPACE.name} at" in str(refused.value)
    assert f"a CPU, litert, float32, 1 thread, {first.date}): name another file, or overwrite it with --force" in str(
        refused.value
    )
    assert device.loaded == 0
    with pytest.raises(KeyboardInterrupt):
        profile(SPACE, FakeDevice(fail_after=5), out, OPTIONS, force=True)
    assert "the measurements of an earlier table.json are kept in" in caplog.text
    assert LatencyTable.load(out) == first, "until the new one is whole"
    device.noise = 0.01
    second = profile(SPACE, device, out, OPTIONS, force=True)
    assert LatencyTable.load(out) == second != first
    assert read_log(log).table == second.sha256
    assert read_log(tmp_path / "table.json.1.log").table == first.sha256
    assert sorted(path.name for path in tmp_path.iterdir()) == ["table.json", "table.json.1.log", "table.json.log"]


def test_a_table_that_was_deleted_is_measured_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnas.profiling.collect.LEAST", 24)
    monkeypatch.setattr("mnas.profiling.collect.MOST", 24)
    out, device = tmp_path / "table.json", FakeDevice()
    profile(SPACE, FakeDevice(), out, OPTIONS)
    out.unlink()
    profile(SPACE, device, out, OPTIONS)
    assert device.loaded >= 2 + 24  # 2 are references


def test_another_profiles_log_is_not_taken_over(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        profile(SPACE, FakeDevice(fail_after=5), tmp_path / "t.json", OPTIONS)
    with pytest.raises(InputError, match="differs in space"):
        profile(small_space(2), FakeDevice(), tmp_path / "t.json", OPTIONS)
    (tmp_path / "t.json.log").write_text("what\nis this\n")
    with pytest.raises(InputError, match="not a log"):
        profile(SPACE, FakeDevice(), tmp_path / "t.json", OPTIONS)


def test_check_holds_on_the_same_device_and_not_on_a_slower_one(table: LatencyTable) -> None:
    result = check_table(table, SPACE, FakeDevice(), count=8, seconds=5, seed=1)
    assert result.holds
    assert result.bias == pytest.approx(1, abs=0.03)

    class Slower(FakeDevice):
        def load(self, data: bytes):  # type: ignore[no-untyped-def]
            model = super().load(data)
            model.latency_ms *= 1.4
            return model

    assert not check_table(table, SPACE, Slower(), count=8, seconds=5, seed=1).holds


def test_check_fails_a_table_whose_intervals_are_wide_enough_for_anything(table: LatencyTable) -> None:
    rng = np.random.default_rng(0)
    entries = {
        key: replace(entry, latency_ms=entry.latency_ms * rng.uniform(0.4, 1.8))
        for key, entry in sorted(table.entries.items())
    }
    wild = replace(table, entries=entries, relative_error=0.5)
    result = check_table(wild, SPACE, FakeDevice(), count=12, seconds=5, seed=1)
    assert result.within_interval == 1
    assert not result.holds
    assert any("off on average (limit 8%)" in fault for fault in result.faults)
    assert any("intervals are plus and minus" in fault for fault in result.faults)
    assert result.margin > 0.8


def test_options_are_checked() -> None:
    with pytest.raises(InputError, match="--dtype"):
        ProfileOptions(dtype="float64")
    with pytest.raises(InputError, match="--minutes"):
        ProfileOptions(minutes=0)


def test_a_busy_device_is_told_of(tmp_path: Path) -> None:
    log = ProfileLog(tmp_path / "t.log", {})
    assert describe_disturbance(log) == ""
    calm = NetworkTime(1.0, 1.0, 1.0, 1.0, 1.0, (1.0, 1.0), 90, 9, 9, 1.0, 0.2)
    network = SPACE.sample(np.random.default_rng(0))
    log.append(0, network, calm, 0.1)
    assert describe_disturbance(log) == ""
    log.append(1, network, replace(calm, num_bursts=18), 0.1)
    assert describe_disturbance(log) == ", 33% of the bursts again: the device was busy or warm"


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_measured() -> None:
    device = FakeDevice()
    with pytest.raises(MnasError, match="cannot write into /proc/mnas for the profile"):
        profile(SPACE, device, Path("/proc/mnas/table.json"), OPTIONS)
    assert device.loaded == 0
