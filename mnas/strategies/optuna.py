"""Any Optuna sampler as a strategy: `optuna:tpe`, `optuna:nsgaii`, `optuna:cmaes`, `optuna:gp` and so on."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from typing import Any

from mnas.arch.spec import Architecture
from mnas.errors import InputError, MnasError
from mnas.random_streams import Stream, generator
from mnas.space.space import SearchSpace
from mnas.strategies.base import Feasible, Strategy, check_count, encode_successful
from mnas.trial import Trial

Indices = tuple[int, ...]
_TRIES = 3  # draws from the sampler for each place while it proposes infeasible ones; then the last one is mutated
_CHANGES = 20
_ORDERED_ONLY = ("cmaes",)  # these cannot choose among categories: they search the choices' indices as numbers


def optuna_samplers() -> dict[str, type[Any]]:
    """Return Optuna's samplers by short name: `tpe` is TPESampler.

    Raises:
        MnasError: if Optuna is not installed.
    """
    try:
        from optuna import samplers
    except ImportError:
        raise MnasError(
            "Optuna is not installed, and optuna:... strategies need it: pip install 'mnas[optuna]'"
        ) from None
    names = [name for name in dir(samplers) if name.endswith("Sampler") and not name.startswith("Base")]
    return {name.removesuffix("Sampler").lower(): getattr(samplers, name) for name in names}


def check_sampler(name: str) -> None:
    """Check the name of a sampler.

    Raises:
        InputError: if Optuna has no such sampler; it lists the known ones.
        MnasError: if Optuna is not installed.
    """
    known = optuna_samplers()
    if name not in known:
        raise InputError(f"Optuna has no sampler {name!r}: expected one of {', '.join(sorted(known))}")


class OptunaStrategy(Strategy):
    """An Optuna sampler that maximises the reward.

    Every decision is one categorical parameter (an integer where a sampler needs order). Infeasible candidates are told
    to Optuna as pruned, and the next one is drawn: so TPE learns what is over the budget. Evaluators are pure
    functions, so a candidate that was evaluated before is mutated until it is new.
    See `Strategy` for the other arguments.

    Args:
        sampler: the short name of one of Optuna's samplers.
        options: the sampler's options, e.g. `multivariate=True`.
    """

    def __init__(
        self, space: SearchSpace, *, sampler: str, seed: int = 0, feasible: Feasible | None = None, **options: Any
    ) -> None:
        super().__init__(space, seed=seed, feasible=feasible)
        check_sampler(sampler)
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        made: Any = _make_sampler(optuna_samplers()[sampler], sampler, seed, options)
        self._study = optuna.create_study(sampler=made, direction="maximize")
        self._distributions = _distributions(space, ordered=sampler in _ORDERED_ONLY)
        self._rng = generator(seed, Stream.OPTUNA)
        self._failed, self._pruned = optuna.trial.TrialState.FAIL, optuna.trial.TrialState.PRUNED
        self._waiting: dict[Indices, Any] = {}
        self._seen: set[Indices] = set()

    def ask(self, count: int) -> list[Architecture]:
        """The sampler's next proposals; earlier ones without a result are ended as failed."""
        check_count(count)
        for asked in self._waiting.values():
            self._tell(asked)
        self._waiting.clear()
        batch: list[Architecture] = []
        for _ in range(count):
            batch.append(self._next(batch))
        return batch

    def _next(self, batch: Sequence[Architecture]) -> Architecture:
        for _ in range(_TRIES):
            asked = self._asked()
            indices = self._indices(asked.params)
            candidate = self.space.decode(indices)
            accepted = self.feasible is None or self.feasible(candidate)
            if accepted and indices not in self._seen and candidate not in batch:
                self._waiting[indices] = asked
                return candidate
            self._tell(asked, refused=not accepted)
            if accepted:
                break
        return self._changed(candidate, batch)

    def _changed(self, candidate: Architecture, batch: Sequence[Architecture]) -> Architecture:
        """Mutate a candidate until it is new and feasible."""
        if self.space.size == 1:
            return candidate
        place = candidate

        def draw() -> Architecture:
            nonlocal place
            place = self.space.mutate(place, self._rng)
            return place

        for _ in range(_CHANGES):
            found = self.rejection_sample(draw)
            if self.space.encode(found) not in self._seen and found not in batch:
                break
        return found

    def _asked(self) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about experimental samplers, and independently sampled parameters
            return self._study.ask(self._distributions)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Tell the sampler the rewards; trials that it did not propose are added to its study."""
        encode_successful(self.space, trials)
        for trial in trials:
            indices = self.space.encode(trial.architecture)
            asked = self._waiting.pop(indices, None)
            if asked is not None:
                self._tell(asked, trial.reward)
            elif trial.reward is not None:
                self._add(indices, trial.reward)
            if trial.reward is not None:
                self._seen.add(indices)

    def _tell(self, asked: Any, reward: float | None = None, *, refused: bool = False) -> None:
        """End one of Optuna's trials: with a reward, else as pruned if infeasible, else as failed."""
        state = None if reward is not None else self._pruned if refused else self._failed
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._study.tell(asked, reward, state=state)

    def _add(self, indices: Indices, reward: float) -> None:
        from optuna.trial import create_trial

        chosen = zip(self.space.decisions, indices, strict=True)
        params = {decision.name: index for decision, index in chosen if decision.name in self._distributions}
        self._study.add_trial(create_trial(params=params, distributions=self._distributions, value=reward))

    def _indices(self, params: dict[str, int]) -> Indices:
        return tuple(int(params.get(decision.name, 0)) for decision in self.space.decisions)


def _distributions(space: SearchSpace, *, ordered: bool) -> dict[str, Any]:
    """One parameter for each decision with several choices; its values are the choices' indices."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    counts = {decision.name: len(decision.choices) for decision in space.decisions}
    return {
        name: IntDistribution(0, count - 1) if ordered else CategoricalDistribution(tuple(range(count)))
        for name, count in counts.items()
        if count > 1
    }


def _make_sampler(kind: Any, name: str, seed: int, options: dict[str, Any]) -> Any:
    known = inspect.signature(kind).parameters
    quiet = {flag: False for flag in ("warn_independent_sampling", "warn_asynchronous_seeding") if flag in known}
    if "scramble" in known:
        options = {"scramble": True, **options}  # without it the seed has no effect
    if "constant_liar" in known:
        options = {"constant_liar": True, **options}  # so that the candidates of one batch differ
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return kind(**{**quiet, "seed": seed, **options})
    except (TypeError, ValueError, ImportError) as error:
        raise InputError(f"Optuna's sampler {name} cannot be made with {options or 'no options'}: {error}") from None
