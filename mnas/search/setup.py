"""From the options of `mnas search` to a search that is ready to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mnas.arch.spec import check_choice
from mnas.errors import InputError
from mnas.reward import make_reward
from mnas.search.objective import Objective, Target
from mnas.search.run import Search
from mnas.space.files import load_space
from mnas.space.space import SearchSpace
from mnas.strategies.registry import STRATEGIES, make_strategy
from mnas.train.base import Evaluator

PROXY_VALIDATION = 2000  # images that score a candidate; finalists are scored on all that are set aside


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """What a person decides about a search; plain data, so that a study can keep it.

    Attributes:
        space: a shipped space or a TOML file.
        table: latency tables, as paths; none searches for accuracy alone.
        budget_ms: one a table.
        data: what the proxy trains on: digits, fashion_mnist, cifar10, cifar100, or a folder.
        strategy: one of `mnas.strategies.registry.STRATEGIES`.
        evaluator: `proxy`, or `tabular:FILE`.
        reward: absolute, soft or hard.
        beta: the reward's weight or exponent; None for its own default.
        trials: how many candidates to judge.
        batch: how many of them between two updates of the strategy.
        finalists: how many of the best are trained longer.
        proxy_steps: training steps of one candidate.
        proxy_batch: images in such a step.
        final_steps: training steps of a finalist.
        score_dtype: float32, or int8: finalists are quantised and scored as the integer files they would become.
        limit: use so many training images only; None for all.
        baseline: whether random search runs as well, at equal cost.
        seed: of everything that chance decides.
    """

    space: str = "mnasnet-32"
    table: Sequence[str] = ()
    budget_ms: Sequence[float] = ()
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
    final_steps: int = 1000
    score_dtype: str = "float32"
    limit: int | None = None
    baseline: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse at once what can be seen to be wrong without loading anything."""
        if self.strategy not in STRATEGIES:
            raise InputError(f"no strategy is called {self.strategy!r}: expected one of {', '.join(STRATEGIES)}")
        name, _, path = self.evaluator.partition(":")
        if name == "tabular" and not path:
            raise InputError("--evaluator tabular needs its file: tabular:FILE.json")
        if name != "tabular" and self.evaluator != "proxy":
            raise InputError(f"no evaluator is called {self.evaluator!r}: expected proxy or tabular:FILE.json")
        if self.evaluator == "proxy" and self.data is None:
            known = "digits, fashion_mnist, cifar10, cifar100, or a folder"
            raise InputError(f"--evaluator proxy needs --data: {known}")
        check_choice("--score-dtype", self.score_dtype, ("float32", "int8"))
        if self.score_dtype == "int8" and name == "tabular":
            raise InputError("--score-dtype int8 quantises trained finalists: a tabular evaluator has none")
        if len(self.table) != len(self.budget_ms):
            raise InputError(
                f"{len(self.table)} latency tables and {len(self.budget_ms)} budgets: "
                "expected one --budget-ms for each --table"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as a study keeps it."""
        return asdict(self)


@dataclass(frozen=True)
class Prepared:
    """A search, and the configuration that defines it in `study.json`."""

    search: Search
    config: dict[str, Any]
    space: SearchSpace


def prepare(options: SearchOptions) -> Prepared:
    """Load what the options name, and put a search together.

    Raises:
        InputError: for anything that is wrong with them: before any work is done.
    """
    space = load_space(options.space)
    evaluator, finals, data, space = _evaluators(options, space)
    targets, tables = _targets(options, space)
    reward = make_reward(options.reward, options.budget_ms, beta=options.beta)
    objective = Objective(evaluator, reward, targets)
    accept = objective.fits if targets else None
    with_baseline = options.baseline and options.strategy != "random"
    search = Search(
        make_strategy(options.strategy, space, seed=options.seed, accept=accept),
        objective,
        options.trials,
        options.batch,
        make_strategy("random", space, seed=options.seed, accept=accept) if with_baseline else None,
        Objective(finals, reward, targets) if finals else None,
        options.finalists,
    )
    config = {
        "space": space.to_dict(),
        "space_fingerprint": space.fingerprint,
        "tables": tables,
        "reward": {"name": options.reward, "beta": options.beta},
        "data": data,
        "evaluator": evaluator.describe(),
        "final_evaluator": finals.describe() if finals else None,
        "strategy": {"name": options.strategy},
        "seed": options.seed,
        "batch_size": options.batch,
    }
    return Prepared(search, config, space)


def _targets(options: SearchOptions, space: SearchSpace) -> tuple[list[Target], list[dict[str, Any]]]:
    targets, described = [], []
    for path, budget_ms in zip(options.table, options.budget_ms, strict=True):
        target, sha256 = _target(path, budget_ms, space, options.score_dtype)
        targets.append(target)
        described.append({"sha256": sha256, "budget_ms": budget_ms})
    return targets, described


def _target(path: str, budget_ms: float, space: SearchSpace, dtype: str) -> tuple[Target, str]:
    from mnas.latency.estimator import LatencyEstimator
    from mnas.latency.table import LatencyTable

    table = LatencyTable.load(path)
    if table.resolution != space.resolution:
        raise InputError(
            f"{path} is for networks of {table.resolution} px ({table.space}) and {space.name} has "
            f"{space.resolution} px: make a table with mnas profile --space {space.name}"
        )
    if dtype == "int8" and table.configuration.dtype != "int8":
        raise InputError(
            f"{path} is for {table.configuration.dtype} and --score-dtype is int8: make a table for int8 with "
            f"mnas profile --space {space.name} --dtype int8"
        )
    estimator = LatencyEstimator(table)
    # The costs of the whole space are worked out here, so a key that the table lacks is found before any work.
    target = Target(lambda architecture: estimator.predict(architecture).latency_ms, budget_ms, estimator.costs(space))
    return target, table.sha256


def _evaluators(
    options: SearchOptions, space: SearchSpace
) -> tuple[Evaluator, Evaluator | None, dict[str, Any] | None, SearchSpace]:
    """The evaluator, that of finalists, what they train on, and the space with the data's number of classes."""
    name, _, path = options.evaluator.partition(":")
    if name == "tabular":
        from mnas.train.tabular import TabularEvaluator

        return TabularEvaluator(path), None, None, space
    if options.data is None:
        raise InputError("the proxy evaluator needs data")
    from mnas.train.data import load_dataset
    from mnas.train.proxy import ProxyEvaluator, ProxyRecipe

    dataset = load_dataset(options.data, resolution=space.resolution, seed=options.seed, limit=options.limit)
    recipe = ProxyRecipe(steps=options.proxy_steps, batch_size=options.proxy_batch, seed=options.seed)
    evaluator = ProxyEvaluator(dataset, recipe, max_validation=PROXY_VALIDATION)
    described = {"name": dataset.name, "classes": len(dataset.class_names), "fingerprint": dataset.fingerprint}
    finals: Evaluator = evaluator.with_steps(options.final_steps)
    if options.score_dtype == "int8":
        from mnas.train.int8 import Int8Evaluator

        finals = Int8Evaluator(evaluator.with_steps(options.final_steps))
    return evaluator, finals, described, space.with_data(num_classes=len(dataset.class_names))
