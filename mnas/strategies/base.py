"""The interface of every strategy: ask and tell."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from mnas.arch.spec import Architecture
from mnas.errors import InputError
from mnas.space.space import SearchSpace
from mnas.trial import Trial

Feasible = Callable[[Architecture], bool]
MAX_REJECTIONS = 1000


class Strategy(ABC):
    """Proposes architectures and learns from trials.

    `tell` computes all that it needs from the trials, so they may come from a log or another machine. A strategy's
    proposals depend only on its space, its seed, and the calls of `ask` and `tell` so far: a search resumes by
    repeating these calls.

    Args:
        space: what to search.
        seed: of all random choices.
        feasible: whether a candidate is worth an evaluation, e.g. within the latency budget; cheap. An infeasible
            candidate is drawn again, up to `MAX_REJECTIONS` times for each place in a batch; after that the last one
            is proposed anyway.
    """

    needs_preparation = False  # whether `ask` must wait until the evaluator is prepared, because it is trained there

    def __init__(self, space: SearchSpace, *, seed: int = 0, feasible: Feasible | None = None) -> None:
        self.space = space
        self.seed = seed
        self.feasible = feasible

    @abstractmethod
    def ask(self, count: int) -> list[Architecture]:
        """Propose `count` architectures of the space (repeats are allowed)."""

    @abstractmethod
    def tell(self, trials: Sequence[Trial]) -> None:
        """Learn from trials, including failed ones.

        Raises:
            InputError: for a trial whose architecture is not in the space; the batch is ignored then.
        """

    def diagnostics(self) -> dict[str, float]:
        """Return numbers about the state at the last `tell`, by name, for plots; empty before the first `tell`.

        `entropy` is the policy's entropy in nats, for strategies that have a policy.
        """
        return {}

    def rejection_sample(self, draw: Callable[[], Architecture]) -> Architecture:
        """Draw until a candidate is feasible, at most `MAX_REJECTIONS` times more."""
        candidate = draw()
        for _ in range(MAX_REJECTIONS):
            if self.feasible is None or self.feasible(candidate):
                break
            candidate = draw()
        return candidate


def check_count(count: int) -> None:
    """Raise an `InputError` unless `count` is a positive whole number."""
    if not isinstance(count, int) or count < 1:
        raise InputError(f"ask for {count!r} architectures: expected a whole number from 1")


def encode_successful(space: SearchSpace, trials: Sequence[Trial]) -> list[tuple[tuple[int, ...], float]]:
    """Return indices and reward of each trial that has a reward; failed trials are left out.

    Raises:
        InputError: for a trial whose architecture is not in the space, failed or not.
    """
    encoded = []
    for trial in trials:
        try:
            indices = space.encode(trial.architecture)
        except InputError as error:
            raise InputError(f"told trial {trial.number}, which is not of the space {space.name}: {error}") from None
        if trial.reward is not None:
            encoded.append((indices, trial.reward))
    return encoded
