"""From the options of `mnas search` to a search that is ready to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnas.errors import InputError
from mnas.reward import make_reward
from mnas.search.objective import Objective, Target
from mnas.search.run import Search
from mnas.space.files import load_space
from mnas.space.space import SearchSpace
from mnas.strategies.base import Accept, Strategy
from mnas.strategies.registry import STRATEGIES, make_strategy
from mnas.train.base import Evaluator

if TYPE_CHECKING:
    from mnas.train.data import Dataset
    from mnas.train.supernet import ArchitectureLearner, SupernetEvaluator

TRAINING_EVALUATORS = ("proxy", "supernet")
LEARNT_BEFOREHAND = ("differentiable", "tunas")  # strategies that learn while a supernet is trained
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
        evaluator: `proxy`, `supernet`, or `tabular:FILE`.
        reward: absolute, soft or hard.
        beta: the reward's weight or exponent; None for its own default.
        trials: how many candidates to judge.
        batch: how many of them between two updates of the strategy.
        finalists: how many of the best are trained longer.
        proxy_steps: training steps of one candidate.
        proxy_batch: images in such a step.
        supernet_steps: training steps of the supernet.
        supernet_batch: images in such a step.
        supernet_sampling: which paths such a step trains: uniform, fair or sandwich.
        supernet_paths: how many; 3 or more for the sandwich rule.
        inherit: whether finalists start from their weights in the supernet.
        final_steps: training steps of a finalist.
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
    supernet_steps: int = 2000
    supernet_batch: int = 96
    supernet_sampling: str = "fair"
    supernet_paths: int = 1
    inherit: bool = False
    final_steps: int = 1000
    limit: int | None = None
    baseline: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse at once what can be seen to be wrong without loading anything."""
        if self.strategy not in STRATEGIES:
            raise InputError(f"no strategy is called {self.strategy!r}: expected one of {', '.join(STRATEGIES)}")
        if self.strategy in LEARNT_BEFOREHAND and self.evaluator != "supernet":
            raise InputError(
                f"the strategy {self.strategy} learns together with a supernet's weights and the evaluator is "
                f"{self.evaluator}: add --evaluator supernet"
            )
        name, _, path = self.evaluator.partition(":")
        if name == "tabular" and not path:
            raise InputError("--evaluator tabular needs its file: tabular:FILE.json")
        if name != "tabular" and self.evaluator not in TRAINING_EVALUATORS:
            known = f"{', '.join(TRAINING_EVALUATORS)} or tabular:FILE.json"
            raise InputError(f"no evaluator is called {self.evaluator!r}: expected {known}")
        if self.evaluator in TRAINING_EVALUATORS and self.data is None:
            known = "digits, fashion_mnist, cifar10, cifar100, or a folder"
            raise InputError(f"--evaluator {self.evaluator} needs --data: {known}")
        if self.inherit and self.evaluator != "supernet":
            raise InputError(
                f"--inherit takes weights from a supernet, the evaluator is {self.evaluator}: leave it out"
            )
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


def prepare(options: SearchOptions, folder: Path | None = None) -> Prepared:
    """Load what the options name, and put a search together.

    Args:
        options: what a person decided.
        folder: the study's, where an evaluator may keep what it trains; None keeps nothing.

    Raises:
        InputError: for anything that is wrong with them: before any work is done.
    """
    space = load_space(options.space)
    dataset = _dataset(options, space)
    if dataset is not None:
        space = space.with_data(num_classes=dataset.num_classes)
    targets, tables = _targets(options, space)
    evaluator, finals = _evaluators(options, space, dataset, targets, folder)
    reward = make_reward(options.reward, options.budget_ms, beta=options.beta)
    objective = Objective(evaluator, reward, targets)
    accept = objective.fits if targets else None
    with_baseline = options.baseline and options.strategy != "random"
    search = Search(
        _strategy(options, space, accept, evaluator),
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
        "data": None if dataset is None else _describe(dataset),
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
        target, sha256 = _target(path, budget_ms, space)
        targets.append(target)
        described.append({"sha256": sha256, "budget_ms": budget_ms})
    return targets, described


def _target(path: str, budget_ms: float, space: SearchSpace) -> tuple[Target, str]:
    from mnas.latency.estimator import LatencyEstimator
    from mnas.latency.table import LatencyTable

    table = LatencyTable.load(path)
    if table.resolution != space.resolution:
        raise InputError(
            f"{path} is for networks of {table.resolution} px ({table.space}) and {space.name} has "
            f"{space.resolution} px: make a table with mnas profile --space {space.name}"
        )
    estimator = LatencyEstimator(table)
    # The costs of the whole space are worked out here, so a key that the table lacks is found before any work.
    target = Target(lambda architecture: estimator.predict(architecture).latency_ms, budget_ms, estimator.costs(space))
    return target, table.sha256


def _dataset(options: SearchOptions, space: SearchSpace) -> Dataset | None:
    """What the evaluator trains on; None if it does not train."""
    if options.data is None or options.evaluator not in TRAINING_EVALUATORS:
        return None
    from mnas.train.data import load_dataset

    return load_dataset(options.data, resolution=space.resolution, seed=options.seed, limit=options.limit)


def _describe(dataset: Dataset) -> dict[str, Any]:
    return {"name": dataset.name, "classes": dataset.num_classes, "fingerprint": dataset.fingerprint}


def _evaluators(
    options: SearchOptions, space: SearchSpace, dataset: Dataset | None, targets: list[Target], folder: Path | None
) -> tuple[Evaluator, Evaluator | None]:
    """The evaluator, and that of finalists."""
    name, _, path = options.evaluator.partition(":")
    if name == "tabular":
        from mnas.train.tabular import TabularEvaluator

        return TabularEvaluator(path), None
    if dataset is None:
        raise InputError(f"the evaluator {name} needs data")
    from mnas.train.proxy import ProxyEvaluator, ProxyRecipe

    recipe = ProxyRecipe(steps=options.proxy_steps, batch_size=options.proxy_batch, seed=options.seed)
    proxy = ProxyEvaluator(dataset, recipe, max_validation=PROXY_VALIDATION)
    if name == "proxy":
        return proxy, proxy.with_steps(options.final_steps)
    supernet = _supernet(options, space, dataset, targets, folder)
    return supernet, proxy.with_steps(options.final_steps, initial=supernet.inherit if options.inherit else None)


def _supernet(
    options: SearchOptions, space: SearchSpace, dataset: Dataset, targets: list[Target], folder: Path | None
) -> SupernetEvaluator:
    from mnas.train.supernet import SupernetEvaluator
    from mnas.train.supernet_recipe import SupernetRecipe

    recipe = SupernetRecipe(
        steps=options.supernet_steps,
        batch_size=options.supernet_batch,
        num_paths=options.supernet_paths,
        sampling=options.supernet_sampling,
        seed=options.seed,
    )
    return SupernetEvaluator(
        space,
        dataset,
        recipe,
        checkpoint=None if folder is None else folder / "supernet.npz",
        max_validation=PROXY_VALIDATION,
        learner=_learner(options, space, dataset, targets),
    )


def _learner(
    options: SearchOptions, space: SearchSpace, dataset: Dataset, targets: list[Target]
) -> ArchitectureLearner | None:
    """What learns an architecture while the supernet is trained, on the other half of the training images."""
    other_half = dataset.train.take(slice(len(dataset.train) // 2, None))
    priced = [(target.costs, target.budget_ms) for target in targets if target.costs is not None]
    if options.strategy == "differentiable":
        from mnas.train.relaxation import RelaxationLearner, RelaxationRecipe

        relaxed = RelaxationRecipe(steps=options.supernet_steps, seed=options.seed)
        return RelaxationLearner(space, other_half, relaxed, priced)
    if options.strategy == "tunas":
        from mnas.train.tunas import TunasLearner, TunasRecipe

        recipe = TunasRecipe(steps=options.supernet_steps, seed=options.seed)
        return TunasLearner(space, other_half, recipe, priced)
    return None


def _strategy(options: SearchOptions, space: SearchSpace, accept: Accept | None, evaluator: Evaluator) -> Strategy:
    knobs: dict[str, Any] = {}
    if options.strategy in LEARNT_BEFOREHAND:
        from mnas.train.supernet import SupernetEvaluator

        if isinstance(evaluator, SupernetEvaluator):
            knobs["policy"] = evaluator.policy
    return make_strategy(options.strategy, space, seed=options.seed, accept=accept, **knobs)
