"""Training one network in full: a checkpoint every epoch, resumable, tested once at the end."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mnas.arch.codec import architecture_to_dict
from mnas.arch.memory import check_strides
from mnas.arch.spec import Architecture
from mnas.data.dataset import Dataset, DataSource, Labels
from mnas.data.folder_layout import absolute_path
from mnas.errors import InputError, MnasError
from mnas.system.arrays import stored
from mnas.system.environment import versions
from mnas.system.files import check_writable, set_aside, write_json
from mnas.system.lock import hold
from mnas.system.permissions import names_what_is_not_permitted
from mnas.train import trained_network as folder_of
from mnas.train.assessment import assess, write_assessment
from mnas.train.augment import without_tuner
from mnas.train.class_weights import balanced_weights, with_weights
from mnas.train.evaluate import evaluate, predict
from mnas.train.history import PROGRESS, History, best_epoch, read_progress, recorded, refuse_another
from mnas.train.mirroring import MIRRORED, MIRRORING, check_mirroring, decision, first_check
from mnas.train.optimizer import accelerated, hold_average, make_optimizer, smoothed_loss
from mnas.train.parts import ClassifierOnly, Part, WholeNetwork
from mnas.train.pretrained import Pretrained, open_pretrained
from mnas.train.recipe import CHECKED, Recipe, augmented, check_augment, recipe_for
from mnas.train.reparameterize import check_depthwise
from mnas.train.teacher import SHARE, Teacher
from mnas.train.trained_network import Trained, load_state, open_trained, save_state, save_weights

log = logging.getLogger(__name__)

LOCK = "lock"


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a training.

    Attributes:
        step: number of steps done, of `steps`.
        epoch: the current epoch, from 1.
        epoch_ended: the metrics of the epoch that just ended, else None.
        epochs: number of epochs in all.
    """

    step: int
    steps: int
    epoch: int
    epoch_ended: dict[str, float] | None = None
    epochs: int = 0


@names_what_is_not_permitted
def train_network(
    architecture: Architecture,
    source: DataSource,
    out: Path,
    *,
    recipe: Recipe | str | None = None,
    seed: int = 0,
    resume: bool = False,
    dataset: Dataset | None = None,
    weights: Pretrained | str | None = None,
    teacher: Path | None = None,
    distill: float = SHARE,
    augment: str | None = None,
    progress: Callable[[Progress], None] = lambda state: None,
    loaded: Callable[[Dataset], None] = lambda dataset: None,
    **overrides: Any,
) -> Trained:
    """Train a network and write it to a folder; if this training is already finished there, return its result.

    Args:
        architecture: the network; its classifier is set to the data's classes.
        source: the data, loaded at the architecture's resolution.
        out: the folder.
        recipe: how to train: a recipe, or the name of one of `mnas.train.recipe.RECIPES`, which is then adapted to the
            number of images; by default `finetune` with initial weights, else `short`.
        seed: decides weights, shuffling, augmentation.
        resume: resume an interrupted training.
        dataset: the loaded data, if the caller has it.
        weights: initial weights instead of random ones: pretrained ones, or what
            `mnas.train.pretrained.open_pretrained` takes.
        teacher: the folder of a trained network for the same classes, whose answers are soft targets.
        distill: their weight in the loss, 0 to 1; the labels have the rest.
        augment: none, shift, flip or rand, as `mnas.train.recipe.augmented` takes it; None for the recipe's own, which
            mirrors images once it is known that this does not confuse classes, see `mnas.train.mirroring`.
        progress: called after every step and every epoch.
        loaded: called with the images before the training.
        overrides: fields of the recipe, such as `epochs=5`.

    Raises:
        InputError: if the folder belongs to another configuration, or holds an interrupted training and `resume` is
            False.
        MnasError: if training diverges, or a file cannot be written.
    """
    check_strides(architecture)
    check_augment(augment)
    check_writable(out / folder_of.TRAINING)
    if isinstance(weights, str):
        weights = open_pretrained(weights, architecture)
    dataset = dataset or source.load(architecture.resolution, fingerprint=_fingerprint(out))
    loaded(dataset)
    weights = weights and weights.for_classes(dataset.class_names)
    if not isinstance(recipe, Recipe):
        recipe = recipe or ("finetune" if weights else "short")
        recipe = recipe_for(source.name, name=recipe, images=len(dataset.train), augment=augment, **overrides)
    else:
        recipe = augmented(replace(recipe, **overrides), augment)
    recipe = _as_begun(recipe, out)
    architecture = replace(architecture, num_classes=dataset.num_classes)
    guide = Teacher.open(teacher, dataset.class_names, distill) if teacher else None
    _check_freeze(recipe, weights, guide)
    if recipe.reparameterize:
        check_depthwise(architecture)
    run = _Run(architecture, source, dataset, recipe, seed, out, progress, weights, guide)
    if folder_of.is_trained(out):
        refuse_another(out / folder_of.TRAINING, run.configuration)
        log.info("%s already holds this training", out)
        return open_trained(out)
    with hold(out / LOCK, f"the training {out}", remove=True):
        return run.finish(*run.train(read_progress(out, run.configuration, resume=resume)))


def _as_begun(recipe: Recipe, out: Path) -> Recipe:
    """The recipe with the mirroring of a training that mnas began in the folder before mirroring was checked."""
    for path in (out / folder_of.TRAINING, out / PROGRESS):
        if recipe.flip == CHECKED and path.is_file():
            flip = recorded(path, "recipe").get("flip")
            return replace(recipe, flip=flip) if isinstance(flip, bool) else recipe
    return recipe


def _fingerprint(out: Path) -> str | None:
    """The fingerprint of the data that a training in the folder began with."""
    records = [path for path in (out / folder_of.TRAINING, out / PROGRESS) if path.is_file()]
    found = recorded(records[0], "data").get("fingerprint") if records else None
    return found if isinstance(found, str) else None


def _check_freeze(recipe: Recipe, weights: Pretrained | None, teacher: Teacher | None) -> None:
    """Refuse to train only the classifier where it is random, on what a teacher does not see, or with branches."""
    if recipe.freeze and weights is None:
        raise InputError("--freeze trains the classifier only: pass the other weights with --weights")
    if recipe.freeze and teacher is not None:
        raise InputError("--freeze computes features once and --teacher needs the images: use one of them")
    if recipe.freeze and recipe.reparameterize:
        raise InputError("--freeze trains the classifier only and --reparameterize convolutions: use one of them")


@dataclass
class _Run:
    """One training."""

    architecture: Architecture
    source: DataSource
    dataset: Dataset
    recipe: Recipe
    seed: int
    out: Path
    progress: Callable[[Progress], None]
    weights: Pretrained | None
    teacher: Teacher | None

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """Everything that determines the result."""
        return {
            "architecture": architecture_to_dict(self.architecture),
            "data": {**asdict(self.source), "fingerprint": self.dataset.fingerprint},
            "recipe": self.recipe.to_dict(),
            "seed": self.seed,
            "weights": self.weights and self.weights.sha256,
            **({"teacher": self.teacher.description} if self.teacher else {}),  # as before there were teachers
        }

    @cached_property
    def part(self) -> Part:
        """What is trained."""
        common = (self.architecture, self.dataset, self.recipe, self.seed)
        if self.recipe.freeze and self.weights is not None:
            return ClassifierOnly(*common, self.weights)
        return WholeNetwork(*common, self.weights, self.teacher)

    @property
    def steps_per_epoch(self) -> int:
        count = len(self.dataset.train)
        return count // min(self.recipe.batch_size, count)

    @property
    def steps(self) -> int:
        return self.steps_per_epoch * self.recipe.epochs

    def train(self, history: History) -> tuple[Any, History]:
        """Run the remaining epochs; return the model and the history."""
        with accelerated(self.recipe):
            model = self.compiled()
        put_average = hold_average(model)
        if history and not self.restored(model, history):
            history = []
        for epoch in range(len(history), self.recipe.epochs):
            history = [*history, self.epoch(model, history)]
            self.keep(model, history)
            self.report((epoch + 1) * self.steps_per_epoch, epoch, history[-1])
        if self.best(history) < len(history):
            load_state(model, self.checkpoint(self.best(history)))
        put_average()
        return model, history

    def compiled(self) -> Any:
        """The model, ready for `fit`."""
        import keras

        model = self.part.build(self.steps)
        model.compile(
            optimizer=make_optimizer(self.recipe, self.steps),
            loss=smoothed_loss(self.architecture.num_classes, self.recipe.label_smoothing),
            metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
            jit_compile=False,  # XLA made the same step 7 times slower on a CPU
        )
        model.optimizer.build(model.trainable_variables)
        return model

    def restored(self, model: Any, history: History) -> bool:
        """Load the last checkpoint; False if it is damaged, or that of the best epoch.

        The damaged one is set aside: training again gives the same result.
        """
        for epochs in sorted({self.best(history), len(history)}):
            checkpoint = stored(self.checkpoint(epochs))
            try:
                load_state(model, checkpoint)
            except MnasError as error:
                if checkpoint.exists():
                    set_aside(checkpoint)
                log.warning("%s. The training starts again", error)
                return False
        return True

    def decision(self, history: History) -> bool | None:
        """Whether images are mirrored, by the recipe, the teacher's training or a check; None before the check."""
        if self.recipe.flip != CHECKED:
            return bool(self.recipe.flip)
        taught = self.teacher and self.teacher.trained.training.get(MIRRORING)
        return decision(history) if taught is None else bool(taught)

    def check_mirroring(self, model: Any, answers: Labels) -> dict[str, float]:
        """Decide whether the following epochs mirror images; empty where nothing can be said yet."""
        labels = self.dataset.validation.labels
        found = check_mirroring(labels, answers, self.part.answers(model, mirrored=True))
        if found is None:
            return {}
        if found.confusing:
            log.warning(
                "Images are not mirrored in this training, because that confuses classes: %.1f %% of the validation "
                "images are recognised, and %.1f %% of their mirror images. --augment flip mirrors all the same",
                100 * found.accuracy,
                100 * found.mirrored_accuracy,
            )
        return {MIRRORED: found.mirrored_accuracy, MIRRORING: float(not found.confusing)}

    def epoch(self, model: Any, history: History) -> dict[str, float]:
        """Train the epoch after these and return its metrics."""
        started, epoch, mirroring = time.perf_counter(), len(history), self.decision(history)
        batches = self.part.epoch(epoch, mirror=mirroring is True)
        if self.recipe.class_weights == "balanced":
            batches = with_weights(batches, balanced_weights(self.dataset.train.labels, self.dataset.num_classes))
        fitted = model.fit(without_tuner(batches), epochs=1, shuffle=False, verbose=0, callbacks=[self.reporter(epoch)])
        figures = {name: float(values[-1]) for name, values in fitted.history.items()}
        if not all(math.isfinite(value) for value in figures.values()):
            raise MnasError(
                f"training diverged in epoch {epoch + 1} (loss {figures['loss']}): try a smaller --learning-rate "
                f"than {self.recipe.learning_rate:g}"
            )
        answers = self.part.answers(model)
        figures["validation_accuracy"] = float(np.mean(answers == self.dataset.validation.labels))
        if mirroring is None and first_check(self.recipe.epochs) <= epoch + 1 < self.recipe.epochs:
            figures |= self.check_mirroring(model, answers)
        figures["seconds"] = time.perf_counter() - started
        return figures

    def report(self, step: int, epoch: int, ended: dict[str, float] | None = None) -> None:
        self.progress(Progress(step, self.steps, epoch + 1, ended, self.recipe.epochs))

    def reporter(self, epoch: int) -> Any:
        """Return a Keras callback that reports every step."""
        import keras

        done = epoch * self.steps_per_epoch
        return keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: self.report(done + batch + 1, epoch)
        )

    def checkpoint(self, epochs: int) -> Path:
        return self.out / f"checkpoint-{epochs}.safetensors"

    def keep(self, model: Any, history: History) -> None:
        """Write a checkpoint, then the record that refers to it, then remove the one before."""
        save_state(model, self.checkpoint(len(history)))
        write_json(self.out / PROGRESS, {"configuration": self.configuration, "history": history})
        self.drop_checkpoints(len(history), self.best(history))

    def drop_checkpoints(self, *but: int) -> None:
        """Remove all checkpoints but those of some epochs, including those that a killed process left."""
        kept = [self.checkpoint(epochs) for epochs in but]
        for path in self.out.glob("checkpoint-*"):
            if path.suffix in (".safetensors", ".npz") and path not in kept:
                path.unlink(missing_ok=True)

    def best(self, history: History) -> int:
        """The epoch to keep, from 1."""
        return best_epoch(history) if self.recipe.keep_best else len(history)

    def finish(self, model: Any, history: History) -> Trained:
        """Complete the network, test it once, write the folder, remove checkpoints."""
        model = self.part.finish(model, mirror=self.decision(history) is True)
        tested = assess(
            predict(model, self.dataset.test, self.recipe.batch_size), self.dataset.test, self.dataset.class_names
        )
        document = {
            "format": folder_of.FORMAT,
            "version": folder_of.VERSION,
            "configuration": self.configuration,
            "class_names": list(self.dataset.class_names),
            "data_path": absolute_path(self.source.name),
            "train_images": len(self.dataset.train),
            "history": history,
            "validation_accuracy": evaluate(model, self.dataset.validation, self.recipe.batch_size),
            "test_accuracy": tested.accuracy,
            **({MIRRORING: self.decision(history) or False} if self.recipe.flip == CHECKED else {}),
            "made_with": versions(),
        }
        save_weights(model, self.architecture, self.out / folder_of.WEIGHTS)
        write_json(self.out / folder_of.ARCHITECTURE, architecture_to_dict(self.architecture))
        write_assessment(tested, self.out)
        write_json(self.out / folder_of.TRAINING, document)
        self.drop_checkpoints()
        (self.out / PROGRESS).unlink(missing_ok=True)
        return open_trained(self.out)
