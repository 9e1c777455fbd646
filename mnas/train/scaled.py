"""Proxy accuracies of networks of different resolutions: the data is loaded anew for each of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from mnas.arch.spec import Architecture
from mnas.train.data import Dataset, load_dataset
from mnas.train.proxy import ProxyEvaluator, ProxyRecipe


@dataclass
class ScaledProxy:
    """Trains each network shortly at its own resolution and scores it on the validation split.

    Attributes:
        data: as `mnas.train.data.load_dataset` takes it.
        recipe: the same short training for every network.
        limit: use so many training images only.
    """

    data: str
    recipe: ProxyRecipe
    limit: int | None = None
    _loaded: dict[int, Dataset] = field(default_factory=dict, repr=False)

    def dataset(self, resolution: int) -> Dataset:
        """The data at one resolution; the last one is kept.

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
        """What was evaluated how, as plain data."""
        recipe = {name: getattr(self.recipe, name) for name in ProxyRecipe.__slots__}
        return {"kind": "proxy", "data": self.data, "limit": self.limit, **recipe}
