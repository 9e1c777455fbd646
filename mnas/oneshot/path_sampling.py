"""Which paths of a supernet are trained in a step. A pure function of seed and step, so that nothing needs keeping."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mnas.arch.spec import Architecture
from mnas.errors import InputError
from mnas.random_streams import Stream, generator
from mnas.space.space import SearchSpace

SAMPLINGS = ("uniform", "fair", "sandwich")
_SIZES = ("kernel_size", "se_ratio", "filters", "repeats")  # decisions whose choices can be smaller and larger


class PathSampler:
    """Draws the architectures that are trained in a step.

    `uniform` draws every decision at random. `fair` (FairNAS, Chu et al. 2019) lets a decision of n choices use each of
    them once in n draws, in random order. `sandwich` (BigNAS, Yu et al. 2020) gives in every step the largest and the
    smallest sizes, with operations and skips drawn fairly, and fair draws in between; the largest one comes first.

    Args:
        space: the space.
        kind: one of `SAMPLINGS`.
        num_paths: how many a step; 2 at least for the sandwich.
        seed: of what chance decides.

    Raises:
        InputError: for an unknown kind or too few paths.
    """

    def __init__(self, space: SearchSpace, kind: str, *, num_paths: int, seed: int) -> None:
        check_sampling(kind, num_paths)
        self.space = space
        self._kind, self._num_paths, self._seed = kind, num_paths, seed
        self._names = [decision.name.partition(".")[2] for decision in space.decisions]

    def __call__(self, step: int) -> list[Architecture]:
        """The architectures of one step, counted from 0."""
        rng = generator(self._seed, Stream.SUPERNET_PATHS, step)
        drawn = []
        for place in range(self._num_paths):
            indices = self._draw(rng, step * self._num_paths + place)
            extreme = {0: max, self._num_paths - 1: min}.get(place) if self._kind == "sandwich" else None
            if extreme is not None:
                indices = self._stretched(indices, extreme, _SIZES)
            drawn.append(self.space.decode(indices))
        return drawn

    def _draw(self, rng: np.random.Generator, number: int) -> list[int]:
        counts = [len(decision.choices) for decision in self.space.decisions]
        if self._kind == "uniform":
            return [int(rng.integers(count)) for count in counts]
        return [self._turn(position, count, number) for position, count in enumerate(counts)]

    def _turn(self, position: int, count: int, number: int) -> int:
        """The choice whose turn it is: within every `count` draws each choice has one."""
        order = generator(self._seed, Stream.SUPERNET_TURNS, position, number // count).permutation(count)
        return int(order[number % count])

    def _stretched(self, indices: Sequence[int], extreme: Callable[..., Any], fields: Sequence[str]) -> list[int]:
        """The indices, with the largest or smallest choice for some decisions."""
        result = list(indices)
        for position, (name, decision) in enumerate(zip(self._names, self.space.decisions, strict=True)):
            if name in fields:
                result[position] = decision.choices.index(extreme(decision.choices))
        return result


def check_sampling(kind: str, num_paths: int) -> None:
    """Refuse an unknown kind of sampling or too few paths a step.

    Raises:
        InputError: it says what is expected.
    """
    if kind not in SAMPLINGS:
        raise InputError(f"no sampling is called {kind!r}: expected one of {', '.join(SAMPLINGS)}")
    if num_paths < (2 if kind == "sandwich" else 1):
        raise InputError(f"{num_paths} paths a step: expected 1 or more, 2 or more for the sandwich rule")
