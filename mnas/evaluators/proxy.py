"""The proxy evaluator: train a candidate from scratch for a small budget, score it on the validation split.

Every candidate gets the same number of steps, the same initial seed and the same order of images, so that
candidates differ as little as possible by chance.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from mnas.arch.spec import Architecture
from mnas.checks import check_fields
from mnas.data.batches import Batches
from mnas.data.dataset import Dataset, Split, normalise
from mnas.errors import InputError, MnasError
from mnas.evaluators.base import Evaluator
from mnas.random_streams import Stream, generator
from mnas.train.recipe import SHIFT
from mnas.train.sgd import descend, loss_and_gradients

if TYPE_CHECKING:
    from mnas.evaluators.registry import EvaluatorRequest
    from mnas.nn.functional import Network
    from mnas.train.pretrained import Pretrained

NUM_CALIBRATION_BATCHES = 4
MAX_VALIDATION = 2000  # images that score a candidate of a search; finalists are scored on all that are set aside
EVALUATION_BATCH = 256
MEASURED_STEPS = 6  # of a candidate, to estimate how long all will take


@dataclass(frozen=True, slots=True)
class ProxyRecipe:
    """A short training: SGD with Nesterov momentum, warm-up over a tenth of the steps, cosine decay to zero.

    Attributes:
        steps: number of optimizer steps.
        batch_size: images per step.
        learning_rate: at its peak, for a batch of 96; scaled linearly with the batch size.
        weight_decay: on kernels.
        label_smoothing: share of the target spread over all classes.
        max_shift: images are moved by up to this many pixels in each direction.
        flip: half of the images are mirrored.
        seed: of the weights, the order of images and the shifts.
        rungs: number of times that a candidate is scored, so that an unpromising one can be stopped: after all steps,
            after half of them, a quarter and so on.
    """

    steps: Annotated[int, Meta(ge=1, le=100_000_000)] = 100
    batch_size: Annotated[int, Meta(ge=2, le=65536)] = 96
    learning_rate: Annotated[float, Meta(ge=1e-8, le=100)] = 0.1
    weight_decay: Annotated[float, Meta(ge=0)] = 1e-4
    label_smoothing: Annotated[float, Meta(ge=0, le=0.9)] = 0.0
    max_shift: Annotated[int, Meta(ge=0)] = 0
    flip: bool = False
    seed: Annotated[int, Meta(ge=0, le=10**18)] = 0
    rungs: Annotated[int, Meta(ge=1, le=20)] = 1

    def __post_init__(self) -> None:
        check_fields(self)
        if self.rung_steps[0] < 1:
            raise InputError(f"{self.rungs} rungs need at least {2 ** (self.rungs - 1)} steps, not {self.steps}")

    @property
    def rung_steps(self) -> tuple[int, ...]:
        """The number of steps at which each rung is scored; the last one is all of them."""
        return tuple(self.steps >> rung for rung in reversed(range(self.rungs)))

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        peak = self.learning_rate * self.batch_size / 96
        warm_up = max(1, self.steps // 10)
        if step < warm_up:
            return peak * (step + 1) / warm_up
        return peak * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, self.steps - warm_up)))


class ProxyEvaluator(Evaluator):
    """Trains each candidate from scratch, or from given weights, for a fixed number of steps."""

    def __init__(
        self,
        dataset: Dataset,
        recipe: ProxyRecipe,
        *,
        max_validation: int | None = None,
        start: Pretrained | None = None,
    ) -> None:
        """Nothing is computed yet.

        Args:
            dataset: candidates are trained on its train split and scored on its validation split.
            recipe: the training.
            max_validation: maximum number of validation images to score on.
            start: initial weights of `accuracy` and `fit`, for networks that they fit.
        """
        self.dataset = dataset
        self.recipe = recipe
        self._start = start and start.for_classes(dataset.class_names)
        self._validation = dataset.validation.take(slice(max_validation))

    def with_steps(self, steps: int) -> ProxyEvaluator:
        """The same evaluator with a longer or shorter training to its end, on the whole validation split."""
        return ProxyEvaluator(self.dataset, replace(self.recipe, steps=steps, rungs=1))

    def for_finalists(self, steps: int) -> ProxyEvaluator:
        """See `with_steps`."""
        return self.with_steps(steps)

    def with_seed(self, seed: int) -> ProxyEvaluator:
        """The same evaluator with other initial weights and another order of images."""
        return ProxyEvaluator(self.dataset, replace(self.recipe, seed=seed), max_validation=len(self._validation))

    def describe(self) -> dict[str, Any]:
        """The recipe and the data, for the study file."""
        data = {"name": self.dataset.name, "fingerprint": self.dataset.fingerprint}
        recipe = asdict(self.recipe)
        if not self.recipe.flip:  # as before it was a choice
            del recipe["flip"]
        return {
            "kind": "proxy",
            **recipe,
            "num_validation": len(self._validation),
            "data": data,
        }

    def accuracy(self, architecture: Architecture) -> float:
        """Train, recalibrate the batch norms' statistics, score.

        Raises:
            InputError: if the architecture does not fit the data.
            MnasError: if the training diverges.
        """
        return self.fit(architecture).accuracy(self._validation)

    @property
    def num_rungs(self) -> int:
        """The recipe's number of rungs."""
        return self.recipe.rungs

    def rungs(self, architecture: Architecture) -> Generator[float, None, None]:
        """As `accuracy`, with the scores on the way; it is one training, which scoring does not change."""
        for trained in self._training(architecture, self.recipe.rung_steps):
            yield trained.accuracy(self._validation)

    def estimate_seconds(self, architecture: Architecture) -> float:
        """Estimate the time of `accuracy` from a few measured steps and the scoring.

        Tracing is not counted: candidates share what is traced.
        """
        ProxyEvaluator(self.dataset, replace(self.recipe, steps=1, rungs=1), max_validation=1).accuracy(architecture)
        start = time.perf_counter()
        stamps: list[float] = []
        few = replace(self.recipe, steps=min(self.recipe.steps, MEASURED_STEPS), rungs=1)
        trained = ProxyEvaluator(self.dataset, few).fit(
            architecture, on_step=lambda step, loss: stamps.append(time.perf_counter())
        )
        trained.accuracy(self._validation)
        measured = time.perf_counter() - start
        each = (stamps[-1] - stamps[0]) / max(1, len(stamps) - 1)
        return measured + (self.recipe.steps - few.steps) * each

    def fit(self, architecture: Architecture, *, on_step: Callable[[int, float], None] | None = None) -> TrainedNetwork:
        """Train one candidate.

        Args:
            architecture: the candidate.
            on_step: called after each step with its number (from 0) and its loss.
        """
        (trained,) = self._training(architecture, (self.recipe.steps,), on_step)
        return trained

    def _training(
        self,
        architecture: Architecture,
        stops: Sequence[int],
        on_step: Callable[[int, float], None] | None = None,
    ) -> Iterator[TrainedNetwork]:
        """Yield the network after each of these numbers of steps; it is not trained further than is read."""
        _check_fit(architecture, self.dataset)
        trainer = _Trainer(architecture, self.recipe, self._start)
        batches = self._batches(Stream.PROXY_BATCHES)
        for step in range(stops[-1]):
            images, labels = batches(step)
            loss = trainer.step(images, labels, self.recipe.rate(step))
            if not math.isfinite(loss):
                raise MnasError(f"the training diverged at step {step} (the loss is {loss})")
            if on_step is not None:
                on_step(step, loss)
            if step + 1 in stops:
                calibration = self._batches(Stream.PROXY_STATISTICS)
                yield trainer.network_now([calibration(number)[0] for number in range(NUM_CALIBRATION_BATCHES)])

    def _batches(self, stream: Stream) -> Callable[[int], tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]]:
        """Return a function that gives the batch of each step, in order; the same ones for every candidate."""
        rng = generator(self.recipe.seed, stream)
        batches = Batches(self.dataset.train, self.recipe.batch_size, lambda epoch: rng)

        def shifted(step: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
            images, labels = batches(step)
            moved = _shifted(images, self.recipe.max_shift, rng)
            return _mirrored(moved, rng) if self.recipe.flip else moved, labels

        return shifted


class TrainedNetwork:
    """A network with its weights and statistics, ready to score or to be copied into a Keras model."""

    def __init__(self, network: Network, weights: npt.NDArray[np.float32], statistics: npt.NDArray[np.float32]) -> None:
        self.network = network
        self.weights = weights
        self.statistics = statistics

    def logits(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Logits of uint8 images, shape (count, classes)."""
        parts = [
            self.network.infer(
                self.weights, self.statistics, normalise(images[start : start + EVALUATION_BATCH])
            ).numpy()
            for start in range(0, len(images), EVALUATION_BATCH)
        ]
        return np.concatenate(parts)

    def accuracy(self, split: Split) -> float:
        """Return the share of a split's images that are classified correctly."""
        return float(np.mean(self.logits(split.images).argmax(axis=1) == split.labels))


class _Trainer:
    """One network in training: its weights and its momentum."""

    def __init__(self, architecture: Architecture, recipe: ProxyRecipe, start: Pretrained | None) -> None:
        from mnas.nn.functional import Network

        self.network = Network(architecture)
        self._recipe = recipe
        self._weights = self.network.initial_weights(recipe.seed)
        if start is not None:
            self._weights = self.network.vector(start(self.network.initial_layer_weights(recipe.seed)))
        velocity, decay = np.zeros_like(self._weights), self.network.decay_mask() * np.float32(recipe.weight_decay)
        vectors = (self._weights, velocity, decay)
        self._blocks = list(zip(*map(self.network.cut, vectors), strict=True))  # views, a row for each block

    def step(self, images: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], rate: float) -> float:
        """One update; returns the loss."""
        smoothing, classes = self._recipe.label_smoothing, self.network.architecture.num_classes
        targets = np.eye(classes, dtype=np.float32)[labels] * (1 - smoothing) + smoothing / classes
        loss, gradients = loss_and_gradients(self.network, self._weights, images, targets.astype(np.float32))
        for (weights, velocity, decay), gradient in zip(self._blocks, gradients, strict=True):
            descend(weights, velocity, gradient, decay, rate=rate)
        return loss

    def network_now(self, calibration: list[npt.NDArray[np.float32]]) -> TrainedNetwork:
        """Return a copy with batch-norm statistics averaged over some batches; the training can continue."""
        from mnas.nn.functional import mean_statistics

        blocks = self.network.cut(self._weights)
        statistics = mean_statistics([self.network.train(blocks, images)[1] for images in calibration])
        return TrainedNetwork(self.network, self._weights.copy(), statistics)


def make(request: EvaluatorRequest) -> ProxyEvaluator:
    """Make the evaluator of a search."""
    options, data, augment = request.options, request.training_data, request.options["augment"]
    recipe = ProxyRecipe(
        steps=options["proxy_steps"],
        batch_size=options["proxy_batch"],
        seed=options["seed"],
        rungs=options["rungs"],
        max_shift=round(SHIFT * data.train.images.shape[1]) if augment in ("shift", "flip") else 0,
        flip=augment == "flip",
    )
    return ProxyEvaluator(data, recipe, max_validation=MAX_VALIDATION)


def _check_fit(architecture: Architecture, dataset: Dataset) -> None:
    size = dataset.train.images.shape[1]
    if (architecture.resolution, architecture.num_classes) != (size, dataset.num_classes):
        raise InputError(
            f"the architecture takes {architecture.resolution} px and {architecture.num_classes} classes; "
            f"{dataset.name} has {size} px and {dataset.num_classes} classes"
        )


def _shifted(images: npt.NDArray[np.float32], max_shift: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Move each image by a random offset, with edges repeated at the border."""
    if not max_shift:
        return images
    count, size = images.shape[:2]
    padded = np.pad(images, ((0, 0), (max_shift, max_shift), (max_shift, max_shift), (0, 0)), mode="edge")
    offsets = rng.integers(0, 2 * max_shift + 1, size=(count, 2))
    rows = offsets[:, 0, None] + np.arange(size)
    columns = offsets[:, 1, None] + np.arange(size)
    moved: npt.NDArray[np.float32] = padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved


def _mirrored(images: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Mirror half of the images."""
    chosen = rng.random((len(images), 1, 1, 1)) < 0.5
    return np.where(chosen, images[:, :, ::-1], images)
