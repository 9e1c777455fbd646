"""Strategies side by side: each searches with every seed, at an equal number of trials, with no study folder."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

from mnas.arch.complexity import block_complexity, complexity
from mnas.errors import InputError, MnasError
from mnas.experiments.comparison_options import ComparisonOptions, check_strategies
from mnas.experiments.standings import StrategyResult, best_so_far, compare
from mnas.reward import make_reward
from mnas.search.build import prepare
from mnas.search.constraints import Constraint, Measure
from mnas.search.executor import Executor, LocalExecutor
from mnas.search.executors.factory import SEARCH, most_minutes_of
from mnas.search.executors.process_pool import ProcessExecutor
from mnas.search.executors.worker import Job, Objectives
from mnas.search.loop import MeasurementCache, run_trials
from mnas.search.objective import Objective
from mnas.space.costs import SpaceCosts
from mnas.space.space import SearchSpace
from mnas.strategies.registry import make_strategy, needs_tensorflow
from mnas.study.trial_log import MemoryLog, to_plain
from mnas.system.native_output import load_tensorflow
from mnas.trial import Trial

OnRun = Callable[[float, str], None]
_MAKE = "mnas.experiments.comparison:make_objectives"
_REMEMBERED = 100_000  # latencies that are kept: strategies refuse, and meet again, the same candidates


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What to run.

    Attributes:
        space: what is searched.
        objective: judges candidates. Its evaluator is a pure function, so a network is judged once for all runs.
        strategies: by name.
        num_seeds: runs of each strategy, with the seeds from 0.
        num_trials: budgets to compare at; each run is as long as the largest of them.
        batch_size: candidates between two updates of a strategy.
        reject_infeasible: whether candidates over the latency budget are rejected at no cost, random search's too.
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
            raise InputError(f"{self.num_seeds} seeds: expected 2 or more, one says nothing about chance")
        if not self.num_trials or min(self.num_trials) < 1 or self.batch_size < 1:
            raise InputError(f"trials {list(self.num_trials)} in batches of {self.batch_size}: expected 1 or more")
        for budget in self.objective.budgets:
            budget.check(self.space)

    @cached_property
    def fast_objective(self) -> Objective:
        """The objective with latencies that are looked up and kept."""
        budgets = [replace(budget, measure=_remembered(budget, self.space)) for budget in self.objective.budgets]
        return replace(self.objective, budgets=budgets)


def load_tensorflow_for(options: ComparisonOptions) -> None:
    """Load TensorFlow if the comparison needs it."""
    if options.search_options().trains or any(map(needs_tensorflow, options.strategies)):
        load_tensorflow()


def make_comparison(options: ComparisonOptions) -> Comparison:
    """Load what the options of a comparison name.

    Raises:
        InputError: for anything that is wrong with them: before any work is done.
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
    """What evaluates a comparison's candidates: this process, or one that holds evaluations to their time limit.

    Args:
        options: of the comparison.
        comparison: the comparison here.
    """
    if options.evaluation_minutes is None:
        yield LocalExecutor()
        return
    job = Job(_MAKE, to_plain(asdict(options)), to_plain(comparison.objective.evaluator.describe()))
    objectives = {SEARCH: comparison.fast_objective}
    limits = most_minutes_of(options.evaluation_minutes)
    with ProcessExecutor(job, objectives, num_workers=1, most_minutes=limits) as processes:
        yield processes


def make_objectives(arguments: dict[str, Any]) -> tuple[Objectives, Any]:
    """What a comparison's worker evaluates with, and what that is made from; see `Job`."""
    options = ComparisonOptions(**arguments)
    if options.search_options().trains:
        load_tensorflow()
    comparison = make_comparison(options)
    return {SEARCH: comparison.fast_objective}, comparison.objective.evaluator.describe()


def run_comparison(
    comparison: Comparison, *, executor: Executor | None = None, on_run: OnRun = lambda share, what: None
) -> dict[int, list[StrategyResult]]:
    """Run every strategy with every seed.

    Args:
        comparison: what to run.
        executor: where candidates are judged; in this process by default.
        on_run: called after each run with the share done and what was run.

    Returns:
        The standings by number of trials.

    Raises:
        MnasError: if a run has not one success.
    """
    budgets = sorted(set(comparison.num_trials))
    best: dict[int, dict[str, list[float]]] = {count: {name: [] for name in comparison.strategies} for count in budgets}
    cache: MeasurementCache = {}
    done = 0
    for seed in range(comparison.num_seeds):
        for name in comparison.strategies:
            curve = best_curve(
                comparison, run_one(comparison, name, seed, cache, executor=executor), f"{name}, seed {seed}"
            )
            for count in budgets:
                best[count][name].append(curve[count - 1])
            done += 1
            on_run(done / (comparison.num_seeds * len(comparison.strategies)), f"{name}, seed {seed}")
    return {count: compare(own) for count, own in best.items()}


def run_one(
    comparison: Comparison, name: str, seed: int, cache: MeasurementCache, *, executor: Executor | None = None
) -> list[Trial]:
    """One strategy's run with one seed, as long as the longest that is compared.

    Args:
        comparison: what to run.
        name: the strategy.
        seed: the strategy's.
        cache: measurements of networks that were judged before; new ones are added.
        executor: where candidates are judged; in this process by default.
    """
    objective = comparison.fast_objective
    feasible = objective.is_feasible if comparison.reject_infeasible and objective.budgets else None
    strategy = make_strategy(name, comparison.space, seed=seed, feasible=feasible)
    longest, batch_size = max(comparison.num_trials), comparison.batch_size
    return run_trials(
        strategy,
        objective,
        MemoryLog(),
        num_trials=longest,
        batch_size=batch_size,
        cache=cache,
        executor=executor,
    )


def best_curve(comparison: Comparison, trials: Sequence[Trial], what: str) -> list[float]:
    """The best reward after each trial.

    Raises:
        MnasError: if nothing had succeeded by the first number of trials that is compared.
    """
    curve = [float(value) for value in best_so_far([trial.reward for trial in trials])]
    first = min(comparison.num_trials)
    if not math.isfinite(curve[first - 1]):
        raise MnasError(f"{what}: none of the first {first} evaluations succeeded: {trials[0].error}")
    return curve


def _remembered(budget: Constraint, space: SearchSpace) -> Measure:
    """The same latency, quicker: by look-up where the space has been priced, and kept."""
    costs = budget.costs
    if costs is None:
        return lru_cache(_REMEMBERED)(budget.measure)
    return lru_cache(_REMEMBERED)(lambda architecture: float(costs(space.encode(architecture))[0]))


def with_madds_budget(
    objective: Objective, space: SearchSpace, budget: float, *, reward: str, beta: float | None
) -> Objective:
    """The same evaluator with multiply-adds in the place of latency, for comparisons without a device.

    Args:
        objective: gives the evaluator.
        space: what is searched.
        budget: multiply-adds of one image.
        reward: soft, hard or absolute.
        beta: its weight or exponent; None for its own default.
    """
    costs = SpaceCosts(space, lambda placed: block_complexity(placed).madds)
    madds = Constraint(
        "multiply-adds", lambda architecture: complexity(architecture).madds, budget, "multiply-adds", costs
    )
    return Objective(objective.evaluator, make_reward(reward, beta=beta), [madds])
