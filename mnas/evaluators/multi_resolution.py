"""Accuracies of networks of different sizes and resolutions: short trainings, or a user's own evaluator."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from mnas.arch.spec import Architecture
from mnas.data.dataset import Dataset, load_dataset
from mnas.errors import MnasError
from mnas.evaluators.base import Evaluator
from mnas.evaluators.proxy import ProxyEvaluator, ProxyRecipe


class Scorer(Protocol):
    """Returns the accuracy of a network."""

    def __call__(self, architecture: Architecture) -> float:
        """Return the accuracy, 0 to 1.

        Raises:
            MnasError: if this network cannot be evaluated.
        """

    def describe(self) -> dict[str, Any]:
        """Return its kind and settings as plain data."""


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
    """

    data: str
    recipe: ProxyRecipe
    limit: int | None = None
    _loaded: dict[int, Dataset] = field(default_factory=dict, repr=False)

    def dataset(self, resolution: int) -> Dataset:
        """Load the data at one resolution; the last one is cached.

        Raises:
            InputError: as `load_dataset`.
        """
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
        return ProxyEvaluator(dataset, self.recipe).accuracy(replace(architecture, num_classes=dataset.num_classes))

    def describe(self) -> dict[str, Any]:
        """See `Scorer`."""
        return {"kind": "proxy", "data": self.data, "limit": self.limit, **asdict(self.recipe)}
