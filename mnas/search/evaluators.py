"""Which evaluator a search's options name, and that of its finalists."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnas.arch.spec import Architecture
from mnas.checks import check_choice, check_number
from mnas.errors import InputError
from mnas.plugins import is_own
from mnas.search.constraints import Constraint
from mnas.space.space import SearchSpace
from mnas.train.base import Evaluator
from mnas.train.own import GROUP as OWN_EVALUATORS
from mnas.train.own import own_evaluator

if TYPE_CHECKING:
    from mnas.search.setup import SearchOptions
    from mnas.train.data import Dataset
    from mnas.train.proxy import ProxyEvaluator
    from mnas.train.supernet import ArchitectureLearner, SupernetEvaluator

TRAINING_EVALUATORS = ("proxy", "supernet", "predictor")
PREPARED = {  # what is trained once, and then scores every candidate in the same short time
    "supernet": "a supernet is trained",
    "predictor": "a predictor is taught",
}
LEARNT_BEFOREHAND = ("differentiable", "tunas")  # strategies that learn while a supernet is trained
PROXY_VALIDATION = 2000  # images that score a candidate; finalists are scored on all that are set aside


def check_evaluator(options: SearchOptions) -> None:
    """Refuse an evaluator that there is not, or that does not go with the other options, without making one.

    Raises:
        InputError: it says what is expected.
    """
    name, _, path = options.evaluator.partition(":")
    if name == "tabular" and not path:
        raise InputError("--evaluator tabular needs its file: tabular:FILE.json")
    trains = options.evaluator in TRAINING_EVALUATORS
    if name != "tabular" and not trains and not is_own(options.evaluator, OWN_EVALUATORS):
        known = ", ".join(TRAINING_EVALUATORS)
        raise InputError(
            f"no evaluator is called {options.evaluator!r}: expected {known}, tabular:FILE.json or "
            "python:MODULE:FUNCTION"
        )
    if trains and options.data is None:
        known = "digits, fashion_mnist, cifar10, cifar100, or a folder"
        raise InputError(f"--evaluator {options.evaluator} needs --data: {known}")
    if options.evaluation_minutes is not None:
        check_number("minutes of an evaluation", options.evaluation_minutes, 1e-3, 1e6)
    check_choice("--score-dtype", options.score_dtype, ("float32", "int8"))
    if options.score_dtype == "int8" and not trains:
        raise InputError(f"--score-dtype int8 quantises trained finalists: the evaluator {name} has none")
    if options.evaluator in PREPARED and options.evaluation_minutes is not None:
        raise InputError(
            f"a {options.evaluator} scores every candidate in the same short time: leave out --evaluation-minutes"
        )
    if options.evaluator == "supernet":
        _check_learnt_reward(options)
        return
    if options.strategy in LEARNT_BEFOREHAND:
        raise InputError(
            f"the strategy {options.strategy} learns together with a supernet's weights and the evaluator is "
            f"{options.evaluator}: add --evaluator supernet"
        )
    if options.inherit:
        raise InputError(f"--inherit takes weights from a supernet, the evaluator is {options.evaluator}: leave it out")


def _check_learnt_reward(options: SearchOptions) -> None:
    """Refuse a reward that a strategy which learns beforehand would not learn from.

    Raises:
        InputError: it says what the strategy learns from instead.
    """
    if options.strategy not in LEARNT_BEFOREHAND:
        return
    if options.reward in ("soft", "hard"):
        learns = "the absolute reward" if options.strategy == "tunas" else "a loss of its own"
        raise InputError(
            f"--reward is {options.reward} and the strategy {options.strategy} learns from {learns} while the supernet "
            "is trained: expected absolute; leave --reward out, or take another --strategy"
        )
    if options.strategy == "differentiable" and options.beta is not None:
        raise InputError(
            f"--beta is {options.beta:g} and the strategy differentiable weighs latency against its own loss, not "
            "against a reward: leave --beta out, or take --strategy tunas"
        )


def load_data(options: SearchOptions, space: SearchSpace) -> Dataset | None:
    """What the evaluator trains on; None if it does not train."""
    if options.data is None or options.evaluator not in TRAINING_EVALUATORS:
        return None
    from mnas.train.data import load_dataset

    return load_dataset(options.data, resolution=space.resolution, seed=options.seed, limit=options.limit)


def make_evaluators(
    options: SearchOptions,
    space: SearchSpace,
    dataset: Dataset | None,
    budgets: list[Constraint],
    folder: Path | None = None,
    *,
    accept: Callable[[Architecture], bool] | None = None,
) -> tuple[Evaluator, Evaluator | None]:
    """The evaluator, and that of finalists: None lets the search's own figures decide.

    Args:
        options: what a person decided.
        space: with the data's number of classes.
        dataset: as `load_data` gives it.
        budgets: what differentiable search weighs against accuracy.
        folder: where a supernet or a predictor's samples are kept; None keeps them in memory.
        accept: whether a candidate is within the budgets: a predictor learns from those that are.

    Raises:
        InputError: for whatever is wrong with the options.
    """
    name, _, path = options.evaluator.partition(":")
    if name == "tabular":
        from mnas.train.tabular import TabularEvaluator

        return TabularEvaluator(path), None
    if is_own(options.evaluator, OWN_EVALUATORS):
        return own_evaluator(options.evaluator), None
    if dataset is None:
        raise InputError(f"the evaluator {name} needs data")
    from mnas.train.proxy import ProxyEvaluator, ProxyRecipe

    recipe = ProxyRecipe(
        steps=options.proxy_steps, batch_size=options.proxy_batch, seed=options.seed, rungs=options.rungs
    )
    proxy = ProxyEvaluator(dataset, recipe, max_validation=PROXY_VALIDATION)
    if name == "proxy":
        return proxy, _finals(options, proxy.with_steps(options.final_steps))
    if name == "predictor":
        from mnas.train.predictor import PredictorEvaluator, PredictorRecipe

        samples = PredictorRecipe(samples=options.predictor_samples, seed=options.seed)
        file = None if folder is None else folder / "predictor.json"
        predictor = PredictorEvaluator(space, proxy, samples, accept=accept, file=file)
        return predictor, _finals(options, proxy.with_steps(options.final_steps))
    supernet = _supernet(options, space, dataset, budgets, folder)
    initial = supernet.inherit if options.inherit else None
    return supernet, _finals(options, proxy.with_steps(options.final_steps, initial=initial))


def _finals(options: SearchOptions, proxy: ProxyEvaluator) -> Evaluator:
    """What finalists are scored as: the network in floats, or the integer file that it becomes."""
    if options.score_dtype == "float32":
        return proxy
    from mnas.train.int8 import Int8Evaluator

    return Int8Evaluator(proxy)


def _supernet(
    options: SearchOptions, space: SearchSpace, dataset: Dataset, budgets: list[Constraint], folder: Path | None
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
        checkpoint=None if folder is None else folder / "supernet.safetensors",
        max_validation=PROXY_VALIDATION,
        learner=_learner(options, space, dataset, budgets),
    )


def _learner(
    options: SearchOptions, space: SearchSpace, dataset: Dataset, budgets: list[Constraint]
) -> ArchitectureLearner | None:
    """What learns an architecture while the supernet is trained, on the other half of the training images."""
    other_half = dataset.train.take(slice(len(dataset.train) // 2, None))
    priced = [(budget.costs, budget.limit) for budget in budgets if budget.costs is not None]
    if options.strategy == "differentiable":
        from mnas.train.relaxation import RelaxationLearner, RelaxationRecipe

        relaxed = RelaxationRecipe(steps=options.supernet_steps, seed=options.seed)
        return RelaxationLearner(space, other_half, relaxed, priced)
    if options.strategy == "tunas":
        from mnas.train.tunas import TunasLearner, TunasRecipe

        weight: dict[str, Any] = {} if options.beta is None else {"beta": options.beta}
        recipe = TunasRecipe(steps=options.supernet_steps, seed=options.seed, **weight)
        return TunasLearner(space, other_half, recipe, priced)
    return None
