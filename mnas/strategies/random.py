"""Random search: every decision uniform. The baseline of every other strategy at equal cost."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from mnas.arch.spec import Architecture
from mnas.space.space import SearchSpace
from mnas.strategies.base import MAX_REJECTIONS, Feasible, Strategy, check_count, encode_successful
from mnas.trial import Trial

_AHEAD = 256  # samples that are drawn at a time


@runtime_checkable
class Preselecting(Protocol):
    """A `Feasible` that sorts out most of what is not, for many index rows at a time."""

    def __call__(self, architecture: Architecture, /) -> bool:
        """Whether an architecture is feasible."""

    def preselect(self, rows: npt.NDArray[np.intp], /) -> npt.NDArray[np.bool_]:
        """Whether each may be feasible; rows of indices of shape (count, decisions)."""


class RandomSearch(Strategy):
    """Proposes independent uniform samples; infeasible ones are drawn again. Learns nothing."""

    def __init__(self, space: SearchSpace, *, seed: int = 0, feasible: Feasible | None = None) -> None:
        super().__init__(space, seed=seed, feasible=feasible)
        self._rng = np.random.default_rng(seed)
        self._waiting: deque[tuple[list[int], bool]] = deque()  # drawn, and whether they may be feasible

    def ask(self, count: int) -> list[Architecture]:
        """Return the next `count` samples of one stream: asking for 2 and then 3 is the same as asking for 5."""
        check_count(count)
        if not isinstance(self.feasible, Preselecting):
            return [self.rejection_sample(lambda: self.space.sample(self._rng)) for _ in range(count)]
        return [self._preselected(self.feasible) for _ in range(count)]

    def _preselected(self, feasible: Preselecting) -> Architecture:
        """As `rejection_sample`; where one architecture in a thousand is feasible, the others are not even made."""
        for _ in range(MAX_REJECTIONS + 1):
            if not self._waiting:
                rows = [self.space.sample_indices(self._rng) for _ in range(_AHEAD)]
                self._waiting.extend(zip(rows, feasible.preselect(np.array(rows)), strict=True))
            row, may_be_feasible = self._waiting.popleft()
            if may_be_feasible and feasible(candidate := self.space.decode(row)):
                return candidate
        return self.space.decode(row)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Check that the trials are of this space; nothing is learned."""
        encode_successful(self.space, trials)
