"""Strategies by name. Those with a controller load TensorFlow, and only when they are made."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mnas.errors import InputError
from mnas.space.space import SearchSpace
from mnas.strategies.base import Accept, Strategy

_WHERE = {
    "random": ("mnas.strategies.random", "RandomSearch"),
    "reinforce": ("mnas.strategies.reinforce", "Reinforce"),
    "ppo": ("mnas.strategies.ppo", "PPO"),
    "evolution": ("mnas.strategies.evolution", "Evolution"),
    "differentiable": ("mnas.strategies.beforehand", "Differentiable"),
    "tunas": ("mnas.strategies.beforehand", "Tunas"),
}
STRATEGIES = tuple(_WHERE)


def make_strategy(
    name: str, space: SearchSpace, *, seed: int = 0, accept: Accept | None = None, **options: Any
) -> Strategy:
    """The strategy called `name`.

    Args:
        name: one of `STRATEGIES`.
        space: what to search.
        seed: of everything that chance decides.
        accept: refuses candidates at no cost; see `Strategy`.
        options: the strategy's own knobs, e.g. `learning_rate`.

    Raises:
        InputError: for an unknown name or knob.
    """
    if name not in _WHERE:
        raise InputError(f"no strategy is called {name!r}: expected one of {', '.join(STRATEGIES)}")
    module, attribute = _WHERE[name]
    factory = getattr(import_module(module), attribute)
    try:
        strategy: Strategy = factory(space, seed=seed, accept=accept, **options)
    except TypeError as error:
        raise InputError(f"the strategy {name} does not take these options: {error}") from None
    return strategy
