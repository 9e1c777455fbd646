"""What every strategy is: two verbs."""

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

    Nothing hidden passes between the two: whatever `tell` needs it computes from the trials. So trials may come from a
    log or another machine, and a strategy that is asked and told the same things as before is where it was before:
    resume is replay. A strategy's proposals depend on its space, its seed, and what it was asked and told so far.

    Args:
        space: what to search.
        seed: of everything that chance decides.
        feasible: says at no cost whether a candidate is worth an evaluation, e.g. within the latency budget by the
            table. A refused candidate is drawn again, up to `MAX_REJECTIONS` times for one place in a batch; then the
            last one is proposed all the same, and its reward says what is wrong with it.
    """

    needs_preparation = False  # whether `ask` must wait until the evaluator is prepared, since it learns there

    def __init__(self, space: SearchSpace, *, seed: int = 0, feasible: Feasible | None = None) -> None:
        self.space = space
        self.seed = seed
        self.feasible = feasible

    @abstractmethod
    def ask(self, count: int) -> list[Architecture]:
        """Propose `count` architectures of the space (repeats are allowed)."""

    @abstractmethod
    def tell(self, trials: Sequence[Trial]) -> None:
        """Learn from trials, failed ones among them.

        Raises:
            InputError: for a trial whose architecture is not in the space; nothing is learnt from the batch then.
        """

    def diagnostics(self) -> dict[str, float]:
        """What a plot may show of its state at the last `tell`, by name; nothing depends on it.

        `entropy` is that of its policy in nats, for strategies that have one. Empty before the first `tell`.
        """
        return {}

    def rejection_sample(self, draw: Callable[[], Architecture]) -> Architecture:
        """Draw until a candidate is accepted, or refusals run out."""
        candidate = draw()
        for _ in range(MAX_REJECTIONS):
            if self.feasible is None or self.feasible(candidate):
                break
            candidate = draw()
        return candidate


def check_count(count: int) -> None:
    """Refuse to propose fewer than one.

    Raises:
        InputError: if `count` is not a positive whole number.
    """
    if not isinstance(count, int) or count < 1:
        raise InputError(f"ask for {count!r} architectures: expected a whole number from 1")


def encode_successful(space: SearchSpace, trials: Sequence[Trial]) -> list[tuple[tuple[int, ...], float]]:
    """Indices and reward of the trials that have one; failed trials are left out, never counted as zero.

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
