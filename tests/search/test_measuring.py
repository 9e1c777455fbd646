"""Finalists whose measured latency is within the budget."""

import json
from types import SimpleNamespace

import pytest

from mnas.arch.codec import architecture_from_dict, architecture_to_json
from mnas.errors import InputError
from mnas.profiling import meter
from mnas.profiling.meter import LatencyMeter
from mnas.search.measuring import MeasuredChoice
from mnas.trial import Measurement, Trial
from tests.libraries import tiny_space

SPACE = tiny_space()
BUDGET_MS = 2.0


def trial(number, index, accuracy=0.5):
    """A trial of the network with this number in the space."""
    network = SPACE.decode([index % 3, index // 3 % 8, index // 24 % 5, 0])
    return Trial(number, network, Measurement(accuracy, (BUDGET_MS,), 1, 1), accuracy)


@pytest.fixture
def device(monkeypatch):
    """A device with a latency for each network, by default as predicted; notes what was measured together."""
    told = SimpleNamespace(latencies={}, default=BUDGET_MS, measured=[])

    def measure_files(device, files, *, seconds, quiet_bursts, reference_ms, reference):
        networks = [architecture_from_dict(json.loads(file)) for file in files]
        told.measured.append(networks)
        assert len(quiet_bursts) == len(files)
        return [SimpleNamespace(quiet_ms=told.latencies.get(network, told.default)) for network in networks]

    monkeypatch.setattr(meter, "measure_files", measure_files)
    monkeypatch.setattr(meter, "write_random_model", lambda network, dtype: architecture_to_json(network).encode())
    return told


def choice(further=lambda budget_ms, number: [], path=None, predict=lambda network: BUDGET_MS, name="local"):
    return MeasuredChoice(LatencyMeter(None, "float32", name, path), BUDGET_MS, predict, further)


def best_first(trials):
    return sorted(trials, key=lambda each: -each.reward)


def test_those_above_the_budget_and_two_percent_are_left_out(device):
    trials = [trial(n, n, 0.9 - n / 100) for n in range(6)]
    for each, share in zip(trials, (1.05, 1.0, 1.021, 1.019, 0.9, 0.9), strict=True):
        device.latencies[each.architecture] = share * BUDGET_MS
    chosen = choice()
    found = chosen.choose(trials, best_first, 2)
    assert [each.number for each in found] == [1, 3]
    assert chosen.known_ms(trials[0].architecture) == 1.05 * BUDGET_MS
    assert chosen.known_ms(trials[5].architecture) is None
    assert [len(together) for together in device.measured] == [4], "no more than were needed"


def test_the_budget_is_lowered_by_the_measured_factor_and_others_are_asked_for(device, caplog):
    trials, asked = [trial(n, n) for n in range(3)], []
    device.default = 1.25 * BUDGET_MS
    faster = trial(100, 50, 0.4)
    device.latencies[faster.architecture] = 0.99 * BUDGET_MS

    def further(budget_ms, number):
        asked.append((budget_ms, number))
        return [faster]

    (found,) = choice(further).choose(trials, best_first, 1, first_number=100)
    assert found is faster
    assert asked == [(pytest.approx(BUDGET_MS / 1.25), 100)]
    assert "measured latencies are 1.25 times those of the table" in caplog.text


def test_a_network_is_chosen_once_though_it_is_proposed_again(device):
    trials = [trial(0, 0, 0.9), trial(1, 1, 0.8)]
    device.latencies[trials[0].architecture] = 1.5 * BUDGET_MS
    calls = []

    def further(budget_ms, number):
        calls.append(budget_ms)
        return [trial(number, 1, 0.8), *([trial(number + 1, 2, 0.7)] if len(calls) > 1 else [])]

    found = choice(further).choose(trials, best_first, 2)
    assert [each.architecture for each in found] == [trials[1].architecture, trial(0, 2).architecture]
    assert calls[1] < calls[0]


def test_fewer_finalists_are_better_than_none(device):
    trials = [trial(n, n) for n in range(3)]
    device.latencies = {trials[0].architecture: 2 * BUDGET_MS, trials[2].architecture: 2 * BUDGET_MS}
    assert choice().choose(trials, best_first, 2) == [trials[1]]


def test_when_nothing_is_within_the_budget_the_fastest_is_named(device):
    trials = [trial(n, n) for n in range(3)]
    device.default = 3.0
    device.latencies[trials[1].architecture] = 2.5
    with pytest.raises(InputError, match=r"no candidate is within 2 ms as measured; the fastest takes 2.5 ms. .*none"):
        choice(lambda budget_ms, number: [trial(number, 30)]).choose(trials, best_first, 1)


def test_a_resumed_choice_takes_the_same_steps(device, tmp_path):
    """What is known from before must not change which budget is asked for."""
    path, trials = tmp_path / "measured.json", [trial(n, n, 0.9 - n / 100) for n in range(6)]
    device.default = 1.5 * BUDGET_MS
    faster = [trial(100 + n, 60 + n, 0.4) for n in range(3)]
    device.latencies = {each.architecture: 0.98 * BUDGET_MS for each in faster}
    asked = []

    def further(budget_ms, number):
        asked.append((budget_ms, number))
        return faster

    first = choice(further, path).choose(trials, best_first, 2)
    assert choice(further, path).choose(trials, best_first, 2) == first
    assert asked[: len(asked) // 2] == asked[len(asked) // 2 :]


def test_what_was_measured_is_kept_and_not_measured_again(device, tmp_path):
    path, trials = tmp_path / "measured.json", [trial(n, n) for n in range(6)]
    first = choice(path=path).choose(trials, best_first, 5)
    device.measured.clear()
    device.default = 99.0
    assert choice(path=path).choose(trials, best_first, 5) == first
    assert device.measured == []
    path.write_text('{"ab": "fast"}')
    with pytest.raises(InputError, match=r"measured.json"):
        choice(path=path)


def test_a_resumed_search_on_another_device_measures_again(device, tmp_path):
    path, trials = tmp_path / "measured.json", [trial(n, n) for n in range(6)]
    own = choice(path=path)
    own.choose(trials, best_first, 5)
    first = list(device.measured)
    device.measured.clear()
    other = choice(path=path, name="adb, Pixel 8")
    other.choose(trials, best_first, 5)
    assert device.measured == first
    devices = json.loads(path.read_text())
    assert set(devices) == {own.meter.device_name, "adb, Pixel 8"}
    assert len({frozenset(latencies) for latencies in devices.values()}) == 1, "the same networks"
