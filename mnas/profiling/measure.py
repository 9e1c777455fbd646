"""Measuring networks on a device that others disturb: short interleaved bursts between looks at a reference network.

On a shared machine a disturbance lasts seconds and makes everything slower, up to twice. The reference network tells
when: a burst counts as quiet if the reference was near its own quiet latency before and after it, and its run times
are divided by how far the reference was above it. What is reported is the quiet-device latency, a low quantile over
the runs of quiet bursts, with the median beside it. On the machine this was written on, two halves of one network's
bursts then differed by 1.0 % on average, where low quantiles over everything differed by 3 to 4 %.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mnas.devices.base import Array, Device, LoadedModel, Pace

QUIET_QUANTILE = 0.25
_REFERENCE_QUANTILE = 0.10
_TOLERANCE = 1.08  # reference latency over its quiet latency, up to which a burst counts as quiet
WARM_UP_RUNS = 3  # the caches still hold another network
FEWEST_RUNS = 3  # of a burst
_PATIENCE_S = 0.15  # how long to wait for the device to calm down before a burst
_FEWEST = 3  # bursts that an estimate rests on, quiet or not


@dataclass(frozen=True, slots=True)
class NetworkTime:
    """What was measured of one network.

    Attributes:
        quiet_ms: the low quantile over the runs of its quiet bursts.
        median_ms, p90_ms, min_ms: over the runs of its quiet bursts, as they were.
        median_all_ms: over all runs, disturbed ones too.
        halves_ms: the quiet latency from even and from odd bursts alone; how much they differ is the noise.
        num_runs: in all.
        num_bursts, num_quiet: bursts in all, and quiet ones among them.
        slowdown: how many times slower than when quiet the device was around the bursts that count; 1 is quiet.
        reference_ms: the reference network's quiet latency that `quiet_ms` was set against.
    """

    quiet_ms: float
    median_ms: float
    p90_ms: float
    min_ms: float
    median_all_ms: float
    halves_ms: tuple[float, float]
    num_runs: int
    num_bursts: int
    num_quiet: int
    slowdown: float
    reference_ms: float

    def at(self, reference_ms: float) -> NetworkTime:
        """The same measurement, set against what the reference network's quiet latency turned out to be.

        A network that was measured before the device had ever been quiet was set against too slow a reference.
        """
        factor = reference_ms / self.reference_ms
        return replace(
            self,
            quiet_ms=self.quiet_ms * factor,
            halves_ms=(self.halves_ms[0] * factor, self.halves_ms[1] * factor),
            slowdown=self.slowdown / factor,
            reference_ms=reference_ms,
        )


class Reference:
    """The reference network: a stable yardstick for how disturbed the device is right now.

    Args:
        device: where.
        data: its `.tflite` file.
        known_ms: its quiet latency as an earlier measurement found it, 0 for none. Without it a device that is busy all
            the time passes for quiet.
    """

    def __init__(self, device: Device, data: bytes, *, known_ms: float = 0.0) -> None:
        self._known_ms = known_ms
        self._model = device.load(data)
        self.pace = device.pace
        self._seen: list[float] = []
        for _ in range(self.pace.first_looks):
            self.look()

    def look(self) -> float:
        """The reference's latency now, in ms."""
        times = self._model.warm_run_times_ms(self.pace.reference_runs, warm_up=WARM_UP_RUNS)
        latency_ms = float(times.min())
        self._seen.append(latency_ms)
        return latency_ms

    @property
    def quiet_ms(self) -> float:
        """Its latency when the device is quiet, as far as seen or known."""
        seen_ms = float(np.quantile(self._seen, _REFERENCE_QUANTILE))
        return min(seen_ms, self._known_ms) if self._known_ms else seen_ms

    def drift(self) -> float:
        """Quiet latency in the second half of everything seen over that in the first, minus 1."""
        half = len(self._seen) // 2
        first, second = (
            np.quantile(self._seen[:half], _REFERENCE_QUANTILE),
            np.quantile(self._seen[half:], _REFERENCE_QUANTILE),
        )
        return float(second / first - 1)

    def close(self) -> None:
        """Give the network back."""
        self._model.close()


@dataclass
class _Record:
    """One network's bursts: run times, and the slower of the two looks around each."""

    model: LoadedModel
    runs: int
    wanted: int
    bursts: list[Array] = field(default_factory=list)
    reference_ms: list[float] = field(default_factory=list)

    def unfinished(self, limit_ms: float, late: bool) -> bool:
        return len(self.bursts) < _FEWEST if late else self.num_quiet(limit_ms) < self.wanted

    def num_quiet(self, limit_ms: float) -> int:
        return sum(look <= limit_ms for look in self.reference_ms)

    def summary(self, reference_quiet_ms: float) -> NetworkTime:
        looks = np.array(self.reference_ms)
        limit_ms = reference_quiet_ms * _TOLERANCE
        order = np.argsort(looks, kind="stable")
        chosen = np.sort(order[: max(_FEWEST, int((looks <= limit_ms).sum()))])
        bursts = [self.bursts[index] * (reference_quiet_ms / looks[index]) for index in chosen]
        undisturbed = np.concatenate([self.bursts[index] for index in chosen])
        everything = np.concatenate(self.bursts)
        halves = [bursts[start::2] or bursts for start in (0, 1)]
        return NetworkTime(
            quiet_ms=quiet_latency(bursts),
            median_ms=float(np.median(undisturbed)),
            p90_ms=float(np.quantile(undisturbed, 0.9)),
            min_ms=float(undisturbed.min()),
            median_all_ms=float(np.median(everything)),
            halves_ms=(quiet_latency(halves[0]), quiet_latency(halves[1])),
            num_runs=len(everything),
            num_bursts=len(self.bursts),
            num_quiet=self.num_quiet(limit_ms),
            slowdown=float(np.median(looks[chosen])) / reference_quiet_ms,
            reference_ms=reference_quiet_ms,
        )


def quiet_latency(bursts: Sequence[Array]) -> float:
    """The quiet-device latency of some bursts' runs, in ms."""
    return float(np.quantile(np.concatenate(bursts), QUIET_QUANTILE))


def measure_networks(
    models: Sequence[LoadedModel],
    reference: Reference,
    *,
    seconds: float,
    quiet_bursts: Sequence[int],
    seed: int,
    progress: Callable[[], None] = lambda: None,
) -> list[NetworkTime]:
    """Measure networks in interleaved rounds until each has its quiet bursts, or the time is over.

    Args:
        models: what to measure, all ready to run.
        reference: the yardstick, on the same device.
        seconds: at most about this long; every network gets a few bursts even so.
        quiet_bursts: how many are enough, for each network.
        seed: of the order within rounds.
        progress: called after every burst.
    """
    rng = np.random.default_rng(seed)
    records = [
        _Record(model, _runs_per_burst(model, reference.pace), wanted)
        for model, wanted in zip(models, quiet_bursts, strict=True)
    ]
    deadline = time.monotonic() + seconds
    look = reference.look()
    while True:
        limit = reference.quiet_ms * _TOLERANCE
        late = time.monotonic() > deadline
        left = [record for record in records if record.unfinished(limit, late)]
        if not left:
            return [record.summary(reference.quiet_ms) for record in records]
        for index in rng.permutation(len(left)):
            if not late:
                look = _wait_until_quiet(reference, look, limit)
            record = left[index]
            times = record.model.warm_run_times_ms(record.runs, warm_up=WARM_UP_RUNS)
            before, look = look, reference.look()
            record.bursts.append(times)
            record.reference_ms.append(max(before, look))
            progress()
            if time.monotonic() > deadline and not late:
                break


def _wait_until_quiet(reference: Reference, look: float, limit_ms: float) -> float:
    give_up = time.monotonic() + _PATIENCE_S
    while look > limit_ms and time.monotonic() < give_up:
        look = reference.look()
    return look


def _runs_per_burst(model: LoadedModel, pace: Pace) -> int:
    latency_ms = float(model.warm_run_times_ms(FEWEST_RUNS, warm_up=1).min())
    return int(np.clip(pace.burst_ms / latency_ms, FEWEST_RUNS, pace.most_runs))
