"""Training one network in full: a checkpoint every epoch, resumable, tested once at the end."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from mnas.arch.codec import architecture_to_dict
from mnas.arch.memory import check_strides
from mnas.arch.spec import Architecture
from mnas.checks import check_integer, convert
from mnas.data.dataset import Dataset, DataSource
from mnas.errors import InputError, MnasError
from mnas.nn.build import build_model, get_layer_weights, set_layer_weights
from mnas.system.arrays import stored
from mnas.system.environment import versions
from mnas.system.files import check_writable, read_json, set_aside, write_json
from mnas.system.lock import hold
from mnas.train import trained_network as folder_of
from mnas.train.augment import training_epoch
from mnas.train.evaluate import evaluate, recalibrated
from mnas.train.optimizer import accelerated, hold_average, make_optimizer, smoothed_loss
from mnas.train.pretrained import Pretrained, open_pretrained
from mnas.train.recipe import Recipe, recipe_for
from mnas.train.trained_network import Trained, load_state, open_trained, save_state, save_weights

log = logging.getLogger(__name__)

PROGRESS = "progress.json"
LOCK = "lock"
_Metric = Annotated[float, Meta(ge=-1e308, le=1e308)]


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


def train_network(
    architecture: Architecture,
    source: DataSource,
    out: Path,
    *,
    recipe: Recipe | str = "short",
    seed: int = 0,
    resume: bool = False,
    dataset: Dataset | None = None,
    weights: Pretrained | str | None = None,
    progress: Callable[[Progress], None] = lambda state: None,
    **overrides: Any,
) -> Trained:
    """Train a network and write it to a folder; if this training is already finished there, return its result.

    Args:
        architecture: the network; its classifier is set to the data's classes.
        source: the data, loaded at the architecture's resolution.
        out: the folder.
        recipe: how to train: a recipe, or the name of one of `mnas.train.recipe.RECIPES`, which is then adapted to the
            number of images.
        seed: decides weights, shuffling, augmentation.
        resume: resume an interrupted training.
        dataset: the loaded data, if the caller has it.
        weights: initial weights instead of random ones: pretrained ones, or what
            `mnas.train.pretrained.open_pretrained` takes.
        progress: called after every step and every epoch.
        overrides: fields of the recipe, such as `epochs=5`.

    Raises:
        InputError: if the folder belongs to another configuration, or holds an interrupted training and `resume` is
            False.
        MnasError: if training diverges, or a file cannot be written.
    """
    check_strides(architecture)
    check_writable(out / folder_of.TRAINING)
    if isinstance(weights, str):
        weights = open_pretrained(weights, architecture)
    dataset = dataset or source.load(architecture.resolution)
    if isinstance(recipe, str):
        recipe = recipe_for(source.name, name=recipe, images=len(dataset.train), **overrides)
    else:
        recipe = replace(recipe, **overrides)
    architecture = replace(architecture, num_classes=dataset.num_classes)
    run = _Run(architecture, source, dataset, recipe, seed, out, progress, weights)
    if folder_of.is_trained(out):
        _refuse_another(out / folder_of.TRAINING, run.configuration)
        log.info("%s already holds this training", out)
        return open_trained(out)
    with hold(out / LOCK, f"the training {out}", remove=True):
        return run.finish(*run.train(read_progress(out, run.configuration, resume=resume)))


def _refuse_another(path: Path, configuration: dict[str, Any]) -> dict[str, Any]:
    """Read a record and refuse it if its configuration differs; the message names what differs."""
    record: dict[str, Any] = read_json(path, "a training's record")
    found = record.get("configuration") if isinstance(record, dict) else None
    if not isinstance(found, dict):
        raise InputError(f"{path} is not a training's record; use another --out")
    differing = [key for key in configuration if found.get(key) != configuration[key]]
    if differing:
        raise InputError(
            f"{path.parent} belongs to another training (its {', '.join(differing)} differ); "
            "use another --out, or delete that folder"
        )
    return record


def read_progress(out: Path, configuration: dict[str, Any], *, resume: bool) -> list[dict[str, float]]:
    """Return the metrics of every finished epoch, by name; empty for a new training.

    Args:
        out: the folder of the training.
        configuration: everything that determines the result of the training.
        resume: whether an interrupted training may be resumed.

    Raises:
        InputError: if the folder belongs to another training, its record is damaged, or it holds an interrupted
            training and `resume` is False.
    """
    path = out / PROGRESS
    if not path.is_file():
        return []
    history = _checked_history(path, _refuse_another(path, configuration), configuration["recipe"]["epochs"])
    if not resume:
        done = f"{len(history)} of {configuration['recipe']['epochs']} epochs"
        raise InputError(
            f"{out} holds this training, interrupted after {done}; continue with --resume, or use another --out"
        )
    return history


def _checked_history(path: Path, record: dict[str, Any], epochs: int) -> list[dict[str, float]]:
    history: list[dict[str, float]] = record.get("history", [])
    try:
        convert(history, list[dict[str, _Metric]], "history")
        check_integer("the number of epochs in history", len(history), 1, epochs)
    except InputError as error:
        raise InputError(f"{path} is damaged ({error}): delete {path.parent} to train again") from None
    return history


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

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """Everything that determines the result."""
        return {
            "architecture": architecture_to_dict(self.architecture),
            "data": {**asdict(self.source), "fingerprint": self.dataset.fingerprint},
            "recipe": self.recipe.to_dict(),
            "seed": self.seed,
            "weights": self.weights and self.weights.sha256,
        }

    @property
    def steps_per_epoch(self) -> int:
        count = len(self.dataset.train)
        return count // min(self.recipe.batch_size, count)

    @property
    def steps(self) -> int:
        return self.steps_per_epoch * self.recipe.epochs

    def train(self, history: list[dict[str, float]]) -> tuple[Any, list[dict[str, float]]]:
        """Run the remaining epochs; return the model and the history."""
        with accelerated(self.recipe):
            model = self.compiled()
        put_average = hold_average(model)
        if history and not self.restored(model, stored(self.checkpoint(len(history)))):
            history = []
        for epoch in range(len(history), self.recipe.epochs):
            history = [*history, self.epoch(model, epoch)]
            self.keep(model, history)
            self.report((epoch + 1) * self.steps_per_epoch, epoch, history[-1])
        put_average()
        return model, history

    def compiled(self) -> Any:
        """The model, ready for `fit`."""
        import keras

        model = build_model(self.architecture, batch_norm_momentum=self.recipe.momentum(self.steps), seed=self.seed)
        self.initialize(model)
        model.compile(
            optimizer=make_optimizer(self.recipe, self.steps),
            loss=smoothed_loss(self.architecture.num_classes, self.recipe.label_smoothing),
            metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
            jit_compile=False,  # XLA made the same step 7 times slower on a CPU
        )
        model.optimizer.build(model.trainable_variables)
        return model

    def initialize(self, model: Any) -> None:
        """Set initial weights other than Keras's."""
        from mnas.nn.functional import Network

        if self.weights is not None:
            set_layer_weights(model, self.architecture, self.weights(get_layer_weights(model, self.architecture)))
        elif self.recipe.zero_init_residual:
            set_layer_weights(model, self.architecture, Network(self.architecture).initial_layer_weights(self.seed))

    def restored(self, model: Any, checkpoint: Path) -> bool:
        """Load a checkpoint; False if it is damaged, then it is set aside: training again gives the same result."""
        try:
            load_state(model, checkpoint)
        except MnasError as error:
            if checkpoint.exists():
                set_aside(checkpoint)
            log.warning("%s. The training starts again", error)
            return False
        return True

    def epoch(self, model: Any, epoch: int) -> dict[str, float]:
        """Train one epoch and return its metrics."""
        started = time.perf_counter()
        batches = training_epoch(self.dataset.train, self.recipe, seed=self.seed, epoch=epoch)
        fitted = model.fit(batches, epochs=1, shuffle=False, verbose=0, callbacks=[self.reporter(epoch)])
        figures = {name: float(values[-1]) for name, values in fitted.history.items()}
        if not all(math.isfinite(value) for value in figures.values()):
            raise MnasError(
                f"training diverged in epoch {epoch + 1} (loss {figures['loss']}): try a smaller --learning-rate "
                f"than {self.recipe.learning_rate:g}"
            )
        figures["validation_accuracy"] = evaluate(model, self.dataset.validation, self.recipe.batch_size)
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

    def keep(self, model: Any, history: list[dict[str, float]]) -> None:
        """Write a checkpoint, then the record that refers to it, then remove the one before."""
        save_state(model, self.checkpoint(len(history)))
        write_json(self.out / PROGRESS, {"configuration": self.configuration, "history": history})
        self.drop_checkpoints(but=len(history))

    def drop_checkpoints(self, *, but: int = 0) -> None:
        """Remove all checkpoints but one, including those that a killed process left."""
        for path in self.out.glob("checkpoint-*"):
            if path.suffix in (".safetensors", ".npz") and path != self.checkpoint(but):
                path.unlink(missing_ok=True)

    def finish(self, model: Any, history: list[dict[str, float]]) -> Trained:
        """Recompute the batch-norm statistics, test once, write the folder, remove checkpoints."""
        model = recalibrated(model, self.architecture, self.dataset.train, self.recipe.batch_size)
        document = {
            "format": folder_of.FORMAT,
            "version": folder_of.VERSION,
            "configuration": self.configuration,
            "class_names": list(self.dataset.class_names),
            "train_images": len(self.dataset.train),
            "history": history,
            "validation_accuracy": evaluate(model, self.dataset.validation, self.recipe.batch_size),
            "test_accuracy": evaluate(model, self.dataset.test, self.recipe.batch_size),
            "made_with": versions(),
        }
        save_weights(model, self.architecture, self.out / folder_of.WEIGHTS)
        write_json(self.out / folder_of.ARCHITECTURE, architecture_to_dict(self.architecture))
        write_json(self.out / folder_of.TRAINING, document)
        self.drop_checkpoints()
        (self.out / PROGRESS).unlink(missing_ok=True)
        return open_trained(self.out)
