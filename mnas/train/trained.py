"""A trained network on disk: architecture.json, model.weights.h5 and training.json in one folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnas.arch.codec import architecture_from_dict
from mnas.arch.spec import Architecture
from mnas.errors import InputError, MnasError
from mnas.files import read_json
from mnas.nn.build import build_model
from mnas.train.data import Dataset, load_dataset

FORMAT = "mnas.training"
VERSION = 1
ARCHITECTURE = "architecture.json"
WEIGHTS = "model.weights.h5"
TRAINING = "training.json"


@dataclass(frozen=True, slots=True)
class DataSource:
    """Where images come from; see `mnas.train.data.load_dataset`."""

    name: str
    seed: int = 0
    limit: int | None = None
    validation_share: float = 0.15

    def load(self, resolution: int) -> Dataset:
        """Load it at one resolution.

        Raises:
            InputError: if there is no such data, or it cannot be used.
        """
        return load_dataset(
            self.name,
            resolution=resolution,
            validation_share=self.validation_share,
            seed=self.seed,
            limit=self.limit,
        )


@dataclass(frozen=True, slots=True)
class Trained:
    """What a folder holds, its training finished.

    Attributes:
        folder: where it is.
        architecture: the network, with the classifier that the data needs.
        training: training.json: data, recipe, history, accuracies.
    """

    folder: Path
    architecture: Architecture
    training: dict[str, Any]

    def build(self, *, probabilities: bool = True) -> Any:
        """The Keras model with its trained weights.

        Raises:
            MnasError: if the weights are missing, damaged, or of another architecture.
        """
        model = build_model(self.architecture, probabilities=probabilities)
        load_weights(model, self.folder / WEIGHTS)
        return model

    @property
    def data(self) -> DataSource:
        """The data that it was trained on."""
        said = self.training["configuration"]["data"]
        return DataSource(said["name"], said["seed"], said["limit"], said["validation_share"])

    def load_data(self) -> Dataset:
        """Load the data that it was trained on, the same splits again.

        Raises:
            InputError: if the data is gone, or is not what it was.
        """
        dataset = self.data.load(self.architecture.resolution)
        if dataset.fingerprint != self.training["configuration"]["data"]["fingerprint"]:
            raise InputError(
                f"{self.data.name} is not the data that {self.folder} was trained on: images or split changed; "
                "train again, or name the data to check on with --data"
            )
        return dataset


def is_trained(folder: Path) -> bool:
    """Whether a folder holds a network whose training is finished."""
    return (folder / TRAINING).is_file()


def open_trained(folder: Path) -> Trained:
    """Read a folder that `mnas train` wrote.

    Raises:
        InputError: if it is no such folder, or its training is not finished.
    """
    if not is_trained(folder):
        raise InputError(
            f"{folder} holds no finished training ({TRAINING} is missing); train it first: "
            f"mnas train ARCH --data D --out {folder}"
        )
    training = read_json(folder / TRAINING, "a training's record")
    try:
        if (training["format"], training["version"]) != (FORMAT, VERSION):
            raise InputError(f"{folder / TRAINING} is not of this version of mnas: expected {FORMAT} {VERSION}")
        architecture = architecture_from_dict(training["configuration"]["architecture"])
        trained = Trained(folder, architecture, training)
        _ = trained.data, training["class_names"], training["test_accuracy"]
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder / TRAINING} is not a training's record: {error!r}") from None
    return trained


def load_weights(model: Any, path: Path) -> None:
    """Load a Keras weights file (HDF5: numbers only, nothing in it is run).

    Raises:
        MnasError: if it cannot be read or belongs to another network.
    """
    if not path.is_file():
        raise MnasError(f"{path} is missing: the weights of this network are gone; train it again")
    try:
        model.load_weights(str(path))
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0][:300]
        raise MnasError(f"cannot load the weights in {path}: damaged, or of another network ({reason})") from None


def save_weights(model: Any, path: Path) -> None:
    """Write a Keras weights file, whole or not at all. A compiled model's optimizer goes with it.

    Raises:
        MnasError: if it cannot be written.
    """
    with _beside(path) as temporary:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            model.save_weights(str(temporary))
            os.replace(temporary, path)
        except OSError as error:
            raise MnasError(f"cannot write {path}: {error.strerror or error}") from None


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A temporary path in the same folder that is gone afterwards. Keras insists on the ending."""
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
