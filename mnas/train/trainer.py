"""Training one network properly: a checkpoint every epoch, resumed where it stopped, tested once at the end."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mnas.arch.codec import architecture_to_dict
from mnas.arch.memory import check_strides
from mnas.arch.spec import Architecture
from mnas.checks import check_integer, check_number
from mnas.data.dataset import Dataset, DataSource
from mnas.errors import InputError, MnasError
from mnas.nn.build import build_model, get_layer_weights, set_layer_weights
from mnas.system.arrays import stored
from mnas.system.environment import versions
from mnas.system.files import read_json, set_aside, shorten, write_json
from mnas.system.lock import hold
from mnas.train import trained_network as folder_of
from mnas.train.augment import training_epoch
from mnas.train.evaluate import evaluate, recalibrated
from mnas.train.optimizer import accelerated, hold_average, make_optimizer, smoothed_loss
from mnas.train.pretrained import Pretrained
from mnas.train.recipe import Recipe
from mnas.train.trained_network import Trained, load_state, open_trained, save_state, save_weights

log = logging.getLogger(__name__)

PROGRESS = "progress.json"
LOCK = "lock"


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training stands.

    Attributes:
        step: steps done, of `steps`.
        epoch: the epoch that is running, from 1.
        epoch_ended: the figures of the epoch that just ended, else None.
    """

    step: int
    steps: int
    epoch: int
    epoch_ended: dict[str, float] | None = None


def train_network(
    architecture: Architecture,
    source: DataSource,
    out: Path,
    *,
    recipe: Recipe,
    seed: int = 0,
    resume: bool = False,
    dataset: Dataset | None = None,
    weights: Pretrained | None = None,
    progress: Callable[[Progress], None] = lambda state: None,
) -> Trained:
    """Train a network and write it to a folder; return at once what is there if this training is already finished.

    Args:
        architecture: the network; its classifier is set to the data's classes.
        source: the data, loaded at the architecture's resolution.
        out: the folder.
        recipe: how to train.
        seed: decides weights, shuffling, augmentation.
        resume: go on with an interrupted training.
        dataset: the loaded data, if the caller has it already.
        weights: where the weights start from, instead of at random.
        progress: is told about every step and every epoch.

    Raises:
        InputError: if the folder belongs to another configuration, or holds an interrupted training and `resume` is
            False.
        MnasError: if training diverges, or a file cannot be written.
    """
    check_strides(architecture)
    dataset = dataset or source.load(architecture.resolution)
    architecture = replace(architecture, num_classes=dataset.num_classes)
    configuration = _configuration(architecture, source, dataset, recipe, seed, weights)
    if folder_of.is_trained(out):
        _refuse_another(out / folder_of.TRAINING, configuration)
        log.info("%s already holds this very training", out)
        return open_trained(out)
    with hold(out / LOCK, f"the training {out}", remove=True):
        before = read_progress(out, configuration, resume=resume)
        run = _Run(architecture, dataset, recipe, seed, out, configuration, progress, weights)
        return run.finish(run.train(before))


def _configuration(
    architecture: Architecture,
    source: DataSource,
    dataset: Dataset,
    recipe: Recipe,
    seed: int,
    weights: Pretrained | None,
) -> dict[str, Any]:
    """Everything that decides the outcome."""
    return {
        "architecture": architecture_to_dict(architecture),
        "data": {
            "name": source.name,
            "seed": source.seed,
            "limit": source.limit,
            "validation_share": source.validation_share,
            "fingerprint": dataset.fingerprint,
        },
        "recipe": recipe.to_dict(),
        "seed": seed,
        "weights": None if weights is None else weights.sha256,
    }


def _refuse_another(path: Path, configuration: dict[str, Any]) -> dict[str, Any]:
    """Read a record and refuse it if it is of another configuration; name what differs."""
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
    """The history of the epochs that are done, figures by name in each; empty for a fresh start.

    Args:
        out: the folder of the training.
        configuration: what decides the outcome of the training.
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
            f"{out} holds this training, interrupted after {done}; go on with --resume, or use another --out"
        )
    return history


def _checked_history(path: Path, record: dict[str, Any], epochs: int) -> list[dict[str, float]]:
    """The epochs that a record says are done, figures by name in each."""
    history: list[dict[str, float]] = record.get("history", [])
    try:
        check_integer("the number of epochs in history", len(history), 1, epochs)
        for figures in history:
            for name, figure in figures.items():
                check_number(shorten(name), figure, -1e308, 1e308)
    except (TypeError, AttributeError, InputError) as error:
        raise InputError(f"{path} is damaged ({error}): delete {path.parent} to train anew") from None
    return history


@dataclass
class _Run:
    """One training under way."""

    architecture: Architecture
    dataset: Dataset
    recipe: Recipe
    seed: int
    out: Path
    configuration: dict[str, Any]
    progress: Callable[[Progress], None]
    weights: Pretrained | None = None

    @property
    def steps_per_epoch(self) -> int:
        count = len(self.dataset.train)
        return count // min(self.recipe.batch_size, count)

    @property
    def steps(self) -> int:
        return self.steps_per_epoch * self.recipe.epochs

    def train(self, history: list[dict[str, float]]) -> tuple[Any, list[dict[str, float]]]:
        """Run the epochs that are still to do."""
        with accelerated(self.recipe):
            model = self.compiled()
        put_average = hold_average(model)
        if history and not self.restored(model, stored(self.checkpoint(len(history)))):
            history = []
        for epoch in range(len(history), self.recipe.epochs):
            history = [*history, self.epoch(model, epoch)]
            self.keep(model, history)
            self.progress(Progress((epoch + 1) * self.steps_per_epoch, self.steps, epoch + 1, history[-1]))
        put_average()
        return model, history

    def compiled(self) -> Any:
        """The model, ready for `fit`."""
        import keras

        model = build_model(self.architecture, batch_norm_momentum=self.recipe.momentum(self.steps), seed=self.seed)
        self.begin(model)
        model.compile(
            optimizer=make_optimizer(self.recipe, self.steps),
            loss=smoothed_loss(self.architecture.num_classes, self.recipe.label_smoothing),
            metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
            jit_compile=False,  # XLA made the same step 7 times slower on a CPU
        )
        model.optimizer.build(model.trainable_variables)
        return model

    def begin(self, model: Any) -> None:
        """Weights that are not Keras's own draw."""
        from mnas.nn.functional import Network

        if self.weights is not None:
            set_layer_weights(model, self.architecture, self.weights(get_layer_weights(model, self.architecture)))
        elif self.recipe.zero_init_residual:
            set_layer_weights(model, self.architecture, Network(self.architecture).initial_layer_weights(self.seed))

    def restored(self, model: Any, checkpoint: Path) -> bool:
        """Whether the model is as the checkpoint says; a damaged one is set aside: training anew ends the same."""
        try:
            load_state(model, checkpoint)
        except MnasError as error:
            if checkpoint.exists():
                set_aside(checkpoint)
            log.warning("%s. The training begins anew", error)
            return False
        return True

    def epoch(self, model: Any, epoch: int) -> dict[str, float]:
        """One epoch; its figures."""
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

    def reporter(self, epoch: int) -> Any:
        """A Keras callback that passes every step on."""
        import keras

        done = epoch * self.steps_per_epoch
        return keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: self.progress(Progress(done + batch + 1, self.steps, epoch + 1))
        )

    def checkpoint(self, epochs: int) -> Path:
        return self.out / f"checkpoint-{epochs}.safetensors"

    def keep(self, model: Any, history: list[dict[str, float]]) -> None:
        """Write a checkpoint, then say that it counts, then drop the one before."""
        save_state(model, self.checkpoint(len(history)))
        write_json(self.out / PROGRESS, {"configuration": self.configuration, "history": history})
        self.drop_checkpoints(but=len(history))

    def drop_checkpoints(self, *, but: int = 0) -> None:
        """Remove them, those too that a killed process had no time to remove."""
        for path in self.out.glob("checkpoint-*"):
            if path.suffix in (".safetensors", ".npz") and path != self.checkpoint(but):
                path.unlink(missing_ok=True)

    def finish(self, done: tuple[Any, list[dict[str, float]]]) -> Trained:
        """Recalibrate, test once, write, tidy up."""
        model, history = done
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
