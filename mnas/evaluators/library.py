"""The library evaluator: a candidate's accuracy predicted from its blocks' losses, without training it.

The best candidates are confirmed as stitched networks; finalists are fine-tuned from the library's weights, with the
teacher's logits as soft targets.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from mnas.arch.codec import architecture_fingerprint
from mnas.arch.spec import Architecture
from mnas.checks import Share, convert
from mnas.data.classes import with_classes
from mnas.data.dataset import DataSource, normalise
from mnas.errors import InputError, MnasError
from mnas.evaluators.base import Evaluator, OnProgress
from mnas.library.library import BlockLibrary, open_library
from mnas.library.predictor import AccuracyPredictor, fit_predictor, sample_networks
from mnas.system.files import is_document, read_json, set_aside, write_json

if TYPE_CHECKING:
    from mnas.data.dataset import Dataset
    from mnas.evaluators.registry import EvaluatorRequest
    from mnas.library.stitching import Stitcher
    from mnas.train.trainer import Progress

_LOGGER = logging.getLogger(__name__)
MAX_VALIDATION = 2000
_PREDICTOR = "predictor.json"
_MEASURED_STEPS = 3  # of a fine-tuning, to estimate how long it takes
_TEACHER_SHARE = 0.3  # of a step: the teacher's answers
_FORMAT, _VERSION = "mnas.library-predictor", 1


@dataclass(frozen=True)
class LibraryData:
    """A library and its images.

    Attributes:
        library: the library.
        source: the data that it was made from.
    """

    library: BlockLibrary
    source: DataSource

    def dataset(self, resolution: int) -> Dataset:
        """Return the data at one resolution of the library's space; loaded once.

        Raises:
            InputError: if they cannot be loaded, or are not the data that the library was made from.
        """
        if resolution not in self._loaded:
            network = f"the library {self.library.folder}"
            names = self.library.teacher.training["class_names"]
            found = with_classes(self.source.load(resolution), names, network=network)
            self._check(found, resolution)
            self._loaded[resolution] = found
        return self._loaded[resolution]

    def _check(self, found: Dataset, resolution: int) -> None:
        """Check that data are the library's: every pixel at the teacher's resolution, labels at others."""
        made_from, teacher = self.library.made_from["data"], self.library.teacher
        same = True
        if resolution == teacher.architecture.resolution:
            same = found.fingerprint == made_from["fingerprint"]
        elif "labels_sha256" in made_from:
            same = found.labels_sha256 == made_from["labels_sha256"]
        if not same:
            raise InputError(
                f"{self.source.name} is not the data that {self.library.folder} was made from ({made_from['name']}): "
                "images or split differ. Build a library for them, or pass the right --data"
            )

    @cached_property
    def _loaded(self) -> dict[int, Dataset]:
        return {}

    @cached_property
    def stitcher(self) -> Stitcher:
        """Puts networks together and scores them."""
        from mnas.library.stitching import Stitcher

        return Stitcher(self.library, self.dataset, max_validation=MAX_VALIDATION)


class LibraryEvaluator(Evaluator):
    """Predicts accuracies: a sum over the candidate's decisions.

    Args:
        data: the library and its images.
        num_networks: number of stitched networks that the prediction is calibrated on. They are kept in the library,
            so that the next search with it does not score them again.
        fine_tuning: evaluates finalists.
    """

    is_additive = True

    def __init__(self, data: LibraryData, *, num_networks: int = 40, fine_tuning: FineTuningEvaluator) -> None:
        self.data, self._num_networks, self._fine_tuning = data, num_networks, fine_tuning
        self._predictor: AccuracyPredictor | None = None

    def prepare(self, on_progress: OnProgress = lambda share, what: None) -> None:
        """Calibrate the prediction, or read its stitched networks from the library.

        Raises:
            InputError: if the data are not the library's, or it has a single network.
            MnasError: if a network cannot be scored.
        """
        if self._predictor is not None:
            return
        networks = sample_networks(self.data.library, self._num_networks, seed=0)
        accuracies = self._known(networks)
        if not accuracies:
            for number, indices in enumerate(networks, 1):
                architecture = self.data.library.space.decode(indices)
                accuracies.append(self.data.stitcher.score(architecture).accuracy)
                on_progress(number / len(networks), f"scoring stitched network {number} of {len(networks)}")
            self._write(networks, accuracies)
        self._predictor = fit_predictor(self.data.library, networks, accuracies)

    def _known(self, networks: Sequence[Sequence[int]]) -> list[float]:
        """The accuracies of the networks that the library holds; [] if it holds others."""
        path = self.data.library.folder / _PREDICTOR
        if not path.is_file():
            return []
        try:
            document = read_json(path, "a library's stitched networks")
            if not is_document(document, _FORMAT, _VERSION):
                raise InputError(f"{path} is not of this version of mnas")
            record = convert(document, _Stitched, "")
        except InputError as error:
            set_aside(path)
            _LOGGER.warning("%s; its networks are scored again", error)
            return []
        rows = [tuple(own) for own in record.networks]
        same = record.library == self.data.library.fingerprint and rows == [tuple(own) for own in networks]
        return list(record.accuracies) if same and len(record.accuracies) == len(rows) else []

    def _write(self, networks: Sequence[Sequence[int]], accuracies: Sequence[float]) -> None:
        record = {
            "format": _FORMAT,
            "version": _VERSION,
            "library": self.data.library.fingerprint,
            "networks": [list(own) for own in networks],
            "accuracies": list(accuracies),
        }
        try:
            write_json(self.data.library.folder / _PREDICTOR, record)
        except MnasError as error:  # a library that is read-only can be searched all the same
            _LOGGER.warning("%s: the next search with this library scores its networks again", error)

    @property
    def predictor(self) -> AccuracyPredictor:
        """The calibrated predictor."""
        self.prepare()
        assert self._predictor is not None
        return self._predictor

    def additive_scores(self) -> list[npt.NDArray[np.float64]]:
        """See `Evaluator`."""
        return self.predictor.values(self.data.library)

    @cached_property
    def _values(self) -> list[npt.NDArray[np.float64]]:
        return self.additive_scores()

    def accuracy(self, architecture: Architecture) -> float:
        """Predict the stitched network's accuracy on the validation split.

        Raises:
            InputError: if the architecture is not of the library's space.
        """
        indices = self.data.library.space.encode(architecture)
        return float(np.clip(sum(own[i] for own, i in zip(self._values, indices, strict=True)), 0.0, 1.0))

    def trust(self) -> dict[str, float]:
        """See `Evaluator`: against stitched accuracies of networks that the prediction was not fitted to."""
        return {"margin": self.predictor.margin, "tau": self.predictor.tau}

    def for_confirmation(self) -> Evaluator:
        """Return an evaluator of stitched networks."""
        return StitchedEvaluator(self.data)

    def for_finalists(self, steps: int) -> Evaluator:
        """Return an evaluator that fine-tunes; the number of steps is the recipe's own."""
        return self._fine_tuning

    def describe(self) -> dict[str, Any]:
        """The library, for the study file."""
        return {
            "kind": "library",
            "library": self.data.library.fingerprint,
            "num_stitched": self._num_networks,
            "data": dict(self.data.library.made_from["data"]),
        }

    def estimate_preparation_seconds(self) -> float:
        """Time one stitched score; those in the library are not counted."""
        networks = sample_networks(self.data.library, self._num_networks, seed=0)
        left = len(networks) - len(self._known(networks))
        if not left:
            return 0.0
        return left * StitchedEvaluator(self.data).estimate_seconds(self.data.library.space.decode(networks[-1]))

    def estimate_seconds(self, architecture: Architecture) -> float:
        """A prediction takes no time to speak of."""
        return 1e-4


class _Stitched(Struct, frozen=True):
    library: str
    networks: tuple[tuple[int, ...], ...]
    accuracies: tuple[Share, ...]


class StitchedEvaluator(Evaluator):
    """Scores stitched networks on the validation split; nothing is trained.

    Args:
        data: the library and its images.
    """

    def __init__(self, data: LibraryData) -> None:
        self._data = data

    def accuracy(self, architecture: Architecture) -> float:
        """Put the network together, recompute its batch-norm statistics, score it."""
        return self._data.stitcher.score(architecture).accuracy

    def describe(self) -> dict[str, Any]:
        """The library, for the study file."""
        return {"kind": "stitched", "library": self._data.library.fingerprint}


class FineTuningEvaluator(Evaluator):
    """Fine-tunes networks from the library's weights.

    Args:
        data: the library and its images.
        epochs: passes over the training images; None for the recipe's own number.
        distill: weight of the teacher's logits as soft targets, 0 to 1.
        class_weights: none or balanced, as in `mnas.train.recipe.Recipe`.
        augment: as `mnas.train.recipe.augmented` takes it.
        folder: where trained networks are kept; None keeps none.
        seed: of the order of images and their augmentation.
    """

    def __init__(
        self,
        data: LibraryData,
        *,
        epochs: int | None = None,
        distill: float = 0.5,
        class_weights: str = "none",
        augment: str | None = None,
        folder: Path | None = None,
        seed: int = 0,
    ) -> None:
        self._data, self._epochs, self._distill, self._folder, self._seed = data, epochs, distill, folder, seed
        self._class_weights, self._augment = class_weights, augment
        self._on_progress: OnProgress = lambda share, what: None

    def accuracy(self, architecture: Architecture) -> float:
        """Train to the end; return the accuracy on the whole validation split.

        Raises:
            MnasError: if the training diverges, or a file cannot be written.
        """
        import tempfile

        folder = self.trained_folder(architecture)
        if folder is not None:
            return self._train(architecture, folder)
        with tempfile.TemporaryDirectory() as scratch:
            return self._train(architecture, Path(scratch) / "network")

    def trained_folder(self, architecture: Architecture) -> Path | None:
        """See `Evaluator`."""
        if self._folder is None:
            return None
        return self._folder / f"{architecture_fingerprint(architecture)[:12]}-seed{self._seed}"

    def report_to(self, on_progress: OnProgress) -> None:
        """See `Evaluator`."""
        self._on_progress = on_progress

    def _report(self, state: Progress) -> None:
        self._on_progress(state.step / state.steps, f"fine-tuning, epoch {state.epoch} of {state.epochs}")

    def _train(self, architecture: Architecture, folder: Path) -> float:
        from mnas.train.pretrained import Pretrained
        from mnas.train.trainer import train_network

        library = self._data.library
        overrides: dict[str, Any] = {} if self._epochs is None else {"epochs": self._epochs}
        trained = train_network(
            architecture,
            self._data.source,
            folder,
            recipe="finetune",
            seed=self._seed,
            resume=True,
            dataset=self._data.dataset(architecture.resolution),
            weights=Pretrained.of(self._data.stitcher.weights(architecture), library.teacher.training["class_names"]),
            teacher=library.teacher.folder if self._distill else None,
            distill=self._distill,
            class_weights=self._class_weights,
            augment=self._augment,
            progress=self._report,
            **overrides,
        )
        return float(trained.training["validation_accuracy"])

    def estimate_seconds(self, architecture: Architecture) -> float:
        """Estimate the time of `accuracy` from a few measured steps."""
        from mnas.nn.functional import Network
        from mnas.train.recipe import recipe_for
        from mnas.train.sgd import loss_and_gradients

        dataset = self._data.dataset(architecture.resolution)
        overrides: dict[str, Any] = {} if self._epochs is None else {"epochs": self._epochs}
        recipe = recipe_for(self._data.source.name, name="finetune", images=len(dataset.train), **overrides)
        network = Network(architecture)
        weights = network.initial_weights(0)
        part = dataset.train.take(slice(recipe.batch_size))
        images, targets = normalise(part.images), np.eye(dataset.num_classes, dtype=np.float32)[part.labels]
        loss_and_gradients(network, weights, images, targets)  # traces
        start = time.perf_counter()
        for _ in range(_MEASURED_STEPS):
            loss_and_gradients(network, weights, images, targets)
        each = (time.perf_counter() - start) / _MEASURED_STEPS / len(part)
        passes = recipe.epochs * (1 + (_TEACHER_SHARE if self._distill else 0)) + 1  # and the statistics at the end
        return each * len(dataset.train) * passes

    def with_seed(self, seed: int) -> FineTuningEvaluator:
        """The same training with another order of images."""
        return FineTuningEvaluator(
            self._data,
            epochs=self._epochs,
            distill=self._distill,
            class_weights=self._class_weights,
            augment=self._augment,
            folder=self._folder,
            seed=seed,
        )

    def describe(self) -> dict[str, Any]:
        """The settings, for the study file."""
        own: dict[str, Any] = {"epochs": self._epochs, "distill": self._distill, "seed": self._seed}
        if self._class_weights != "none":  # as before there were any
            own["class_weights"] = self._class_weights
        if self._augment is not None:
            own["augment"] = self._augment
        return {"kind": "fine-tuning", "library": self._data.library.fingerprint, **own}


def open_evaluator(
    folder: Path | str,
    *,
    data: str | None = None,
    epochs: int | None = None,
    distill: float = 0.5,
    class_weights: str = "none",
    augment: str | None = None,
    finalists: Path | None = None,
    seed: int = 0,
) -> LibraryEvaluator:
    """Make the evaluator of a library.

    Args:
        folder: the library's.
        data: its images, if they are elsewhere now than when it was made.
        epochs: of a finalist's fine-tuning; None for the recipe's own number.
        distill: weight of the teacher's logits in it.
        class_weights: none or balanced, in it.
        augment: in it, as `mnas.train.recipe.augmented` takes it.
        finalists: where fine-tuned networks are kept; None keeps none.
        seed: of the fine-tuning.

    Raises:
        InputError: if the library is missing or unfinished.
    """
    library = open_library(folder)
    source = replace(library.teacher.data, name=library.made_from["data"]["name"] if data is None else data)
    opened = LibraryData(library, source)
    tuning = FineTuningEvaluator(
        opened,
        epochs=epochs,
        distill=distill,
        class_weights=class_weights,
        augment=augment,
        folder=finalists,
        seed=seed,
    )
    return LibraryEvaluator(opened, fine_tuning=tuning)


def make(request: EvaluatorRequest) -> LibraryEvaluator:
    """Make the evaluator of a search."""
    options = request.options
    return open_evaluator(
        options["library"],
        data=options["data"],
        epochs=options["final_epochs"],
        distill=options["distill"],
        class_weights=options["class_weights"],
        augment=options["augment"],
        finalists=None if request.folder is None else request.folder / "finalists",
        seed=options["seed"],
    )
