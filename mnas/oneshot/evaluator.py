"""The supernet evaluator: one weight-sharing network is trained once, every candidate is a path through it."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from mnas.arch.spec import Architecture
from mnas.data.dataset import Dataset, normalise
from mnas.errors import InputError, MnasError
from mnas.evaluators.base import Evaluator, OnProgress
from mnas.oneshot.recipe import SupernetRecipe
from mnas.oneshot.trainer import Companion, SupernetTrainer
from mnas.space.space import SearchSpace
from mnas.system.arrays import stored
from mnas.system.files import set_aside

if TYPE_CHECKING:
    from mnas.evaluators.proxy import ProxyEvaluator
    from mnas.evaluators.registry import EvaluatorRequest

_LOGGER = logging.getLogger(__name__)
NUM_CALIBRATION = 256  # training images that a path's batch statistics come from
SAVE_SECONDS = 30.0
MEASURED_STEPS = 5  # of the training, to estimate how long all will take


class ArchitectureLearner(Companion, Protocol):
    """A companion that learns an architecture."""

    def policy(self) -> list[npt.NDArray[np.float64]]:
        """The probabilities of every decision's choices."""

    def estimate_seconds(self, trainer: SupernetTrainer) -> float:
        """How long all of its learning will take, in seconds."""


class SupernetEvaluator(Evaluator):
    """Trains a supernet once, when the first candidate comes, and scores candidates with its weights.

    Args:
        space: whose architectures share weights; it must fit the data.
        dataset: trained on its train split, scored on its validation split; the test split is left alone.
        recipe: of the supernet's training.
        checkpoint: where the training is kept, so that it can go on; None keeps it in memory only.
        max_validation: score on at most so many validation images.
        learner: learns an architecture beside the weights, which are trained on the first half of the images only.
        finalists: trains finalists alone.
        inherit: whether it starts from their weights in the supernet.

    Raises:
        InputError: if the space does not fit the data.
    """

    def __init__(
        self,
        space: SearchSpace,
        dataset: Dataset,
        recipe: SupernetRecipe,
        *,
        checkpoint: Path | None = None,
        max_validation: int | None = None,
        learner: ArchitectureLearner | None = None,
        finalists: ProxyEvaluator | None = None,
        inherit: bool = False,
    ) -> None:
        size = dataset.train.images.shape[1]
        if (space.resolution, space.num_classes) != (size, dataset.num_classes):
            raise InputError(
                f"the space {space.name} takes {space.resolution} px and {space.num_classes} classes; "
                f"{dataset.name} has {size} px and {dataset.num_classes} classes"
            )
        self.space, self.dataset, self.recipe, self.learner = space, dataset, recipe, learner
        self._checkpoint = checkpoint
        self._validation = dataset.validation.take(slice(max_validation))
        self._trainer: SupernetTrainer | None = None
        self._finalists, self._inherit = finalists, inherit

    def for_finalists(self, steps: int) -> Evaluator | None:
        """Trainings of single networks, from random weights or those in the supernet."""
        if self._finalists is None:
            return None
        return self._finalists.with_steps(steps, initial=self.inherit if self._inherit else None)

    def __getstate__(self) -> dict[str, Any]:
        """Without the network itself, for workers in other processes: these read it from the checkpoint."""
        return {**self.__dict__, "_trainer": None}

    def describe(self) -> dict[str, Any]:
        """The recipe and the data, for the study file."""
        data = {"name": self.dataset.name, "fingerprint": self.dataset.fingerprint}
        own = {"kind": "supernet", "score": "accuracy", "num_validation": len(self._validation)}
        learner = {"learner": self.learner.describe()} if self.learner else {}
        return {**own, **self.recipe.to_dict(), **learner, "data": data}

    @property
    def trainer(self) -> SupernetTrainer:
        """The supernet as far as it is trained; made, or read from the checkpoint, at the first use.

        A damaged checkpoint is set aside: training anew comes to the same end, so that nothing but time is lost.

        Raises:
            InputError: if the checkpoint is of another space, data or recipe.
        """
        if self._trainer is None:
            self._trainer = self._restored() or self._untrained()
        return self._trainer

    def _untrained(self) -> SupernetTrainer:
        train = self.dataset.train
        if self.learner is not None:
            train = train.take(slice(len(train) // 2))
        data = self.dataset.fingerprint
        return SupernetTrainer(self.space, train, self.recipe, data=data, companion=self.learner)

    def _restored(self) -> SupernetTrainer | None:
        path = None if self._checkpoint is None else stored(self._checkpoint)
        if path is None or not path.exists():
            return None
        trainer = self._untrained()
        try:
            trainer.load(path)
        except InputError:
            raise
        except MnasError as error:
            set_aside(path)
            _LOGGER.warning("%s. It is set aside as %s.damaged, and the supernet is trained anew", error, path.name)
            return None
        _LOGGER.info("going on from step %d of the supernet in %s", trainer.step, path)
        return trainer

    def prepare(self, on_progress: OnProgress = lambda share, what: None) -> None:
        """Train the supernet, or what is left of its training.

        Raises:
            MnasError: if it diverges, or the checkpoint cannot be read or written.
        """
        self.train_until(self.recipe.steps, on_progress)

    def estimate_preparation_seconds(self) -> float:
        """Tracing and a few steps are measured, the rest reckoned; what a checkpoint holds is not counted."""
        start = time.perf_counter()
        trial = SupernetEvaluator(self.space, self.dataset, self.recipe, max_validation=1)
        trial.trainer.advance()
        traced = time.perf_counter()
        for _ in range(MEASURED_STEPS):
            trial.trainer.advance()
        each = (time.perf_counter() - traced) / MEASURED_STEPS
        learning = 0.0 if self.learner is None else self.learner.estimate_seconds(trial.trainer)
        return traced - start + (self.recipe.steps - 1) * each + learning

    def estimate_seconds(self, architecture: Architecture) -> float:
        """Scoring a candidate with weights as they are; the first one traces the graph and is not counted."""
        self.judge(architecture)
        start = time.perf_counter()
        self.judge(architecture)
        return time.perf_counter() - start

    def train_until(self, step: int, on_progress: OnProgress = lambda share, what: None) -> None:
        """Train until so many steps are done; nothing if they are."""
        trainer, saved = self.trainer, time.monotonic()
        if trainer.step >= step:
            return
        try:
            while trainer.step < step:
                loss = trainer.advance()
                on_progress(trainer.step / self.recipe.steps, f"step {trainer.step}, loss {loss:.3f}")
                if time.monotonic() - saved > SAVE_SECONDS:
                    self._save()
                    saved = time.monotonic()
        finally:
            if not trainer.in_step:  # else the last checkpoint stands: half a step cannot be gone on with
                self._save()

    def _save(self) -> None:
        if self._checkpoint is not None and self._trainer is not None:
            self._trainer.save(self._checkpoint)

    def accuracy(self, architecture: Architecture) -> float:
        """Score a path of the trained supernet on the validation split, its batch statistics its own.

        Raises:
            InputError: if the architecture is not of the space.
        """
        self.prepare()
        return self.judge(architecture)[0]

    def policy(self) -> list[npt.NDArray[np.float64]]:
        """What the learner has learnt, once the training is done: the probabilities of every decision's choices.

        Raises:
            InputError: if there is no learner.
        """
        if self.learner is None:
            raise InputError("this supernet is trained without a learner of architectures: there is no policy")
        self.prepare()
        return self.learner.policy()

    def inherit(self, architecture: Architecture) -> npt.NDArray[np.float32]:
        """An architecture's weights out of the trained supernet, to start its own training from.

        Raises:
            InputError: if the architecture is not of the space.
        """
        self.prepare()
        return self.trainer.shared.inherit(architecture, self.trainer.weights)

    def judge(self, architecture: Architecture) -> tuple[float, float]:
        """Accuracy and mean cross-entropy of a path on the validation split, with the weights as they are."""
        logits = self.logits(architecture, self._validation.images).astype(np.float64)
        labels = self._validation.labels
        shifted = logits - logits.max(1, keepdims=True)
        losses = np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(labels)), labels]
        return float(np.mean(logits.argmax(1) == labels)), float(losses.mean())

    def logits(self, architecture: Architecture, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Logits (count, classes) of uint8 images; the path's batch statistics are its own, from training images."""
        from mnas.evaluators.proxy import TrainedNetwork
        from mnas.nn.functional import Network

        trainer, network = self.trainer, Network(architecture)
        weights = trainer.shared.inherit(architecture, trainer.weights)
        calibration = normalise(self.dataset.train.images[:NUM_CALIBRATION])
        statistics = network.train(network.cut(weights), calibration)[1].numpy()
        return TrainedNetwork(network, weights, statistics).logits(images)


def make(request: EvaluatorRequest) -> SupernetEvaluator:
    """The evaluator that a search asks for."""
    from mnas.evaluators.proxy import MAX_VALIDATION
    from mnas.evaluators.proxy import make as make_proxy

    options = request.options
    recipe = SupernetRecipe(
        steps=options["supernet_steps"],
        batch_size=options["supernet_batch"],
        num_paths=options["supernet_paths"],
        sampling=options["supernet_sampling"],
        seed=options["seed"],
    )
    return SupernetEvaluator(
        request.space,
        request.training_data,
        recipe,
        checkpoint=None if request.folder is None else request.folder / "supernet.safetensors",
        max_validation=MAX_VALIDATION,
        learner=_learner(request),
        finalists=make_proxy(request),
        inherit=options["inherit"],
    )


def _learner(request: EvaluatorRequest) -> ArchitectureLearner | None:
    """What learns an architecture while the supernet is trained, on the other half of the training images."""
    train = request.training_data.train
    other_half, options = train.take(slice(len(train) // 2, None)), request.options
    if options["strategy"] == "differentiable":
        from mnas.oneshot.differentiable import RelaxationLearner, RelaxationRecipe

        relaxed = RelaxationRecipe(steps=options["supernet_steps"], seed=options["seed"])
        return RelaxationLearner(request.space, other_half, relaxed, request.budgets)
    if options["strategy"] == "tunas":
        from mnas.oneshot.tunas import TunasLearner, TunasRecipe

        weight: dict[str, Any] = {} if options["beta"] is None else {"beta": options["beta"]}
        recipe = TunasRecipe(steps=options["supernet_steps"], seed=options["seed"], **weight)
        return TunasLearner(request.space, other_half, recipe, request.budgets)
    return None
