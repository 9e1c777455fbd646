"""Random search: every decision uniform. The baseline of every other strategy at equal cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mnas.arch.spec import Architecture
from mnas.space.space import SearchSpace
from mnas.strategies.base import Feasible, Strategy, check_count, encode_successful
from mnas.trial import Trial


class RandomSearch(Strategy):
    """Proposes independent uniform samples; infeasible ones are drawn again. Learns nothing."""

    def __init__(self, space: SearchSpace, *, seed: int = 0, feasible: Feasible | None = None) -> None:
        super().__init__(space, seed=seed, feasible=feasible)
        self._rng = np.random.default_rng(seed)

    def ask(self, count: int) -> list[Architecture]:
        """Return the next `count` samples of one stream: asking for 2 and then 3 is the same as asking for 5."""
        check_count(count)
        return [self.rejection_sample(lambda: self.space.sample(self._rng)) for _ in range(count)]

    def tell(self, trials: Sequence[Trial]) -> None:
        """Check that the trials are of this space; nothing is learned."""
        encode_successful(self.space, trials)
