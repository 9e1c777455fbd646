"""Accuracies of networks of different sizes and resolutions: short trainings, or a user's own evaluator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mnas.arch.spec import Architecture
from mnas.data.dataset import Dataset, load_dataset
from mnas.errors import InputError, MnasError
from mnas.evaluators.base import Evaluator
from mnas.evaluators.proxy import ProxyEvaluator, ProxyRecipe
from mnas.evaluators.registry import GROUP
from mnas.evaluators.user_defined import user_defined_evaluator
from mnas.scaling.members import Scorer
from mnas.system.native_output import load_tensorflow
from mnas.system.plugins import is_user_defined
from mnas.train.pretrained import Pretrained


@dataclass(frozen=True)
class UserDefinedScorer:
    """A user's own evaluator, see `mnas.evaluators.user_defined.user_defined_evaluator`."""

    evaluator: Evaluator

    def __call__(self, architecture: Architecture) -> float:
        """See `Scorer`."""
        try:
            accuracy = float(self.evaluator.accuracy(architecture))
        except MnasError:
            raise
        except Exception as error:  # a user's function may raise anything
            raise MnasError(f"the evaluator failed: {type(error).__name__}: {error}") from error
        if not 0 <= accuracy <= 1:
            raise MnasError(f"the evaluator gave {accuracy:g}: expected an accuracy between 0 and 1")
        return accuracy

    def describe(self) -> dict[str, Any]:
        """See `Scorer`."""
        return {"kind": "own", **self.evaluator.describe()}


@dataclass
class ScaledProxy:
    """Trains each network for few steps at its own resolution and scores it on the validation split.

    Attributes:
        data: as `mnas.data.dataset.load_dataset` takes it.
        recipe: the same short training for every network.
        limit: maximum number of training images.
        start: from a network to its initial weights; None for random ones.
        origin: a hash of the weights that those are made of.
    """

    data: str
    recipe: ProxyRecipe
    limit: int | None = None
    start: Callable[[Architecture], Pretrained] | None = None
    origin: str | None = None
    _loaded: dict[int, Dataset] = field(default_factory=dict, repr=False)

    def dataset(self, resolution: int) -> Dataset:
        """Load the data at one resolution; the last one is cached.

        Raises:
            InputError: as `load_dataset`.
        """
        if not self._loaded:
            load_tensorflow()
        if resolution not in self._loaded:
            loaded = load_dataset(self.data, resolution=resolution, seed=self.recipe.seed, limit=self.limit)
            self._loaded = {resolution: loaded}
        return self._loaded[resolution]

    def __call__(self, architecture: Architecture) -> float:
        """Accuracy of one network, 0 to 1, with its classifier set to the data's classes.

        Raises:
            MnasError: if the training diverges.
        """
        dataset = self.dataset(architecture.resolution)
        start = self.start and self.start(architecture)
        evaluator = ProxyEvaluator(dataset, self.recipe, start=start)
        return evaluator.accuracy(replace(architecture, num_classes=dataset.num_classes))

    def starting_from(self, start: Callable[[Architecture], Pretrained], origin: str) -> ScaledProxy:
        """See `mnas.scaling.members.TrainingScorer`."""
        return replace(self, start=start, origin=origin)

    def describe(self) -> dict[str, Any]:
        """See `Scorer`."""
        start = {} if self.origin is None else {"weights": self.origin}
        return {"kind": "proxy", "data": self.data, "limit": self.limit, **asdict(self.recipe), **start}


def make_scorer(
    evaluator: str = "proxy",
    *,
    data: str | None = None,
    steps: int = 200,
    batch: int = 64,
    max_train_images: int | None = None,
    seed: int = 0,
) -> Scorer | None:
    """Return the scorer for networks of any size and resolution, as `mnas.scale` takes it.

    Args:
        evaluator: `proxy` (short trainings), `python:MODULE:FUNCTION`, or the entry point of an installed evaluator.
        data: what the proxy trains on, as `mnas.data.dataset.load_dataset` takes it; None for no scorer.
        steps: training steps of one network.
        batch: images in a step.
        max_train_images: the maximum number of training images; None for all.
        seed: of the short trainings.

    Raises:
        InputError: for an evaluator that cannot score networks of any size.
    """
    if is_user_defined(evaluator, GROUP):
        return UserDefinedScorer(user_defined_evaluator(evaluator))
    if evaluator != "proxy":
        raise InputError(
            f"--evaluator is {evaluator!r}: expected proxy or python:MODULE:FUNCTION; predictors and accuracy "
            "tables do not know scaled networks"
        )
    recipe = ProxyRecipe(steps=steps, batch_size=batch, seed=seed)
    return None if data is None else ScaledProxy(data, recipe, max_train_images)
