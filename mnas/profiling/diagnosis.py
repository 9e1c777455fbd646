"""What an examination of a device found, and what to fix first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from mnas.devices.android import HOT, THROTTLING
from mnas.devices.base import SLOWER
from mnas.devices.benchmark_binary import WHERE
from mnas.devices.condition import Condition
from mnas.latency.table import Configuration

_HOT_CHIP = 85.0  # degrees of a board's or computer's warmest sensor, near which most slow down
_FREE_BYTES = 200 << 20  # for the benchmark program and a group of networks
_BUSY = 0.1  # share of the CPU time that other programs use
_NOISY = 0.03  # relative difference of two halves of a measurement
_QUIET_SHARE = 0.5  # of the bursts


@dataclass(frozen=True, slots=True)
class DelegateCheck:
    """Whether a delegate ran a small network of a dtype.

    Attributes:
        delegate, dtype: which.
        latency_ms: of the fastest run; None if it did not run it.
        reason: why it did not; empty if it did.
    """

    delegate: str
    dtype: str
    latency_ms: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """A short measurement of the reference network.

    Attributes:
        delegate: that ran it.
        quiet_ms: its latency on the quiet device.
        repeatability: relative difference of that latency between two halves of the measurement.
        slowdown: the median of all runs over the quiet latency.
        quiet_share: share of the bursts that nothing disturbed.
    """

    delegate: str
    quiet_ms: float
    repeatability: float
    slowdown: float
    quiet_share: float


@dataclass(frozen=True)
class Diagnosis:
    """What `mnas.profiling.doctor.examine` found.

    Attributes:
        device: as it was named.
        condition: the device's state.
        program: the runtime or benchmark program, with its version or kind; empty if there is none.
        delegates: every delegate that the program knows, with every dtype.
        configuration: as a table's; None if nothing ran.
        noise: None if it could not be measured.
    """

    device: str
    condition: Condition
    program: str
    delegates: tuple[DelegateCheck, ...] = ()
    configuration: Configuration | None = None
    noise: NoiseFloor | None = None

    @property
    def can_be_measured(self) -> bool:
        """Whether any delegate ran a network."""
        return any(check.latency_ms is not None for check in self.delegates)

    @property
    def advice(self) -> tuple[str, ...]:
        """What to fix, the most important first; empty if nothing is to be done."""
        return (*self._nothing_runs(), *self._state(), *self._cores(), *self._noise())

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as `mnas doctor --json` prints it."""
        return {**asdict(self), "can_be_measured": self.can_be_measured, "advice": list(self.advice)}

    def _nothing_runs(self) -> Iterator[str]:
        if not self.program:
            yield f"There is no benchmark program: add --benchmark-binary PATH; {WHERE}."
        elif not self.can_be_measured and self.delegates:
            yield f"No network runs: {self.delegates[0].reason}."

    def _state(self) -> Iterator[str]:
        now = self.condition
        is_phone = now.kind == "adb"
        if (now.celsius or 0.0) >= (HOT if is_phone else _HOT_CHIP) or (now.thermal_status or 0) >= THROTTLING:
            cool = "take it out of its case and off the charger, and let it cool" if is_phone else "let it cool"
            yield f"It is hot, and slows itself down: {cool}."
        if now.free_bytes is not None and now.free_bytes < _FREE_BYTES:
            where = "/data/local/tmp" if is_phone else "its folder for temporary files"
            yield f"Only {now.free_bytes / 1e6:.0f} MB are free in {where}: remove files there."
        if now.busy is not None and now.busy > _BUSY:
            close = "close all apps, and use flight mode" if is_phone else "end them, or measure when they have ended"
            yield f"Other programs use {now.busy:.0%} of its CPU time: {close}."

    def _cores(self) -> Iterator[str]:
        now = self.condition
        if self.configuration is not None and "powersave" in self.configuration.governor.split(","):
            saver = "switch the battery saver off" if now.kind == "adb" else "cpupower frequency-set -g performance"
            yield f"The governor of its cores is powersave, which may keep them slow: {saver}."
        if off := [str(core.number) for core in now.cores if not core.online]:
            few = f"core {off[0]} is" if len(off) == 1 else f"cores {', '.join(off)} are"
            yield f"Of its {len(now.cores)} cores, {few} switched off: a warm or saving device does that by itself."
        if self.configuration is not None and not self.configuration.affinity:
            yield "Programs are not pinned to cores here, so times vary more: give a profile more --minutes."

    def _noise(self) -> Iterator[str]:
        found = self.noise
        if found is None:
            return
        if found.slowdown > SLOWER or found.quiet_share < _QUIET_SHARE:
            yield (
                f"The reference network ran {found.slowdown:.2f} times slower than at its best, and "
                f"{found.quiet_share:.0%} of its bursts ran undisturbed: another program is busy, or it throttles."
            )
        elif found.repeatability > _NOISY:
            yield f"It repeats itself to {found.repeatability:.1%} only: give a profile more --minutes."
