"""What every strategy is: two verbs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from mnas.arch.spec import Architecture
from mnas.space.space import SearchSpace
from mnas.trial import Trial


class Strategy(ABC):
    """Proposes architectures and learns from trials.

    Nothing hidden passes between the two: whatever `tell` needs it computes from the trials. So trials may come from a
    log or another machine, and a strategy that is asked and told the same things as before is where it was before:
    resume is replay. A strategy's proposals depend on its space, its seed, and what it was asked and told so far.
    """

    def __init__(self, space: SearchSpace, *, seed: int = 0) -> None:
        self.space = space
        self.seed = seed

    @abstractmethod
    def ask(self, count: int) -> list[Architecture]:
        """Propose `count` architectures of the space (repeats are allowed)."""

    @abstractmethod
    def tell(self, trials: Sequence[Trial]) -> None:
        """Learn from trials, failed ones among them."""
