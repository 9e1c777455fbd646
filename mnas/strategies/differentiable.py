"""Search by gradient: a policy of one logit per choice is trained on an additive score, before the first proposal.

A Gumbel softmax (Jang et al. 2017) relaxes the draw of every decision; the expected latency over the budget is part of
the loss (FBNet, Wu et al. 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mnas.arch.spec import Architecture
from mnas.random_streams import Stream, generator
from mnas.space.space import SearchSpace
from mnas.strategies.additive import AdditiveScore, ScoredStrategy
from mnas.strategies.base import Feasible, check_count, encode_successful
from mnas.strategies.expected_cost import ExpectedCost
from mnas.trial import Trial

Vector = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float64]
_TINY = 1e-300  # 0 log 0 is 0
_UNIFORM = 0.1  # share of the choices that are drawn uniformly: a trained policy is nearly certain
_FRESH = 50  # draws for each place in a batch to find one that was not proposed before
_FIRST_DECAY, _SECOND_DECAY, _EPSILON = 0.9, 0.999, 1e-8  # Adam's


@dataclass(frozen=True, slots=True)
class Relaxation:
    """How the policy is trained.

    Attributes:
        steps: number of updates of the logits.
        learning_rate: Adam's.
        hot, cold: the temperature of the Gumbel softmax at the first and the last update, falling exponentially.
        latency_weight: of (expected latency / budget - 1) where it is above 0, in units of the score's range.
    """

    steps: int = 500
    learning_rate: float = 0.03
    hot: float = 5.0
    cold: float = 0.2
    latency_weight: float = 1.0


class Differentiable(ScoredStrategy):
    """Trains a policy by gradient, then proposes from it; trials do not change it.

    The first proposal is the best network within the constraints among those that the training met: at every update the
    policy's most probable one and one draw. The others are drawn from the trained policy, with a tenth of the choices
    at random. See `Strategy` for the other arguments.

    Args:
        score: the accuracies of all choices, and the budgets.
        recipe: how the policy is trained.

    Raises:
        InputError: without a score.
    """

    name = "differentiable"

    def __init__(
        self,
        space: SearchSpace,
        *,
        seed: int = 0,
        feasible: Feasible | None = None,
        score: AdditiveScore | None = None,
        recipe: Relaxation | None = None,
    ) -> None:
        super().__init__(space, seed=seed, feasible=feasible, score=score)
        self._recipe = recipe or Relaxation()
        self._rng = generator(seed, Stream.LEARNT_POLICY)
        self._policy: list[Vector] = []  # empty before the first `ask`
        self._proposed: set[Architecture] = set()
        self._told = False

    def ask(self, count: int) -> list[Architecture]:
        """Return the best network that the training met, once, then draws that are new where there are any."""
        check_count(count)
        found: list[Architecture] = []
        if not self._policy:
            training = _Training(self.space, self._score, self._recipe, self.feasible, self.seed)
            self._policy = [(1 - _UNIFORM) * own + _UNIFORM / len(own) for own in training.run()]
            found = [] if training.best is None else [training.best]
        self._proposed.update(found)
        while len(found) < count:
            found.append(self.rejection_sample(self._fresh))
            self._proposed.add(found[-1])
        return found

    def _fresh(self) -> Architecture:
        for _ in range(_FRESH):
            drawn = self.space.decode([int(self._rng.choice(len(shares), p=shares)) for shares in self._policy])
            if drawn not in self._proposed:
                break
        return drawn

    def tell(self, trials: Sequence[Trial]) -> None:
        """Check that the trials are of this space; nothing is learned."""
        encode_successful(self.space, trials)
        self._told = True

    def diagnostics(self) -> dict[str, float]:
        """`entropy` of the trained policy in nats; the same for every batch."""
        if not self._told or not self._policy:
            return {}
        return {"entropy": float(sum(-np.sum(own * np.log(np.maximum(own, _TINY))) for own in self._policy))}


class _Training:
    """The training of one policy. Logits are a matrix with a row for every decision, filled up with -inf.

    Attributes:
        best: the best feasible network that was drawn, or was the most probable, at some update; None before.
    """

    def __init__(
        self, space: SearchSpace, score: AdditiveScore, recipe: Relaxation, feasible: Feasible | None, seed: int
    ) -> None:
        self.best: Architecture | None = None
        self._space, self._recipe, self._feasible = space, recipe, feasible
        values = score.values_for(space)
        self._counts = np.array([len(own) for own in values])
        self._there = np.arange(self._counts.max()) < self._counts[:, None]
        self._values = np.zeros(self._there.shape)
        self._values[self._there] = np.concatenate(values)
        self._range = sum(float(np.ptp(own)) for own in values) or 1.0
        self._budgets = [(ExpectedCost(costs), costs, budget) for costs, budget in score.budgets]
        self._rng = generator(seed, Stream.GUMBEL_NOISE)
        self._met: set[tuple[int, ...]] = set()
        self._most = -np.inf

    def run(self) -> list[Vector]:
        """Return the probabilities of every decision's choices."""
        recipe = self._recipe
        logits = np.where(self._there, 0.0, -np.inf)
        mean, square = np.zeros_like(self._values), np.zeros_like(self._values)
        for step in range(1, recipe.steps + 1):
            noisy = logits + self._rng.gumbel(size=logits.shape)
            gradient = self._gradient(noisy, recipe.hot * (recipe.cold / recipe.hot) ** (step / recipe.steps))
            mean = _FIRST_DECAY * mean + (1 - _FIRST_DECAY) * gradient
            square = _SECOND_DECAY * square + (1 - _SECOND_DECAY) * gradient**2
            spread = np.sqrt(square / (1 - _SECOND_DECAY**step)) + _EPSILON
            logits += recipe.learning_rate * mean / (1 - _FIRST_DECAY**step) / spread
            self._keep(logits.argmax(1))
            uniform = self._rng.random(len(logits)) < _UNIFORM
            self._keep(np.where(uniform, self._rng.integers(self._counts), noisy.argmax(1)))
        return self._by_decision(_softmax(logits))

    def _gradient(self, noisy: Matrix, temperature: float) -> Matrix:
        """The gradient of one relaxed draw's score less its penalties, by the logits."""
        shares = _softmax(noisy / temperature)
        slopes = self._values / self._range
        for expected, _, budget in self._budgets:
            cost, by_share = expected(self._by_decision(shares))
            if cost > budget:
                slopes[self._there] -= self._recipe.latency_weight / budget * np.concatenate(by_share)
        found: Matrix = shares * (slopes - (shares * slopes).sum(1, keepdims=True)) / temperature
        return found

    def _by_decision(self, matrix: Matrix) -> list[Vector]:
        return [row[:count] for row, count in zip(matrix, self._counts, strict=True)]

    def _keep(self, choices: npt.NDArray[np.intp]) -> None:
        """Keep a network if it is the best so far within all constraints."""
        value = float(self._values[np.arange(len(choices)), choices].sum())
        indices = tuple(choices.tolist())
        if value <= self._most or indices in self._met:
            return
        self._met.add(indices)
        if any(costs([indices])[0] > budget for _, costs, budget in self._budgets):
            return
        architecture = self._space.decode(indices)
        if self._feasible is None or self._feasible(architecture):
            self.best, self._most = architecture, value


def _softmax(logits: Matrix) -> Matrix:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    shares: Matrix = powers / powers.sum(1, keepdims=True)
    return shares
