"""The networks to measure: random ones, chosen so that every operator of the space occurs often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from math import fsum

import numpy as np

from mnas.arch.spec import Architecture, ClassifierSpec
from mnas.arch.walk import PlacedBlock
from mnas.latency.operator_regression import count_operators
from mnas.random_streams import Stream, generator
from mnas.space.space import SearchSpace

_CANDIDATES = 6  # random networks for each one chosen
_OTHER_CLASSES = (10, 100, 1000)
_OTHER_SHARE = 5  # every fifth network has another number of classes, so that any classifier can be priced
MOST_HELD_OUT = 60
_FIRST = 40  # networks of which two in five are held out, so that even a short profile gets a report card
_LATER = 10  # after that every tenth is, up to MOST_HELD_OUT
_LEAST_OF_A_SIZE = 5  # networks held out at each resolution, before fewer are held out


@dataclass(frozen=True, slots=True)
class PlannedNetwork:
    """A network to measure: to fit the table or, held out, to evaluate it."""

    architecture: Architecture
    held_out: bool


def class_counts(num_classes: int) -> tuple[int, ...]:
    """Return the numbers of classes to measure: the given one, and two others to fit a line through."""
    others = sorted((c for c in _OTHER_CLASSES if c != num_classes), key=lambda c: -abs(np.log(c / num_classes)))
    return (num_classes, *others[:2])


def plan_networks(space: SearchSpace, *, seed: int) -> Iterator[PlannedNetwork]:
    """Yield networks in the order to measure them, without end; the same seed gives the same networks.

    Held-out networks are uniform over the space, with its resolutions in turn. For fitting, each network is the one of
    a few random networks whose operators were seen least so far.
    """
    sizes = space.input_sizes
    first = max(_FIRST, 5 * -(-_LEAST_OF_A_SIZE * len(sizes) // 2))
    rng = generator(seed, Stream.PROFILE_NETWORKS)
    seen: Counter[object] = Counter()
    counts = class_counts(space.num_classes)
    num_held_out = num_fitting = 0
    for number in count():
        turn = number % 5 in (1, 3) if number < first else number % _LATER == 0
        if turn and num_held_out < MOST_HELD_OUT:
            size = sizes[num_held_out % len(sizes)]
            num_held_out += 1
            yield PlannedNetwork(replace(space.sample(rng), resolution=size), held_out=True)
            continue
        candidates = [space.sample(rng) for _ in range(_CANDIDATES)]
        operators = [tuple(count_operators(candidate)) for candidate in candidates]
        # The exact sum: networks that are equal by it must not be told apart by the order of their operators.
        best = int(np.argmax([fsum(1 / (1 + seen[operator]) ** 2 for operator in own) for own in operators]))
        seen.update(operators[best])
        place, share = divmod(num_fitting, _OTHER_SHARE)
        num_classes = counts[1 + place % 2] if share == _OTHER_SHARE - 1 else counts[0]
        num_fitting += 1
        yield PlannedNetwork(replace(candidates[best], num_classes=num_classes), held_out=False)


def table_blocks(space: SearchSpace) -> tuple[PlacedBlock, ...]:
    """Return every block that gets an entry in the space's table; classifiers for each measured number of classes."""
    blocks: dict[PlacedBlock, None] = {}
    for placed in space.placed_blocks():
        blocks.setdefault(placed)
        if isinstance(placed.block, ClassifierSpec):
            for count in class_counts(space.num_classes):
                blocks.setdefault(replace(placed, block=replace(placed.block, num_classes=count)))
    return tuple(blocks)
