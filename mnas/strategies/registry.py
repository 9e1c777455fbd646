"""Strategies by name. Those with a controller load TensorFlow when they are made."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from pkgutil import resolve_name
from typing import Any

from mnas.errors import InputError
from mnas.space.space import SearchSpace
from mnas.strategies.base import Feasible, Strategy
from mnas.system.plugins import PREFIX, is_user_defined, load_named

_WHERE = {
    "random": "mnas.strategies.random:RandomSearch",
    "reinforce": "mnas.strategies.reinforce:Reinforce",
    "ppo": "mnas.strategies.ppo:PPO",
    "evolution": "mnas.strategies.evolution:Evolution",
    "nsga2": "mnas.strategies.nsga2:NSGA2",
    "exact": "mnas.strategies.exact:Exact",
    "differentiable": "mnas.strategies.differentiable:Differentiable",
}
STRATEGIES = tuple(_WHERE)
POLICY_STRATEGIES = ("reinforce", "ppo")  # they learn from every reward, also from those of infeasible candidates
SCORED_STRATEGIES = ("exact", "differentiable")  # they need an `AdditiveScore`
_REMOVED = {
    "tunas": "the strategy tunas was removed together with the evaluator supernet: use --strategy reinforce or ppo, "
    "which learn the same reward from the trials of any evaluator"
}
OPTUNA = "optuna:"
GROUP = "mnas.strategies"  # of entry points


def check_strategy(name: str) -> None:
    """Check the name of a strategy without making one.

    Raises:
        InputError: for an unknown strategy, and it lists the known ones; for a removed one, and it names another.
        MnasError: for `optuna:...` where Optuna is not installed.
    """
    if name.startswith(OPTUNA):
        from mnas.strategies.optuna import check_sampler

        check_sampler(name.removeprefix(OPTUNA))
    elif name in _REMOVED:
        raise InputError(_REMOVED[name])
    elif name not in _WHERE and not is_user_defined(name, GROUP):
        raise InputError(
            f"unknown strategy {name!r}: expected one of {', '.join(STRATEGIES)}, "
            f"{OPTUNA}SAMPLER such as {OPTUNA}tpe, or {PREFIX}MODULE:CLASS"
        )


def needs_tensorflow(name: str) -> bool:
    """Whether making this strategy loads TensorFlow."""
    return name in POLICY_STRATEGIES


def make_strategy(
    name: str, space: SearchSpace, *, seed: int = 0, feasible: Feasible | None = None, **options: Any
) -> Strategy:
    """Make the strategy with this name.

    Args:
        name: one of `STRATEGIES`; `optuna:SAMPLER`; `python:MODULE:CLASS` or the name of an entry point in the group
            `mnas.strategies`, for a user's own, which is called with the arguments that `Strategy` takes.
        space: as in `Strategy`, like seed and feasible.
        seed: of all random choices.
        feasible: whether a candidate is worth an evaluation.
        options: the strategy's own options, e.g. `learning_rate`.

    Raises:
        InputError: for an unknown name or option.
    """
    check_strategy(name)
    if name.startswith(OPTUNA):
        name, options = "optuna", {"sampler": name.removeprefix(OPTUNA), **options}
        factory = resolve_name("mnas.strategies.optuna:OptunaStrategy")
    elif name in _WHERE:
        factory = resolve_name(_WHERE[name])
    else:
        factory = load_named(name, GROUP)
    try:
        strategy = factory(space, seed=seed, **{_feasible_argument(factory): feasible}, **options)
    except TypeError as error:
        raise InputError(f"the strategy {name} does not take these options: {error}") from None
    if not isinstance(strategy, Strategy):
        raise InputError(
            f"{name} returns a {type(strategy).__name__}: expected a subclass of mnas.strategies.base.Strategy"
        )
    return strategy


def _feasible_argument(factory: Callable[..., Strategy]) -> str:
    """The name of a strategy's argument `feasible`; it was `accept` up to version 0.1."""
    try:
        names = signature(factory).parameters
    except (TypeError, ValueError):  # no signature, as of some built-in callables
        return "feasible"
    return "accept" if "accept" in names and "feasible" not in names else "feasible"
