"""A trained network, and scaled ones that begin with its weights, as trained folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mnas.arch.codec import architecture_to_dict
from mnas.arch.memory import check_strides
from mnas.arch.spec import Architecture
from mnas.arch.zoo import ZOO
from mnas.data.dataset import Dataset
from mnas.errors import InputError
from mnas.scaling.grow import Array, grow_weights, reachable
from mnas.study.study import Study
from mnas.study.winner import trained_folder
from mnas.system.arrays import read_arrays, stored, write_arrays
from mnas.system.environment import versions
from mnas.system.files import check_writable, write_json
from mnas.system.lock import hold
from mnas.system.native_output import load_tensorflow
from mnas.train import trained_network as folder_of
from mnas.train.assessment import FILE as TEST
from mnas.train.assessment import Assessment, assess, read_assessment, write_assessment
from mnas.train.history import PROGRESS
from mnas.train.mirroring import is_mirrored
from mnas.train.pretrained import Pretrained
from mnas.train.recipe import Recipe
from mnas.train.trained_network import GROWN, Trained, is_trained, open_trained

_BATCH_SIZE = 64


def find_weights(network: str) -> Trained | None:
    """Return the trained network that a reference means; None if it has no weights.

    Args:
        network: the folder of a training, or of a study whose winner was trained.

    Raises:
        InputError: if the folder is damaged.
    """
    folder: Path | None = None if network in ZOO else Path(network)
    if folder is not None and (folder / "study.json").is_file():
        folder = trained_folder(folder, Study.open(folder).best())
    return open_trained(folder) if folder is not None and is_trained(folder) else None


@dataclass(frozen=True)
class Grown:
    """A network with weights that were grown, not written yet.

    Attributes:
        architecture: the network.
        arrays: its weights, in the order of `mnas.nn.build.get_layer_weights`.
        record: its training.json.
        assessment: its results on the test split; None if the network that it was grown from has none.
    """

    architecture: Architecture
    arrays: Sequence[Array]
    record: dict[str, Any]
    assessment: Assessment | None

    def write(self, folder: Path) -> None:
        """Write it as a trained folder; training.json, which makes it one, comes last.

        Raises:
            InputError: if the folder holds a study or another training.
            MnasError: if it cannot be written.
        """
        check_target(folder)
        with hold(folder / "lock", f"the training {folder}", remove=True):
            for name in (folder_of.TRAINING, TEST):
                (folder / name).unlink(missing_ok=True)
            write_arrays(folder / folder_of.WEIGHTS, {f"{n:04d}": array for n, array in enumerate(self.arrays)})
            write_json(folder / folder_of.ARCHITECTURE, architecture_to_dict(self.architecture))
            if self.assessment is not None:
                write_assessment(self.assessment, folder)
            write_json(folder / folder_of.TRAINING, self.record)


def check_target(folder: Path) -> None:
    """Refuse a folder that cannot be written, or holds something else: a network that was grown is replaced.

    Raises:
        InputError: if it holds a study, or a training, finished or not.
        MnasError: if it cannot be written.
    """
    if (folder / "study.json").is_file():
        raise InputError(f"{folder} holds a study: use another --out, such as {folder / 'family'}")
    if (is_trained(folder) and open_trained(folder).grown_from is None) or (folder / PROGRESS).is_file():
        raise InputError(f"{folder} holds a training, which would be lost: use another --out")
    check_writable(folder / folder_of.TRAINING)


@dataclass(frozen=True)
class KeptWeights:
    """The weights of a trained network, for networks that are scaled from it.

    Attributes:
        trained: the network.
        seed: see `mnas.scaling.grow.grow_weights`.
    """

    trained: Trained
    seed: int = 0

    @cached_property
    def arrays(self) -> list[Array]:
        """Its weights, in the order of `mnas.nn.build.get_layer_weights`."""
        return list(read_arrays(stored(self.trained.folder / folder_of.WEIGHTS)).values())

    @cached_property
    def sha256(self) -> str:
        """Hash of the arrays."""
        return Pretrained.of(self.arrays).sha256

    @cached_property
    def data(self) -> Dataset:
        """The data that it was trained on."""
        return self.trained.load_data()

    def fit(self, scaled: Architecture) -> Architecture:
        """See `mnas.scaling.grow.reachable`."""
        return reachable(self.trained.architecture, scaled)

    def weights(self, scaled: Architecture) -> Pretrained:
        """Return initial weights for a network that `fit` returned.

        Raises:
            InputError: if the weights belong to another network, or cannot be kept.
            MnasError: if they cannot be read.
        """
        arrays = grow_weights(self.trained.architecture, self.arrays, scaled, seed=self.seed)
        return Pretrained.of(arrays, self.trained.training["class_names"])

    def grow(self, scaled: Architecture) -> Grown:
        """Return a network that `fit` returned, with weights and a record.

        At another resolution the statistics of its batch norms are recomputed as after a training, and its accuracy is
        measured, on the data of the training; at the same one both stay.

        Raises:
            InputError: as `weights`, or if the data are missing or have changed.
            MnasError: if the weights cannot be read.
        """
        own, record = self.trained, self.trained.training
        arrays, configuration = self.weights(scaled).arrays, record["configuration"]
        scores = {name: record[name] for name in ("validation_accuracy", "test_accuracy")}
        grown = {
            "folder": str(own.folder),
            "weights": self.sha256,
            "architecture": configuration["architecture"],
            "seed": self.seed,
            **scores,
        }
        configuration = {**configuration, "architecture": architecture_to_dict(scaled), GROWN: grown}
        tested = read_assessment(own.folder)
        if scaled.resolution != own.architecture.resolution:
            data = self._data_at(scaled.resolution)
            arrays, scores, tested = _at_its_resolution(scaled, arrays, data, record)
            configuration["data"] = {**configuration["data"], "fingerprint": data.fingerprint}
        record = {**record, "version": folder_of.VERSION, **scores, "configuration": configuration}
        return Grown(scaled, arrays, {**record, "made_with": versions()}, tested)

    def _data_at(self, resolution: int) -> Dataset:
        load_tensorflow()
        data = self.trained.data.load(resolution)
        if data.labels_sha256 != self.data.labels_sha256:
            raise InputError(
                f"{self.trained.data.name} gives other images at {resolution} px than those that {self.trained.folder} "
                "was trained on: train it again, or use --no-keep-weights"
            )
        return data


def _at_its_resolution(
    architecture: Architecture, arrays: Sequence[Array], data: Dataset, training: dict[str, Any]
) -> tuple[list[Array], dict[str, float], Assessment]:
    """The weights with statistics of these data, the accuracies on both splits, and the results on the test split."""
    from mnas.nn.build import get_layer_weights
    from mnas.train.evaluate import evaluate, predict
    from mnas.train.parts import WholeNetwork

    check_strides(architecture)
    configuration = training["configuration"]
    recipe = replace(Recipe.from_dict(configuration["recipe"]), batch_size=_BATCH_SIZE, reparameterize=False)
    part = WholeNetwork(architecture, data, recipe, configuration["seed"], Pretrained.of(list(arrays)))
    model = part.finish(part.build(steps=1), mirror=is_mirrored(training))
    tested = assess(predict(model, data.test, _BATCH_SIZE), data.test, data.class_names)
    validation = evaluate(model, data.validation, _BATCH_SIZE)
    scores = {"validation_accuracy": validation, "test_accuracy": tested.accuracy}
    return get_layer_weights(model, architecture), scores, tested
