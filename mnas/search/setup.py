"""From the options of `mnas search` to a search that is ready to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnas.errors import InputError
from mnas.reward import make_reward
from mnas.search.constraints import Constraint, Measure, is_feasible, latency_budget, memory_limit, size_limit
from mnas.search.evaluators import (
    LEARNT_BEFOREHAND,
    TRAINING_EVALUATORS,
    check_evaluator,
    load_data,
    make_evaluators,
)
from mnas.search.objective import Objective
from mnas.search.run import Search
from mnas.search.study import Study
from mnas.search.typed import check_types
from mnas.space.files import load_space
from mnas.space.space import SearchSpace
from mnas.strategies.base import Accept, Strategy
from mnas.strategies.registry import check_strategy, make_strategy
from mnas.train.base import Evaluator

if TYPE_CHECKING:
    from mnas.latency.estimator import LatencyCosts, LatencyEstimator


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """What a person decides about a search; plain data, so that a study can keep it.

    Attributes:
        space: a shipped space or a TOML file.
        table: latency tables, as paths; none searches for accuracy alone.
        budget_ms: one a table.
        max_size_mb: the most that the `.tflite` file may take; None for no limit.
        max_memory_mb: the most memory that it may take to run; None for no limit.
        data: what the proxy trains on: digits, fashion_mnist, cifar10, cifar100, or a folder.
        strategy: as `mnas.strategies.registry.make_strategy` takes it.
        evaluator: `proxy`, `supernet`, `predictor`, `tabular:FILE`, or a user's own, as
            `mnas.train.own.own_evaluator` takes it.
        reward: absolute, soft or hard.
        beta: the reward's weight or exponent; None for its own default.
        trials: how many candidates to judge.
        batch: how many of them between two updates of the strategy.
        finalists: how many of the best are trained longer.
        proxy_steps: training steps of one candidate.
        proxy_batch: images in such a step.
        rungs: how often a candidate is scored in its training, so that a hopeless one is stopped early; 1 is never.
        evaluation_minutes: the most that judging one candidate may take; None for any time.
        supernet_steps: training steps of the supernet.
        supernet_batch: images in such a step.
        supernet_sampling: which paths such a step trains: uniform, fair or sandwich.
        supernet_paths: how many; 3 or more for the sandwich rule.
        predictor_samples: architectures trained as the proxy would, from which all others are predicted.
        inherit: whether finalists start from their weights in the supernet.
        final_steps: training steps of a finalist.
        score_dtype: float32, or int8: finalists are quantised and scored as the integer files they would become.
        limit: use so many training images only; None for all.
        verdict_seeds: how often both winners are trained again, for the verdict on random search; below 2 is never.
        baseline: whether random search runs as well, at equal cost.
        seed: of everything that chance decides.
        threads: that evaluations and strategy compute with, each; 0 for all CPUs. Part of the search, because sums that
            are split among other threads are not equal to the last bit.
    """

    space: str = "mnasnet-32"
    table: Sequence[str] = ()
    budget_ms: Sequence[float] = ()
    max_size_mb: float | None = None
    max_memory_mb: float | None = None
    data: str | None = None
    strategy: str = "reinforce"
    evaluator: str = "proxy"
    reward: str = "absolute"
    beta: float | None = None
    trials: int = 100
    batch: int = 10
    finalists: int = 3
    proxy_steps: int = 200
    proxy_batch: int = 64
    rungs: int = 1
    evaluation_minutes: float | None = None
    supernet_steps: int = 3000
    supernet_batch: int = 32
    supernet_sampling: str = "fair"
    supernet_paths: int = 1
    predictor_samples: int = 32
    inherit: bool = False
    final_steps: int = 1000
    score_dtype: str = "float32"
    limit: int | None = None
    verdict_seeds: int = 3
    baseline: bool = True
    seed: int = 0
    threads: int = 0

    def __post_init__(self) -> None:
        """Refuse at once what can be seen to be wrong without loading anything."""
        check_types(self)
        check_strategy(self.strategy)
        check_evaluator(self)
        if len(self.table) != len(self.budget_ms):
            raise InputError(
                f"{len(self.table)} latency tables and {len(self.budget_ms)} budgets: "
                "expected one --budget-ms for each --table"
            )

    @property
    def trains(self) -> bool:
        """Whether the evaluator trains networks here."""
        return self.evaluator in TRAINING_EVALUATORS

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as a study keeps it."""
        return asdict(self)


def options_of(study: Study) -> SearchOptions:
    """The options that a study was made with.

    Raises:
        InputError: if it does not say them, or they cannot be.
    """
    known = {name: value for name, value in study.arguments.items() if name in SearchOptions.__dataclass_fields__}
    if not known:
        raise InputError(f"{study.folder}/study.json does not say with which options it was made")
    return SearchOptions(**known)


@dataclass(frozen=True)
class Prepared:
    """A search, and the configuration that defines it in `study.json`."""

    search: Search
    config: dict[str, Any]
    space: SearchSpace


def prepare(options: SearchOptions, folder: Path | None = None) -> Prepared:
    """Load what the options name, and put a search together.

    Args:
        options: what a person decided.
        folder: the study's, where an evaluator may keep what it trains; None keeps nothing.

    Raises:
        InputError: for anything that is wrong with them: before any work is done.
    """
    space = load_space(options.space)
    dataset = load_data(options, space)
    if dataset is not None:
        space = space.with_data(num_classes=dataset.num_classes)
    budgets, tables = _budgets(options, space)
    limits = _limits(options, tables)
    constraints = [*budgets, *limits]
    accept = partial(is_feasible, constraints) if constraints else None
    evaluator, finals = make_evaluators(options, space, dataset, budgets, folder, accept=accept)
    reward = make_reward(options.reward, beta=options.beta)
    objective = Objective(evaluator, reward, budgets, limits)
    with_baseline = options.baseline and options.strategy != "random"
    search = Search(
        _strategy(options, space, accept, evaluator),
        objective,
        options.trials,
        options.batch,
        make_strategy("random", space, seed=options.seed, accept=accept) if with_baseline else None,
        Objective(finals, reward, budgets, limits) if finals else None,
        options.finalists,
        repeats(options, Objective(finals, reward, budgets, limits)) if with_baseline and finals else [],
    )
    config = {
        "space": space.to_dict(),
        "space_fingerprint": space.fingerprint,
        "tables": tables,
        "limits_mb": {limit.name: limit.limit for limit in limits},
        "reward": {"name": options.reward, "beta": options.beta},
        "data": None if dataset is None else dataset.describe(),
        "evaluator": evaluator.describe(),
        "final_evaluator": finals.describe() if finals else None,
        "strategy": {"name": options.strategy},
        "seed": options.seed,
        "threads": options.threads,
        "batch_size": options.batch,
    }
    return Prepared(search, config, space)


def _budgets(options: SearchOptions, space: SearchSpace) -> tuple[list[Constraint], list[dict[str, Any]]]:
    budgets, described = [], []
    for path, budget_ms in zip(options.table, options.budget_ms, strict=True):
        costs, estimator = table_costs(path, space)
        table = estimator.table
        budgets.append(latency_budget(_latency_of(estimator), budget_ms, costs))
        where = table.configuration
        if options.score_dtype == "int8" and where.dtype != "int8":
            raise InputError(
                f"{path} is for {where.dtype} and --score-dtype is int8: make a table for int8 with "
                f"mnas profile --space {space.name} --dtype int8"
            )
        described.append(
            {"sha256": table.sha256, "budget_ms": budget_ms, "dtype": where.dtype, "delegate": where.delegate}
        )
    return budgets, described


def _latency_of(estimator: LatencyEstimator) -> Measure:
    return lambda architecture: estimator.predict(architecture).latency_ms


def table_costs(path: str, space: SearchSpace) -> tuple[LatencyCosts, LatencyEstimator]:
    """A space's latencies by a table, for whole batches and for single networks.

    Raises:
        InputError: if the table is for another resolution, or lacks a key of the space: found before any work.
    """
    from mnas.latency.estimator import LatencyEstimator
    from mnas.latency.table import LatencyTable

    table = LatencyTable.load(path)
    if table.resolution != space.resolution:
        raise InputError(
            f"{path} is for networks of {table.resolution} px ({table.space}) and {space.name} has "
            f"{space.resolution} px: make a table with mnas profile --space {space.name}"
        )
    estimator = LatencyEstimator(table)
    return estimator.costs(space), estimator


def _limits(options: SearchOptions, tables: Sequence[dict[str, Any]]) -> list[Constraint]:
    """Limits for what the tables' devices run; float32 with XNNPACK without a table, or by one that does not say."""
    from mnas.latency.importers.importer import UNKNOWN

    usual = ("float32", "xnnpack")
    said = {usual if table["dtype"] == UNKNOWN else (table["dtype"], table["delegate"]) for table in tables}
    ways = sorted(said or {usual})
    limits = []
    if options.max_size_mb is not None:
        limits += [size_limit(options.max_size_mb, dtype=dtype) for dtype in sorted({dtype for dtype, _ in ways})]
    if options.max_memory_mb is not None:
        limits += [memory_limit(options.max_memory_mb, dtype=dtype, delegate=delegate) for dtype, delegate in ways]
    return limits


def repeats(options: SearchOptions, finals: Objective) -> list[Objective]:
    """The finalists' objective with fresh seeds, for the verdict; none where its evaluator has no seed."""
    from mnas.train.int8 import Int8Evaluator
    from mnas.train.proxy import ProxyEvaluator

    evaluator = finals.evaluator
    if options.verdict_seeds < 2 or not isinstance(evaluator, ProxyEvaluator | Int8Evaluator):
        return []
    seeds = range(options.seed + 1, options.seed + 1 + options.verdict_seeds)
    return [replace(finals, evaluator=evaluator.with_seed(seed)) for seed in seeds]


def _strategy(options: SearchOptions, space: SearchSpace, accept: Accept | None, evaluator: Evaluator) -> Strategy:
    knobs: dict[str, Any] = {}
    if options.strategy in LEARNT_BEFOREHAND:
        from mnas.train.supernet import SupernetEvaluator

        if isinstance(evaluator, SupernetEvaluator):
            knobs["policy"] = evaluator.policy
    return make_strategy(options.strategy, space, seed=options.seed, accept=accept, **knobs)
