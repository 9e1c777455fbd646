"""Build a search that is ready to run from its options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnas.errors import InputError
from mnas.evaluators.base import Evaluator
from mnas.evaluators.registry import EvaluatorRequest, find_evaluator, make_evaluator
from mnas.latency.estimator import table_costs
from mnas.reward import make_reward
from mnas.search.constraints import Constraint, Feasibility, Measure, latency_budget, memory_limit, priced, size_limit
from mnas.search.measuring import measured_choice
from mnas.search.objective import Objective
from mnas.search.options import SearchOptions
from mnas.search.run import Search
from mnas.search.teacher import library_of
from mnas.space.files import load_space
from mnas.space.space import SearchSpace
from mnas.strategies.additive import AdditiveScore
from mnas.strategies.base import Feasible, Strategy
from mnas.strategies.registry import POLICY_STRATEGIES, SCORED_STRATEGIES, make_strategy
from mnas.system.permissions import names_what_is_not_permitted

if TYPE_CHECKING:
    from mnas.data.dataset import Dataset
    from mnas.latency.estimator import LatencyEstimator


@dataclass(frozen=True)
class Prepared:
    """A search, and the configuration that defines it in `study.json`."""

    search: Search
    config: dict[str, Any]
    space: SearchSpace


@names_what_is_not_permitted
def prepare(
    options: SearchOptions, folder: Path | None = None, *, begun_with: Mapping[str, Any] | None = None
) -> Prepared:
    """Load space, data and tables, and build the search.

    Args:
        options: of the search.
        folder: the study's, where an evaluator may keep trained weights; None keeps nothing.
        begun_with: the configuration of a study that goes on, whose images are split as then.

    Raises:
        InputError: for wrong options, before any work is done.
    """
    space, dataset = load_space_and_data(options, fingerprint=_fingerprint(begun_with))
    budgets, tables = _budgets(options, space)
    limits = _limits(options, tables)
    constraints = [*budgets, *limits]
    feasible = Feasibility(constraints) if constraints else None
    evaluator = make_evaluator(_request(options, space, dataset, budgets, feasible, folder))
    finals = _finals(options, evaluator)
    objective = Objective(evaluator, make_reward(options.reward, beta=options.beta), budgets, limits)
    longer = None if finals is None else replace(objective, evaluator=finals)
    confirming = evaluator.for_confirmation()
    with_baseline = options.baseline and options.strategy != "random"
    search = Search(
        strategy_for(
            options.strategy,
            space,
            evaluator,
            budgets,
            seed=options.seed,
            feasible=rejection(options.strategy, evaluator, budgets, limits),
        ),
        objective,
        options.trials,
        options.batch,
        baseline=make_strategy("random", space, seed=options.seed, feasible=feasible) if with_baseline else None,
        finalist_objective=longer,
        num_finalists=options.finalists,
        confirmation=None if confirming is None else replace(objective, evaluator=confirming),
        num_confirmed=max(options.confirmed, options.finalists),
        measured=None if confirming is None else measured_choice(options, objective, space, folder),
        baseline_finalists=confirming is None or options.retrain_seeds >= 2,
        retrainings=make_retrainings(options, longer) if with_baseline and longer else [],
    )
    config = {
        "space": space.to_dict(),
        "space_fingerprint": space.fingerprint,
        "tables": tables,
        "limits_mb": {limit.name: limit.limit for limit in limits},
        "reward": {"name": options.reward, "beta": options.beta},
        "data": _data_description(evaluator, dataset),
        "evaluator": evaluator.describe(),
        "final_evaluator": finals.describe() if finals else None,
        "strategy": {"name": options.strategy},
        "seed": options.seed,
        "threads": options.threads,
        "batch_size": options.batch,
    }
    return Prepared(search, config, space)


def _data_description(evaluator: Evaluator, dataset: Dataset | None) -> Any:
    if dataset is not None:
        return dataset.describe()
    return evaluator.describe().get("data") if evaluator.is_additive else None


def _fingerprint(config: Mapping[str, Any] | None) -> str | None:
    data = (config or {}).get("data")
    found = data.get("fingerprint") if isinstance(data, dict) else None
    return found if isinstance(found, str) else None


def load_space_and_data(
    options: SearchOptions, *, fingerprint: str | None = None
) -> tuple[SearchSpace, Dataset | None]:
    """Load the space, with the data's number of classes, and the data; None if the evaluator does not train.

    Args:
        options: of the search.
        fingerprint: of the data that it began with, as for `mnas.data.dataset.load_dataset`.

    Raises:
        InputError: if one of them cannot be loaded.
    """
    if options.evaluator == "library":
        return library_of(options).space, None
    space = load_space(options.space)
    if options.data is None or not options.trains:
        return space, None
    if space.resolutions and not find_evaluator(options.evaluator).any_resolution:
        raise InputError(
            f"{space.name} chooses among {list(space.resolutions)} px, and the evaluator {options.evaluator} trains at "
            "one resolution: use --evaluator library, or a space of a single resolution"
        )
    from mnas.data.dataset import load_dataset

    dataset = load_dataset(
        options.data,
        resolution=space.resolution,
        seed=options.seed,
        limit=options.max_train_images,
        fingerprint=fingerprint,
    )
    return space.with_data(num_classes=dataset.num_classes), dataset


def _request(
    options: SearchOptions,
    space: SearchSpace,
    dataset: Dataset | None,
    budgets: Sequence[Constraint],
    feasible: Feasible | None,
    folder: Path | None,
) -> EvaluatorRequest:
    return EvaluatorRequest(
        name=options.evaluator,
        options={name: getattr(options, name) for name in find_evaluator(options.evaluator).options},
        space=space,
        dataset=dataset,
        budgets=priced(budgets),
        is_feasible=feasible,
        folder=folder,
    )


def _finals(options: SearchOptions, evaluator: Evaluator) -> Evaluator | None:
    """The evaluator of finalists: of the float network, or of its integer file."""
    finals = evaluator.for_finalists(options.final_steps)
    if finals is None or options.score_dtype == "float32":
        return finals
    from mnas.evaluators.int8 import Int8Evaluator
    from mnas.evaluators.proxy import ProxyEvaluator

    return Int8Evaluator(finals) if isinstance(finals, ProxyEvaluator) else finals


def _budgets(options: SearchOptions, space: SearchSpace) -> tuple[list[Constraint], list[dict[str, Any]]]:
    budgets, described = [], []
    for path, budget_ms in zip(options.table, options.budget_ms, strict=True):
        costs, estimator = table_costs(path, space)
        table = estimator.table
        budgets.append(latency_budget(_latency_of(estimator), budget_ms, costs))
        dtype, delegate = table.configuration.dtype, table.configuration.delegate
        if options.score_dtype == "int8" and dtype != "int8":
            raise InputError(
                f"{path} is for {dtype} and --score-dtype is int8: make a table for int8 with "
                f"mnas profile --space {space.name} --dtype int8"
            )
        described.append({"sha256": table.sha256, "budget_ms": budget_ms, "dtype": dtype, "delegate": delegate})
    return budgets, described


def _latency_of(estimator: LatencyEstimator) -> Measure:
    return lambda architecture: estimator.predict(architecture).latency_ms


def _limits(options: SearchOptions, tables: Sequence[dict[str, Any]]) -> list[Constraint]:
    """Limits for the tables' data types and delegates; float32 with XNNPACK where they are unknown."""
    from mnas.latency.importers.importer import UNKNOWN

    default = ("float32", "xnnpack")
    known = {default if table["dtype"] == UNKNOWN else (table["dtype"], table["delegate"]) for table in tables}
    ways = sorted(known or {default})
    limits = []
    if options.max_size_mb is not None:
        limits += [size_limit(options.max_size_mb, dtype=dtype) for dtype in sorted({dtype for dtype, _ in ways})]
    if options.max_memory_mb is not None:
        limits += [memory_limit(options.max_memory_mb, dtype=dtype, delegate=delegate) for dtype, delegate in ways]
    return limits


def make_retrainings(options: SearchOptions, finals: Objective) -> list[Objective]:
    """Return the finalists' objective with new seeds, to retrain both winners; empty if its evaluator has no seed."""
    if options.retrain_seeds < 2:
        return []
    seeds = range(options.seed + 1, options.seed + 1 + options.retrain_seeds)
    evaluators = [finals.evaluator.with_seed(seed) for seed in seeds]
    return [replace(finals, evaluator=evaluator) for evaluator in evaluators if evaluator is not None]


def rejection(
    strategy: str, evaluator: Evaluator, budgets: Sequence[Constraint], limits: Sequence[Constraint] = ()
) -> Feasible | None:
    """Return what a strategy's candidates must meet to be evaluated; None for nothing.

    Evaluations are precious, so candidates beyond a constraint are not evaluated. Predictions of a block library cost
    nothing, and there a policy also learns from candidates beyond a latency budget, which is in their reward: without
    them it does not learn where the budget is, and came to 98 % of the optimum instead of 99 % or more
    (docs/measured.md).
    """
    learns = evaluator.is_additive and strategy in POLICY_STRATEGIES
    constraints = [*(() if learns else budgets), *limits]
    return Feasibility(constraints) if constraints else None


def strategy_for(
    name: str,
    space: SearchSpace,
    evaluator: Evaluator,
    budgets: Sequence[Constraint],
    *,
    seed: int,
    feasible: Feasible | None,
) -> Strategy:
    """Make a strategy, with the evaluator's additive score if it works on one.

    With an additive score trials cost next to nothing, and policies learn by dual ascent.

    Raises:
        InputError: as `make_strategy`, or if the strategy needs an additive score and the evaluator has none.
    """
    own: dict[str, Any] = {}
    if name in SCORED_STRATEGIES and evaluator.is_additive:
        own["score"] = AdditiveScore(evaluator.additive_scores, priced(budgets))
    if name in POLICY_STRATEGIES and evaluator.is_additive:
        own["budgets_ms"] = [budget.limit for budget in budgets]
    return make_strategy(name, space, seed=seed, feasible=feasible, **own)
