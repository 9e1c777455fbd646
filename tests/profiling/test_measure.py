"""Quiet latencies from a device that is anything but."""

from __future__ import annotations

import numpy as np
import pytest

from mnas.profiling.bench import bench, open_reference
from mnas.profiling.measure import NetworkTime, measure_networks
from mnas.space import load_space
from mnas.tflite.random_model import write_random_model
from tests.profiling.fakes import FakeDevice, FakePhone, true_latency_ms


def test_disturbances_are_kept_out() -> None:
    rng = np.random.default_rng(0)
    files = [write_random_model(load_space("mnasnet-16").sample(rng)) for _ in range(12)]
    device = FakeDevice(disturbed=0.5)
    reference = open_reference(device)
    models = [device.load(data) for data in files]
    times = measure_networks(models, reference, seconds=20, quiet_bursts=[8] * len(models), seed=0)
    truth = np.array([true_latency_ms(data) for data in files])
    assert np.array([t.quiet_ms for t in times]) == pytest.approx(truth, rel=0.01)
    assert np.array([t.median_ms for t in times]) == pytest.approx(truth, rel=0.02)
    assert all(t.num_quiet >= 8 for t in times)
    assert sum(t.num_bursts > t.num_quiet for t in times) > 0  # there were disturbances
    for t in times:
        assert t.min_ms <= t.median_ms <= t.p90_ms
        assert t.halves_ms[0] == pytest.approx(t.halves_ms[1], rel=0.01)


def test_a_warm_phase_is_noticed_and_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device has a clock of its own, and is slower from 1.4 to 2.2 s on it."""

    class Warm(FakeDevice):
        now = 0.0

        def load(self, data: bytes):  # type: ignore[no-untyped-def]
            model = super().load(data)
            run = model.run_times_ms

            def timed(num_runs: int):  # type: ignore[no-untyped-def]
                self.slow = 1.4 < self.now < 2.2
                times = run(num_runs)
                self.now += times.sum() / 1e3
                return times

            model.run_times_ms = timed
            return model

    device = Warm()
    monkeypatch.setattr("mnas.devices.base.time.monotonic", lambda: device.now)
    files = [write_random_model(load_space("mnasnet-16").sample(np.random.default_rng(seed))) for seed in range(12)]
    reference = open_reference(device)
    times = measure_networks([device.load(d) for d in files], reference, seconds=20, quiet_bursts=[8] * 12, seed=0)
    assert device.now > 2.2, "the phase was passed"
    assert all(t.num_quiet >= 8 for t in times)
    assert sum(t.num_bursts - t.num_quiet for t in times) > 0, "some bursts were disturbed, and done again"
    assert [t.quiet_ms for t in times] == pytest.approx([true_latency_ms(data) for data in files], rel=0.01)
    assert [t.median_ms for t in times] == pytest.approx([true_latency_ms(data) for data in files], rel=0.02)


def test_no_time_still_gives_every_network_a_few_bursts() -> None:
    device = FakeDevice()
    reference = open_reference(device)
    files = [write_random_model(load_space("mnasnet-16").sample(np.random.default_rng(seed))) for seed in range(3)]
    times = measure_networks([device.load(d) for d in files], reference, seconds=0, quiet_bursts=[8] * 3, seed=0)
    assert [t.num_bursts for t in times] == [3, 3, 3]
    assert [t.quiet_ms for t in times] == pytest.approx([true_latency_ms(data) for data in files], rel=0.01)


@pytest.mark.parametrize("seconds", [0.0, 20.0])
def test_every_network_is_told_of_once_as_soon_as_it_has_its_bursts(seconds: float) -> None:
    device = FakeDevice(disturbed=0.5)
    files = [write_random_model(load_space("mnasnet-16").sample(np.random.default_rng(seed))) for seed in range(4)]
    told: dict[int, NetworkTime] = {}

    def finished(place: int, measured: NetworkTime) -> None:
        assert place not in told
        told[place] = measured

    models, reference = [device.load(data) for data in files], open_reference(device)
    times = measure_networks(models, reference, seconds=seconds, quiet_bursts=[3, 12, 3, 12], seed=0, finished=finished)
    assert [told[place] for place in range(4)] == times
    if seconds:
        assert set(list(told)[:2]) == {0, 2}
        assert [t.num_quiet for t in times] == [3, 12, 3, 12]  # and not one more


def test_a_known_quiet_latency_unmasks_a_device_that_is_always_busy() -> None:
    data = write_random_model(load_space("mnasnet-16").sample(np.random.default_rng(1)))
    quiet = bench(data, FakeDevice(), quiet_bursts=5, seconds=5)

    class Busy(FakeDevice):
        def load(self, data: bytes):  # type: ignore[no-untyped-def]
            model = super().load(data)
            model.latency_ms *= 1.5
            return model

    reference_ms = open_reference(FakeDevice()).quiet_ms
    masked = bench(data, Busy(), quiet_bursts=5, seconds=0.5)
    assert masked.quiet_ms == pytest.approx(1.5 * quiet.quiet_ms, rel=0.01)
    unmasked = bench(data, Busy(), quiet_bursts=5, seconds=0.5, reference_ms=reference_ms)
    assert unmasked.slowdown == pytest.approx(1.5, rel=0.01)
    assert unmasked.quiet_ms == pytest.approx(quiet.quiet_ms, rel=0.01)
    assert unmasked.median_ms == pytest.approx(1.5 * quiet.quiet_ms, rel=0.01)
    assert unmasked.num_quiet == 0


def test_what_was_measured_before_the_device_was_ever_quiet_is_set_right() -> None:
    data = write_random_model(load_space("mnasnet-16").sample(np.random.default_rng(1)))
    device = FakeDevice()
    device.slow = True
    early = measure_networks([device.load(data)], open_reference(device), seconds=5, quiet_bursts=[5], seed=0)[0]
    assert early.quiet_ms == pytest.approx(1.6 * true_latency_ms(data), rel=0.01)  # it passes for quiet
    device.slow = False
    right = early.at(open_reference(device).quiet_ms)
    assert right.quiet_ms == pytest.approx(true_latency_ms(data), rel=0.01)
    assert right.halves_ms == pytest.approx((true_latency_ms(data),) * 2, rel=0.01)
    assert right.slowdown == pytest.approx(1.6, rel=0.01)
    assert (right.median_ms, right.num_runs) == (early.median_ms, early.num_runs)


def test_bench_measures_one_file() -> None:
    data = write_random_model(load_space("mnasnet-16").sample(np.random.default_rng(1)))
    measured = bench(data, FakeDevice(), quiet_bursts=5, seconds=5)
    assert measured.quiet_ms == pytest.approx(true_latency_ms(data), rel=0.01)
    assert measured.num_quiet == 5
    assert measured.num_runs >= 15


def test_what_only_large_networks_feel_is_kept_out() -> None:
    """A phase in which others use the memory: networks with many weights are slower, the light reference is not."""

    class Contended(FakeDevice):
        def __init__(self) -> None:
            super().__init__()
            self.calls = 0

        def load(self, data: bytes):  # type: ignore[no-untyped-def]
            model = super().load(data)
            quick = model.run_times_ms

            def run_times_ms(num_runs: int):  # type: ignore[no-untyped-def]
                self.calls += 1
                contended = len(data) > 800_000 and self.calls // 60 % 5 > 0
                return quick(num_runs) * (1.4 if contended else 1.0)

            model.run_times_ms = run_times_ms  # type: ignore[method-assign]
            return model

    rng = np.random.default_rng(0)
    files = [write_random_model(load_space("mnasnet-32").sample(rng)) for _ in range(6)]
    device = Contended()
    models = [device.load(data) for data in files]
    times = measure_networks(models, open_reference(device), seconds=20, quiet_bursts=[40] * 6, seed=0)
    assert [t.quiet_ms for t in times] == pytest.approx([true_latency_ms(data) for data in files], rel=0.01)
    assert sum(t.num_bursts > t.num_quiet for t in times) > 0


@pytest.mark.parametrize("disturbed", [0.02, 0.05, 0.3])
def test_a_disturbed_start_of_the_reference_does_not_halve_a_phones_latency(disturbed: float) -> None:
    """With little time, so that many networks have few bursts."""
    files = [write_random_model(load_space("mnasnet-16").sample(np.random.default_rng(seed))) for seed in range(40)]
    phone = FakePhone(disturbed)
    with phone.own_clock():
        reference = open_reference(phone)
        times = measure_networks([phone.load(d) for d in files], reference, seconds=1, quiet_bursts=[5] * 40, seed=0)
    ratios = np.array([t.quiet_ms / true_latency_ms(data) for t, data in zip(times, files, strict=True)])
    assert ratios.min() > 0.98, "nothing is divided by a look that was slow by itself"
    assert np.median(ratios) == pytest.approx(1, abs=0.02)
    assert all(t.quiet_ms > 0.99 * t.min_ms for t in times)
    if disturbed < 0.1:
        assert ratios.max() < 1.03
        assert all(t.num_quiet >= 3 for t in times), "measured again"


@pytest.mark.parametrize("seed", range(5))
def test_bench_of_a_phone_is_never_below_its_fastest_run(seed: int) -> None:
    data = write_random_model(load_space("mnasnet-16").sample(np.random.default_rng(1)))
    phone = FakePhone(0.05, seed=seed)
    with phone.own_clock():
        measured = bench(data, phone, seconds=0)
    assert measured.min_ms <= measured.quiet_ms == pytest.approx(true_latency_ms(data), rel=0.03)


def test_what_a_phone_is_slowed_down_by_all_the_time_is_set_right() -> None:
    data = write_random_model(load_space("mnasnet-16").sample(np.random.default_rng(1)))
    phone = FakePhone()
    with phone.own_clock():
        known_ms = open_reference(phone).quiet_ms
        phone.sustained = 1.4
        throttled = bench(data, phone, seconds=3, reference_ms=known_ms)
    assert throttled.num_quiet == 0
    assert throttled.num_bursts >= 6, "it was given another chance"
    assert throttled.slowdown == pytest.approx(1.4, rel=0.03)
    assert throttled.quiet_ms == pytest.approx(true_latency_ms(data), rel=0.03)
    assert throttled.median_ms == pytest.approx(1.4 * true_latency_ms(data), rel=0.03)


def test_one_quiet_burst_is_worth_more_than_two_disturbed_ones() -> None:
    """The reference is slow in all samples but those around one burst; the network is slow with it, but less."""
    data = write_random_model(load_space("mnasnet-16").sample(np.random.default_rng(1)))

    class Moody(FakeDevice):
        calls = 0

        def load(self, data: bytes):  # type: ignore[no-untyped-def]
            model = super().load(data)
            run, network = model.run_times_ms, self.loaded == 3

            def run_times_ms(num_runs: int):  # type: ignore[no-untyped-def]
                self.calls += not network
                calm = self.calls <= 53
                return run(num_runs) * (1.0 if calm else 1.1 if network else 2.0)

            model.run_times_ms = run_times_ms  # type: ignore[method-assign]
            return model

    device = Moody()
    reference = open_reference(device)
    times = measure_networks([device.load(data)], reference, seconds=0, quiet_bursts=[20], seed=0)[0]
    assert times.quiet_ms == pytest.approx(true_latency_ms(data), rel=0.01)
