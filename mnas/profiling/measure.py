"""Measuring networks on a device that is disturbed: short interleaved bursts between samples of reference networks.

On a shared machine a disturbance lasts seconds to minutes. Two reference networks detect it. The light one shows that a
core is slower; run times are divided by its slowdown over its own quiet latency. The heavy one has more weights than
fit into a core's own caches, and shows that other programs use the memory: networks of a few megabytes then take much
longer, and the light one hardly changes. A burst is quiet if both were near their quiet latencies before and after it.
The result is the quiet-device latency, a low quantile over the runs of quiet bursts, and the median.

Where every burst starts a program, as on a phone, a single start can be slow by itself: a slow sample of the reference
says nothing of the burst beside it. There, run times are divided only by the slowdown that all samples around a
network's bursts share, such as that of a phone that throttles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Annotated

import numpy as np
from msgspec import Meta

from mnas.devices.base import Array, Device, LoadedModel, MeasurementSettings, naming

QUIET_QUANTILE = 0.25
_REFERENCE_QUANTILE = 0.10
_LIGHT_TOLERANCE, _HEAVY_TOLERANCE = 1.08, 1.2  # a reference's latency over its quiet one, up to which it is quiet
_HEAVY_RUNS, _HEAVY_WARM_UP = 3, 2  # of a sample of the heavy reference
_FEWEST_LOOKS = 20  # samples of the heavy reference, before its quiet latency is known
WARM_UP_RUNS = 3  # at first the caches hold another network
FEWEST_RUNS = 3  # of a burst
_PATIENCE_S = 0.15  # the maximum wait before a burst for the device to become quiet
FEWEST_BURSTS = 3  # quiet ones, even when the time is over
_MOST_LATE_BURSTS = 6  # after which a network without these has to do with what it has

_Positive = Annotated[int, Meta(ge=1, le=10**7)] | Annotated[float, Meta(ge=1e-9, le=1e7)]
_Count = Annotated[int, Meta(ge=0, le=10**9)]


@dataclass(frozen=True, slots=True)
class NetworkTime:
    """The measurement of one network.

    Attributes:
        quiet_ms: the low quantile over the runs of its quiet bursts.
        median_ms, p90_ms, min_ms: over the runs of its quiet bursts, not corrected.
        median_all_ms: over all runs, disturbed ones too.
        halves_ms: the quiet latency from even and from odd bursts only; their difference is the noise.
        num_runs: of all bursts.
        num_bursts, num_quiet: the number of bursts, and of quiet ones among them.
        slowdown: of the device during the bursts that count, by the reference; 1 is quiet.
        reference_ms: the light reference network's quiet latency that `quiet_ms` is relative to.
    """

    quiet_ms: _Positive
    median_ms: _Positive
    p90_ms: _Positive
    min_ms: _Positive
    median_all_ms: _Positive
    halves_ms: tuple[_Positive, _Positive]
    num_runs: _Count
    num_bursts: _Count
    num_quiet: _Count
    slowdown: _Positive
    reference_ms: _Positive

    def at(self, reference_ms: float) -> NetworkTime:
        """Return the measurement relative to another quiet latency of the reference network.

        A network measured before the device was ever quiet is relative to a reference that is too slow.
        """
        factor = reference_ms / self.reference_ms
        return replace(
            self,
            quiet_ms=self.quiet_ms * factor,
            halves_ms=(self.halves_ms[0] * factor, self.halves_ms[1] * factor),
            slowdown=self.slowdown / factor,
            reference_ms=reference_ms,
        )


@dataclass(frozen=True, slots=True)
class ReferenceSample:
    """The reference networks' latencies at one moment, in ms; the heavy one is 0 if it did not run."""

    light_ms: float
    heavy_ms: float

    def slower(self, other: ReferenceSample) -> ReferenceSample:
        """Return the slower of two samples, separately for each network."""
        return ReferenceSample(max(self.light_ms, other.light_ms), max(self.heavy_ms, other.heavy_ms))


class Reference:
    """The reference networks, which show how disturbed the device is.

    Args:
        device: where.
        light: the `.tflite` file of the light one.
        heavy: of the heavy one; None if starting a burst takes long, to use the light one only.
        known_ms: the light one's quiet latency from an earlier measurement, 0 for none. Without it, a device that is
            busy all the time seems quiet.
        name: of the light one, for messages.

    Raises:
        MnasError: if the device cannot run them.
    """

    def __init__(
        self, device: Device, light: bytes, heavy: bytes | None = None, *, known_ms: float = 0.0, name: str = "float32"
    ) -> None:
        self._known_ms = known_ms
        self._name = f"the reference network ({name}), which is measured between the others"
        with naming(self._name):
            self._light = device.load(light)
        self._heavy = None if heavy is None else device.load(heavy)
        self.pace, self.clock = device.pace, device.clock
        self._seen: list[ReferenceSample] = []
        with naming(self._name):
            for _ in range(self.pace.first_looks):
                self.look()

    def look(self) -> ReferenceSample:
        """Sample the light one."""
        light_ms = float(self._light.warm_run_times_ms(self.pace.reference_runs, warm_up=WARM_UP_RUNS).min())
        self._seen.append(ReferenceSample(light_ms, 0.0))
        return self._seen[-1]

    def look_after_burst(self) -> ReferenceSample:
        """Sample both after a burst: samples of the heavy one compare only if another network just used the caches."""
        if self._heavy is None:
            return self.look()
        light_ms = self.look().light_ms
        heavy_ms = float(self._heavy.warm_run_times_ms(_HEAVY_RUNS, warm_up=_HEAVY_WARM_UP).min())
        self._seen[-1] = ReferenceSample(light_ms, heavy_ms)
        return self._seen[-1]

    @property
    def quiet_ms(self) -> float:
        """The light one's latency on the quiet device, as far as sampled or known."""
        seen_ms = float(np.quantile([look.light_ms for look in self._seen], _REFERENCE_QUANTILE))
        return min(seen_ms, self._known_ms) if self._known_ms else seen_ms

    @property
    def quiet(self) -> ReferenceSample:
        """Both latencies on the quiet device; the heavy one's is 0 until there are enough samples."""
        heavy_ms = [look.heavy_ms for look in self._seen if look.heavy_ms]
        known = len(heavy_ms) >= _FEWEST_LOOKS
        return ReferenceSample(self.quiet_ms, float(np.quantile(heavy_ms, _REFERENCE_QUANTILE)) if known else 0.0)

    def close(self) -> None:
        """Unload the networks."""
        self._light.close()
        if self._heavy is not None:
            self._heavy.close()


def disturbance(look: ReferenceSample, quiet: ReferenceSample) -> float:
    """Return how busy the device was, by the reference that changed more; up to 1 it was quiet."""
    heavy = look.heavy_ms / quiet.heavy_ms / _HEAVY_TOLERANCE if quiet.heavy_ms else 0.0
    return max(look.light_ms / quiet.light_ms / _LIGHT_TOLERANCE, heavy)


@dataclass
class _Record:
    """One network's bursts: run times, and the slower of the two samples around each.

    `fastest_look_ms` is the light reference's, of all samples around its bursts.
    """

    place: int
    model: LoadedModel
    runs: int
    wanted: int
    starts_apart: bool
    bursts: list[Array] = field(default_factory=list)
    looks: list[ReferenceSample] = field(default_factory=list)
    fastest_look_ms: float = float("inf")
    final: NetworkTime | None = None

    def add(self, times: Array, before: ReferenceSample, after: ReferenceSample) -> None:
        self.bursts.append(times)
        self.looks.append(after.slower(before))
        self.fastest_look_ms = min(self.fastest_look_ms, before.light_ms, after.light_ms)

    def unfinished(self, quiet: ReferenceSample, late: bool) -> bool:
        if self.final is not None:
            return False
        num_quiet = self.num_quiet(quiet)
        if not late:
            return num_quiet < self.wanted
        return len(self.bursts) < (FEWEST_BURSTS if num_quiet >= FEWEST_BURSTS else _MOST_LATE_BURSTS)

    def num_quiet(self, quiet: ReferenceSample) -> int:
        return sum(disturbance(look, quiet) <= 1 for look in self.looks)

    def counting(self, quiet: ReferenceSample) -> list[int]:
        """The quiet bursts, or if there are none the least disturbed ones."""
        disturbances = [disturbance(look, quiet) for look in self.looks]
        if min(disturbances) <= 1:
            return [index for index, disturbed in enumerate(disturbances) if disturbed <= 1]
        return sorted(int(index) for index in np.argsort(disturbances, kind="stable")[:FEWEST_BURSTS])

    def slowdowns(self, chosen: Sequence[int], quiet: ReferenceSample) -> Array:
        """What the run times of each chosen burst are divided by."""
        if self.starts_apart:
            return np.full(len(chosen), max(self.fastest_look_ms / quiet.light_ms, 1.0))
        return np.array([self.looks[index].light_ms / quiet.light_ms for index in chosen])

    def summary(self, quiet: ReferenceSample) -> NetworkTime:
        chosen = self.counting(quiet)
        slowdowns = self.slowdowns(chosen, quiet)
        bursts = [self.bursts[index] / slowdown for index, slowdown in zip(chosen, slowdowns, strict=True)]
        counted = np.concatenate([self.bursts[index] for index in chosen])
        everything = np.concatenate(self.bursts)
        halves = [bursts[start::2] or bursts for start in (0, 1)]
        return NetworkTime(
            quiet_ms=quiet_latency(bursts),
            median_ms=float(np.median(counted)),
            p90_ms=float(np.quantile(counted, 0.9)),
            min_ms=float(counted.min()),
            median_all_ms=float(np.median(everything)),
            halves_ms=(quiet_latency(halves[0]), quiet_latency(halves[1])),
            num_runs=len(everything),
            num_bursts=len(self.bursts),
            num_quiet=self.num_quiet(quiet),
            slowdown=float(np.median(slowdowns)),
            reference_ms=quiet.light_ms,
        )


def quiet_latency(bursts: Sequence[Array]) -> float:
    """Return the quiet-device latency over the runs of some bursts, in ms."""
    return float(np.quantile(np.concatenate(bursts), QUIET_QUANTILE))


def measure_networks(
    models: Sequence[LoadedModel],
    reference: Reference,
    *,
    seconds: float,
    quiet_bursts: Sequence[int],
    seed: int,
    progress: Callable[[], None] = lambda: None,
    finished: Callable[[int, NetworkTime], None] | None = None,
    names: Sequence[str] = (),
) -> list[NetworkTime]:
    """Measure networks in interleaved rounds until each has its quiet bursts, or the time is over.

    Args:
        models: the loaded networks.
        reference: on the same device.
        seconds: the maximum time, approximately; every network gets a few quiet bursts in any case, or twice as many if
            the device does not become quiet.
        quiet_bursts: the number that is enough, for each network.
        seed: of the order within rounds.
        progress: called after every burst.
        finished: called with the index and the final result of every network, as soon as it has its bursts. Without it,
            a network is measured again if bursts that seemed quiet turn out to have been disturbed.
        names: of the networks, for messages; none by default.

    Raises:
        MnasError: if the device cannot run one of them.
    """
    rng = np.random.default_rng(seed)
    records = []
    for place, (model, wanted) in enumerate(zip(models, quiet_bursts, strict=True)):
        with naming(names[place]) if names else nullcontext():
            runs = _runs_per_burst(model, reference.pace)
        records.append(_Record(place, model, runs, wanted, reference.pace.starts_apart))
    deadline = reference.clock() + seconds
    look = reference.look()
    while True:
        quiet = reference.quiet
        late = reference.clock() > deadline
        _finish(records, quiet, late, finished)
        left = [record for record in records if record.unfinished(quiet, late)]
        if not left:
            return [record.final or record.summary(quiet) for record in records]
        for index in rng.permutation(len(left)):
            if not late:
                look = _wait_until_quiet(reference, look, quiet)
            record = left[index]
            times = record.model.warm_run_times_ms(record.runs, warm_up=WARM_UP_RUNS)
            before, look = look, reference.look_after_burst()
            record.add(times, before, look)
            progress()
            _finish([record], quiet, late, finished)
            if reference.clock() > deadline and not late:
                break


def _finish(
    records: Sequence[_Record],
    quiet: ReferenceSample,
    late: bool,
    finished: Callable[[int, NetworkTime], None] | None,
) -> None:
    if finished is None:
        return
    for record in records:
        if record.final is None and not record.unfinished(quiet, late):
            record.final = record.summary(quiet)
            finished(record.place, record.final)


def _wait_until_quiet(reference: Reference, look: ReferenceSample, quiet: ReferenceSample) -> ReferenceSample:
    """Sample the light reference until it is quiet or the wait is over; the heavy one keeps its last sample."""
    give_up = reference.clock() + _PATIENCE_S
    while look.light_ms > quiet.light_ms * _LIGHT_TOLERANCE and reference.clock() < give_up:
        look = ReferenceSample(reference.look().light_ms, look.heavy_ms)
    return look


def _runs_per_burst(model: LoadedModel, pace: MeasurementSettings) -> int:
    latency_ms = float(model.warm_run_times_ms(FEWEST_RUNS, warm_up=1).min())
    return int(np.clip(pace.burst_ms / latency_ms, FEWEST_RUNS, pace.most_runs))
