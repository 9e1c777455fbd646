"""Strategies that are trained together with a supernet's weights: by gradient, or by reinforcement (TuNAS)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from mnas.arch.spec import Architecture
from mnas.errors import InputError
from mnas.random_streams import Stream, generator
from mnas.space.space import SearchSpace
from mnas.strategies.base import Feasible, Strategy, check_count, encode_successful
from mnas.trial import Trial

Policy = Callable[[], Sequence[npt.NDArray[np.float64]]]
_TINY = 1e-300  # 0 log 0 is 0
_FRESH = 20  # draws for each place in a batch to find one that was not proposed before


class FixedPolicySampler(Strategy):
    """Proposes the most probable architecture first, then draws from the policy.

    The policy is trained with the supernet, before the first proposal, and kept in the supernet's checkpoint. Trials do
    not change it. See `Strategy` for the other arguments.

    Args:
        policy: returns the trained probabilities of every decision's choices; called at the first `ask`.
    """

    name: str
    needs_preparation = True

    def __init__(
        self, space: SearchSpace, *, seed: int = 0, feasible: Feasible | None = None, policy: Policy | None = None
    ) -> None:
        super().__init__(space, seed=seed, feasible=feasible)
        if policy is None:
            raise InputError(
                f"the strategy {self.name} is trained together with a supernet's weights: use it with "
                "mnas search --evaluator supernet"
            )
        self._policy = policy
        self._rng = generator(seed, Stream.LEARNT_POLICY)
        self._proposed: set[Architecture] = set()
        self._entropy: float | None = None
        self._told = False

    def ask(self, count: int) -> list[Architecture]:
        """The mode of the policy once, then draws that were not proposed before, where there are any."""
        check_count(count)
        policy = list(self._policy())
        self._entropy = _entropy(policy)
        found = []
        if not self._proposed:
            mode = self.space.decode([int(np.argmax(shares)) for shares in policy])
            found = [mode] if self.feasible is None or self.feasible(mode) else []
            self._proposed.update(found)
        while len(found) < count:
            found.append(self.rejection_sample(lambda: self._fresh(policy)))
            self._proposed.add(found[-1])
        return found

    def _fresh(self, policy: Sequence[npt.NDArray[np.float64]]) -> Architecture:
        for _ in range(_FRESH):
            drawn = self.space.decode([int(self._rng.choice(len(shares), p=shares)) for shares in policy])
            if drawn not in self._proposed:
                break
        return drawn

    def tell(self, trials: Sequence[Trial]) -> None:
        """Check that the trials are of this space; nothing is learned."""
        encode_successful(self.space, trials)
        self._told = True

    def diagnostics(self) -> dict[str, float]:
        """`entropy` of the trained policy in nats; the same for every batch."""
        return {"entropy": self._entropy} if self._told and self._entropy is not None else {}


def _entropy(policy: Sequence[npt.NDArray[np.float64]]) -> float:
    return float(sum(-np.sum(shares * np.log(np.maximum(shares, _TINY))) for shares in policy))


class Differentiable(FixedPolicySampler):
    """Gumbel-softmax over the choices, with the expected latency in the loss: see `mnas.oneshot.differentiable`."""

    name = "differentiable"


class Tunas(FixedPolicySampler):
    """REINFORCE on independent logits while the supernet is trained: see `mnas.oneshot.tunas`."""

    name = "tunas"
