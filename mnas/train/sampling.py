"""Which paths of a supernet are trained in a step. A pure function of seed and step, so that nothing needs keeping."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mnas.arch.spec import Architecture
from mnas.errors import InputError
from mnas.space.space import SearchSpace
from mnas.space.stages import Decision

SAMPLINGS = ("uniform", "fair", "sandwich")
_SIZES = ("kernel_size", "se_ratio", "filters", "repeats")  # decisions whose choices can be smaller and larger


class PathSampler:
    """Draws the architectures that are trained in a step.

    `uniform` draws every decision at random. `fair` (FairNAS, Chu et al. 2019) lets a decision of n choices use each of
    them once in n draws, in random order. `sandwich` (BigNAS, Yu et al. 2020) gives in every step the largest and the
    smallest sizes, with operations and skips drawn fairly, and fair draws in between; the largest one comes first.

    In a warm-up every stage is that of one network, the anchor, with a chance that falls from 1 to 0: the shared
    weights learn one set of features first, and every other choice then learns to stand in for the anchor's. That is
    Once-for-All's progressive shrinking (Cai et al. 2020) stage by stage, and holds TuNAS's warm-up of filters, since
    the anchor has the most.

    Args:
        space: the space.
        kind: one of `SAMPLINGS`.
        num_paths: how many a step; 2 at least for the sandwich.
        seed: of what chance decides.
        warm_up_steps: over how many steps that lasts; 0 for none.

    Raises:
        InputError: for an unknown kind or too few paths.
    """

    def __init__(self, space: SearchSpace, kind: str, *, num_paths: int, seed: int, warm_up_steps: int) -> None:
        check_sampling(kind, num_paths)
        self.space = space
        self._kind, self._num_paths, self._seed, self._warm_up = kind, num_paths, seed, warm_up_steps
        self._names = [decision.name.partition(".")[2] for decision in space.decisions]
        self._stages = [decision.name.partition(".")[0] for decision in space.decisions]
        self._anchor = [_anchor(decision) for decision in space.decisions]

    def __call__(self, step: int) -> list[Architecture]:
        """The architectures of one step, counted from 0."""
        rng = np.random.default_rng([self._seed, 3, step])
        drawn = []
        for place in range(self._num_paths):
            indices = self._draw(rng, step * self._num_paths + place)
            if step < self._warm_up:
                indices = self._anchored(indices, 1 - step / self._warm_up, rng)
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
        order = np.random.default_rng([self._seed, 4, position, number // count]).permutation(count)
        return int(order[number % count])

    def _anchored(self, indices: Sequence[int], chance: float, rng: np.random.Generator) -> list[int]:
        """The indices, with every stage the anchor's by that chance."""
        kept = {stage: bool(rng.random() < chance) for stage in dict.fromkeys(self._stages)}
        trio = zip(indices, self._anchor, self._stages, strict=True)
        return [anchor if kept[stage] else index for index, anchor, stage in trio]

    def _stretched(self, indices: Sequence[int], extreme: Callable[..., Any], fields: Sequence[str]) -> list[int]:
        """The indices, with the largest or smallest choice for some decisions."""
        result = list(indices)
        for position, (name, decision) in enumerate(zip(self._names, self.space.decisions, strict=True)):
            if name in fields:
                result[position] = decision.choices.index(extreme(decision.choices))
        return result


def _anchor(decision: Decision) -> int:
    """The anchor's choice: the last operation, the most filters, a skip, half of the repeats, the rest small."""
    name, choices = decision.name.partition(".")[2], decision.choices
    if name in ("filters", "kernel_size", "se_ratio"):
        return choices.index(max(choices) if name == "filters" else min(choices))
    if name == "repeats":
        return choices.index(sorted(choices)[len(choices) // 2])
    if name == "skip" and "identity" in choices:
        return choices.index("identity")
    return len(choices) - 1


def check_sampling(kind: str, num_paths: int) -> None:
    """Refuse an unknown kind of sampling or too few paths a step.

    Raises:
        InputError: it says what is expected.
    """
    if kind not in SAMPLINGS:
        raise InputError(f"no sampling is called {kind!r}: expected one of {', '.join(SAMPLINGS)}")
    if num_paths < (2 if kind == "sandwich" else 1):
        raise InputError(f"{num_paths} paths a step: expected 1 or more, 2 or more for the sandwich rule")
