"""Scaling to a measured latency; EfficientNet scales to multiply-adds.

The compound formula gives the direction of scaling, the latency its amount. Filters and repeats are whole numbers, so
there may be no phi near the wanted latency: then depth, width and resolution deviate a little from the formula, and
of the networks within the tolerance the one with most multiply-adds is chosen.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mnas.arch.complexity import complexity
from mnas.arch.memory import check_fits, check_strides
from mnas.arch.spec import Architecture
from mnas.checks import check_number
from mnas.errors import InputError, MnasError
from mnas.latency.extrapolation import UnpricedError
from mnas.scaling.compound import Coefficients, grow

Latency = Callable[[Architecture], float]
Fit = Callable[[Architecture], Architecture]
TOLERANCE = 0.03
_LOWEST_PHI, _HIGHEST_PHI = -8.0, 20.0
_BANDS = (0.3, 0.6, 1.2, 2.4)  # the maximum distance of each dimension's phi from the common one, tried in turn
_SAMPLES = 12  # of each dimension within its band
_STEP, _MOST_STEPS = 0.1, 40  # how far from a phi whose network has no price another network's is taken


@dataclass(frozen=True, slots=True)
class LatencyGoal:
    """A latency to reach on one device.

    Attributes:
        latency: from an architecture to ms, e.g. by a latency table. Networks for which it raises `UnpricedError` are
            passed over.
        wanted_ms: the latency to reach.
    """

    latency: Latency
    wanted_ms: float

    def __post_init__(self) -> None:
        check_number("--to-ms", self.wanted_ms, 1e-6, 1e7)


@dataclass(frozen=True, slots=True)
class Scaled:
    """A network that was scaled to a latency.

    Attributes:
        architecture: the network.
        phi: at which the formula alone comes nearest; below 0 for a network smaller than the base.
        depth, width, size: the factors that were used; size is that of the resolution.
        latencies_ms: one per goal.
    """

    architecture: Architecture
    phi: float
    depth: float
    width: float
    size: float
    latencies_ms: tuple[float, ...]


def scale_to_latency(
    architecture: Architecture,
    goals: Sequence[LatencyGoal],
    coefficients: Coefficients | None = None,
    *,
    lite: bool = False,
    tolerance: float = TOLERANCE,
    fit: Fit = lambda scaled: scaled,
) -> Scaled:
    """Scale a network up or down until it has the wanted latency.

    With several goals the network reaches one of them and stays below the others. Networks below a goal are preferred
    to networks above it. Each network is passed through `fit`, which may change it, or exclude it by an `InputError`.

    Raises:
        InputError: without goals, or for a latency out of reach of this family.
        UnpricedError: if none of its networks has a latency.
        MnasError: if rounding leaves no network within the tolerance; it names the nearest.
    """
    if not goals:
        raise InputError("scaling to a latency needs at least one latency table and one --to-ms")
    chosen = coefficients or Coefficients()
    family = _Family(architecture, chosen, tuple(goals), lite, fit)
    phi = family.find_phi()
    nearest: tuple[float, Scaled | None] = (math.inf, None)
    for band in _BANDS:
        landed = []
        for scaled in family.around(phi, band):
            error = abs(family.load(scaled.latencies_ms) - 1)
            nearest = min(nearest, (error, scaled), key=lambda pair: pair[0])
            if error <= tolerance:
                landed.append(scaled)
        if landed:
            within = [one for one in landed if family.load(one.latencies_ms) <= 1] or landed
            best = max(within, key=lambda one: (complexity(one.architecture).madds, one.architecture.resolution))
            check_fits(best.architecture)
            return best
    raise MnasError(_nothing_lands(goals, nearest[1], tolerance))


def _nothing_lands(goals: Sequence[LatencyGoal], nearest: Scaled | None, tolerance: float) -> str:
    wanted = ", ".join(f"{goal.wanted_ms:g}" for goal in goals)
    found = "none" if nearest is None else ", ".join(f"{latency:.4g}" for latency in nearest.latencies_ms)
    return (
        f"no scaled network takes {wanted} ms within {tolerance:.0%}: filters and layers are whole numbers; the "
        f"nearest takes {found} ms. Request that, or start from a larger network"
    )


@dataclass(frozen=True)
class _Family:
    """All the sizes of one network, and their latencies."""

    base: Architecture
    coefficients: Coefficients
    goals: tuple[LatencyGoal, ...]
    lite: bool
    fit: Fit

    def load(self, latencies_ms: Sequence[float]) -> float:
        """The largest latency relative to its goal: 1 where the first goal is reached."""
        return max(latency / goal.wanted_ms for latency, goal in zip(latencies_ms, self.goals, strict=True))

    def at(self, depth: float, width: float, size: float) -> Architecture | None:
        """A member, or None if it would not be a valid architecture."""
        try:
            grown = self.fit(grow(self.base, depth, width, size, lite=self.lite))
            check_strides(grown)
        except InputError:
            return None
        return grown

    def latencies_ms(self, member: Architecture) -> tuple[float, ...]:
        return tuple(float(goal.latency(member)) for goal in self.goals)

    def find_phi(self) -> float:
        """The phi at which the formula alone crosses the goal, by bisection.

        Raises:
            InputError: if the smallest member is slower, or the largest is faster.
        """
        low, high = _LOWEST_PHI, 0.0
        while high < _HIGHEST_PHI and self._above(high) is False:
            low, high = high, high + 1.0
        if self._above(low) is not False:
            self._refuse(low, "the smallest network of this family already takes")
        if self._above(high) is False:
            self._refuse(high, "the largest network of this family takes only")
        for _ in range(24):
            middle = (low + high) / 2
            low, high = (low, middle) if self._above(middle) is not False else (middle, high)
        if self._above(high) is None:
            self._refuse(low, "the largest network of this family that fits takes only")
        return (low + high) / 2

    def _above(self, phi: float) -> bool | None:
        """Whether a member is slower than its goals; None if it is too large."""
        member = self.at(*self._factors(phi, phi, phi))
        if member is None:
            return None if phi > 0 else False
        try:
            check_fits(member)
        except InputError:
            return None
        return self.load(self._near(phi)[1]) > 1

    def _near(self, phi: float) -> tuple[Architecture, tuple[float, ...]]:
        """The formula's member at a phi, or the nearest one that has latencies, and these.

        Raises:
            UnpricedError: if there is none.
        """
        unpriced = UnpricedError("no network of this family has a latency")
        for number in range(2 * _MOST_STEPS + 1):
            beside = phi + _STEP * ((number + 1) // 2) * (-1) ** number
            member = self.at(*self._factors(beside, beside, beside))
            if member is None:
                continue
            try:
                return member, self.latencies_ms(member)
            except UnpricedError as error:
                unpriced = error
        raise unpriced

    def _factors(self, depth: float, width: float, size: float) -> tuple[float, float, float]:
        chosen = self.coefficients
        return chosen.alpha**depth, chosen.beta**width, chosen.gamma**size

    def _refuse(self, phi: float, says: str) -> None:
        member, latencies_ms = self._near(phi)
        takes = ", ".join(f"{latency:.4g}" for latency in latencies_ms)
        wanted = ", ".join(f"{goal.wanted_ms:g}" for goal in self.goals)
        raise InputError(f"--to-ms is {wanted}: {says} {takes} ms ({member.resolution} px)")

    def around(self, phi: float, band: float) -> Iterator[Scaled]:
        """Different members whose depth, width and resolution are within a band around a common phi."""
        reach = band * (1 + abs(phi) / 2)
        phis = [phi - reach + 2 * reach * step / _SAMPLES for step in range(_SAMPLES + 1)]
        for depth, width, size in itertools.product(*(self._different(phis, axis) for axis in range(3))):
            member = self.at(depth, width, size)
            if member is None:
                continue
            try:
                latencies_ms = self.latencies_ms(member)
            except UnpricedError:  # such as one whose shortcuts are of a kind that the table lacks
                continue
            yield Scaled(member, phi, depth, width, size, latencies_ms)

    def _different(self, phis: Sequence[float], axis: int) -> list[float]:
        """The factors along one dimension that result in different networks."""
        seen: dict[Architecture, float] = {}
        for phi in phis:
            factors = [1.0, 1.0, 1.0]
            factors[axis] = self._factors(phi, phi, phi)[axis]
            member = self.at(*factors)
            if member is not None:
                seen.setdefault(member, factors[axis])
        return list(seen.values())
