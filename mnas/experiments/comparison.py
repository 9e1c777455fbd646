"""Compare strategies: each one searches with every seed, for the same number of trials, without a study folder."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from itertools import product
from typing import Any

from mnas.arch.complexity import block_complexity, complexity
from mnas.errors import InputError, MnasError
from mnas.experiments.comparison_options import ComparisonOptions, check_strategies
from mnas.experiments.standings import StrategyResult, best_so_far, compare
from mnas.reward import make_reward
from mnas.search.build import prepare, strategy_for
from mnas.search.constraints import Constraint, Measure
from mnas.search.executor import Executor, LocalExecutor
from mnas.search.executors.factory import SEARCH, most_minutes_of
from mnas.search.executors.process_pool import ProcessExecutor
from mnas.search.executors.worker import Job, Objectives
from mnas.search.loop import MeasurementCache, run_trials
from mnas.search.objective import Objective
from mnas.space.costs import SpaceCosts
from mnas.space.space import SearchSpace
from mnas.strategies.base import Feasible, Strategy
from mnas.strategies.registry import SCORED_STRATEGIES, needs_tensorflow
from mnas.study.trial_log import MemoryLog, to_plain
from mnas.system.native_output import load_tensorflow
from mnas.system.permissions import names_what_is_not_permitted
from mnas.trial import Trial

OnRun = Callable[[float, str], None]
_MAKE = "mnas.experiments.comparison:make_objectives"
_CACHE_SIZE = 100_000  # latencies: strategies reject, and draw again, the same candidates


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A comparison that is ready to run.

    Attributes:
        space: the search space.
        objective: evaluates candidates. Its evaluator is a pure function: each network is evaluated once for all runs.
        strategies: by name.
        num_seeds: runs of each strategy, with the seeds from 0.
        num_trials: numbers of trials to compare at; each run is as long as the largest.
        batch_size: candidates between two updates of a strategy.
        reject_infeasible: whether every strategy rejects candidates over the budget without an evaluation.
    """

    space: SearchSpace
    objective: Objective
    strategies: Sequence[str]
    num_seeds: int = 10
    num_trials: Sequence[int] = (300,)
    batch_size: int = 10
    reject_infeasible: bool = True

    def __post_init__(self) -> None:
        check_strategies(self.strategies)
        if self.num_seeds < 2:
            raise InputError(f"{self.num_seeds} seeds: expected 2 or more, one shows no variation")
        if not self.num_trials or min(self.num_trials) < 1 or self.batch_size < 1:
            raise InputError(f"trials {list(self.num_trials)} in batches of {self.batch_size}: expected 1 or more")
        for budget in self.objective.budgets:
            budget.check(self.space)
        for name in set(self.strategies) & set(SCORED_STRATEGIES):
            self.strategy(name)  # raises if the evaluator has no additive score: before any work is done

    def strategy(self, name: str, *, seed: int = 0, feasible: Feasible | None = None) -> Strategy:
        """Make one of the strategies.

        Raises:
            InputError: as `mnas.search.build.strategy_for`.
        """
        objective = self.objective
        return strategy_for(name, self.space, objective.evaluator, objective.budgets, seed=seed, feasible=feasible)

    @cached_property
    def fast_objective(self) -> Objective:
        """The objective with fast, cached latencies."""
        budgets = [replace(budget, measure=_cached(budget, self.space)) for budget in self.objective.budgets]
        return replace(self.objective, budgets=budgets)


@dataclass(frozen=True)
class ComparisonResult:
    """A finished comparison.

    Attributes:
        comparison: what was run.
        standings: the results of every strategy, by number of trials.
        reward: `name` and `beta` of the reward.
    """

    comparison: Comparison
    standings: dict[int, list[StrategyResult]]
    reward: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as `mnas compare --json` prints it."""
        ran, budgets = self.comparison, self.comparison.objective.budgets
        return {
            "space": ran.space.name,
            "space_size": ran.space.size,
            "evaluator": ran.objective.evaluator.describe(),
            "reward": self.reward,
            "budgets": [{"budget": budget.limit, "unit": budget.unit} for budget in budgets],
            "over_budget_refused": ran.reject_infeasible and bool(budgets),
            "num_seeds": ran.num_seeds,
            "batch_size": ran.batch_size,
            "results": [
                {"num_trials": count, "strategies": [row.to_dict() for row in rows]}
                for count, rows in self.standings.items()
            ],
        }


@names_what_is_not_permitted
def compare_strategies(options: ComparisonOptions, *, on_run: OnRun = lambda share, what: None) -> ComparisonResult:
    """Run a comparison from its options, as `mnas compare` does.

    Args:
        options: of the comparison.
        on_run: called after each run with the share done and the name of the run.

    Raises:
        InputError: for wrong options, before any work is done.
        MnasError: if no evaluation of a run succeeds.
    """
    load_tensorflow_for(options)
    comparison = make_comparison(options)
    with open_comparison_executor(options, comparison) as executor:
        standings = run_comparison(comparison, executor=executor, on_run=on_run)
    return ComparisonResult(comparison, standings, {"name": options.reward, "beta": options.beta})


def load_tensorflow_for(options: ComparisonOptions) -> None:
    """Load TensorFlow if the comparison needs it."""
    if options.search_options().trains or any(map(needs_tensorflow, options.strategies)):
        load_tensorflow(onednn=options.search_options().full_trainings)


def make_comparison(options: ComparisonOptions) -> Comparison:
    """Load the space, data and tables of a comparison.

    Raises:
        InputError: for wrong options, before any work is done.
    """
    prepared = prepare(options.search_options())
    objective = prepared.search.objective
    if options.budget_madds is not None:
        objective = with_madds_budget(
            objective, prepared.space, options.budget_madds, reward=options.reward, beta=options.beta
        )
    return Comparison(
        space=prepared.space,
        objective=objective,
        strategies=options.strategies,
        num_seeds=options.seeds,
        num_trials=options.trials,
        batch_size=options.batch,
        reject_infeasible=options.reject_infeasible,
    )


@contextmanager
def open_comparison_executor(options: ComparisonOptions, comparison: Comparison) -> Iterator[Executor]:
    """Open the executor of a comparison: this process, or a worker process if evaluations have a time limit."""
    if options.evaluation_minutes is None:
        yield LocalExecutor()
        return
    job = Job(_MAKE, to_plain(asdict(options)), to_plain(comparison.objective.evaluator.describe()))
    objectives = {SEARCH: comparison.fast_objective}
    limits = most_minutes_of(options.evaluation_minutes)
    with ProcessExecutor(job, objectives, num_workers=1, most_minutes=limits) as processes:
        yield processes


def make_objectives(arguments: dict[str, Any]) -> tuple[Objectives, Any]:
    """Make the objectives of a comparison's worker, and their fingerprint; see `Job`."""
    options = ComparisonOptions(**arguments)
    if options.search_options().trains:
        load_tensorflow(onednn=options.search_options().full_trainings)
    comparison = make_comparison(options)
    return {SEARCH: comparison.fast_objective}, comparison.objective.evaluator.describe()


def run_comparison(
    comparison: Comparison, *, executor: Executor | None = None, on_run: OnRun = lambda share, what: None
) -> dict[int, list[StrategyResult]]:
    """Run every strategy with every seed.

    Args:
        comparison: what to run.
        executor: where candidates are evaluated; in this process by default.
        on_run: called after each run with the share done and the name of the run.

    Returns:
        The results of every strategy, by number of trials.

    Raises:
        MnasError: if no evaluation of a run succeeds.
    """
    curves: dict[str, list[list[float]]] = {name: [] for name in comparison.strategies}
    cache: MeasurementCache = {}
    runs = list(product(range(comparison.num_seeds), comparison.strategies))
    for done, (seed, name) in enumerate(runs, 1):
        what = f"{name}, seed {seed}"
        trials = run_one(comparison, name, seed, cache, executor=executor)
        curves[name].append(best_curve(comparison, trials, what))
        on_run(done / len(runs), what)
    return {
        count: compare({name: [curve[count - 1] for curve in own] for name, own in curves.items()})
        for count in sorted(set(comparison.num_trials))
    }


def run_one(
    comparison: Comparison, name: str, seed: int, cache: MeasurementCache, *, executor: Executor | None = None
) -> list[Trial]:
    """Run one strategy with one seed, for the largest number of trials.

    Args:
        comparison: what to run.
        name: the strategy.
        seed: the strategy's.
        cache: measurements of evaluated networks; new ones are added.
        executor: where candidates are evaluated; in this process by default.
    """
    objective = comparison.fast_objective
    feasible = objective.is_feasible if comparison.reject_infeasible and objective.budgets else None
    strategy = comparison.strategy(name, seed=seed, feasible=feasible)
    if strategy.needs_preparation:
        objective.evaluator.prepare()
    return run_trials(
        strategy,
        objective,
        MemoryLog(),
        num_trials=max(comparison.num_trials),
        batch_size=comparison.batch_size,
        cache=cache,
        executor=executor,
    )


def best_curve(comparison: Comparison, trials: Sequence[Trial], what: str) -> list[float]:
    """Return the best reward after each trial.

    Raises:
        MnasError: if no trial succeeds before the smallest number of trials that is compared.
    """
    curve = [float(value) for value in best_so_far([trial.reward for trial in trials])]
    first = min(comparison.num_trials)
    if not math.isfinite(curve[first - 1]):
        raise MnasError(f"{what}: none of the first {first} evaluations succeeded: {trials[0].error}")
    return curve


def _cached(budget: Constraint, space: SearchSpace) -> Measure:
    """The same latency, cached, and looked up if the space's costs are known."""
    costs = budget.costs
    if costs is None:
        return lru_cache(_CACHE_SIZE)(budget.measure)
    return lru_cache(_CACHE_SIZE)(lambda architecture: float(costs(space.encode(architecture))[0]))


def with_madds_budget(
    objective: Objective, space: SearchSpace, budget: float, *, reward: str, beta: float | None
) -> Objective:
    """Return an objective with multiply-adds instead of latency, for comparisons without a device.

    Args:
        objective: has the evaluator.
        space: the search space.
        budget: multiply-adds of one image.
        reward: soft, hard or absolute.
        beta: its weight or exponent; None for its default.
    """
    costs = SpaceCosts(space, lambda placed: block_complexity(placed).madds)
    madds = Constraint(
        "multiply-adds", lambda architecture: complexity(architecture).madds, budget, "multiply-adds", costs
    )
    return Objective(objective.evaluator, make_reward(reward, beta=beta), [madds])
