"""A trained network on disk: architecture.json, weights.safetensors and training.json in one folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mnas.arch.codec import architecture_from_dict
from mnas.arch.spec import Architecture
from mnas.checks import check_integer, check_number
from mnas.errors import InputError, MnasError
from mnas.files import is_document, read_json
from mnas.nn.build import build_model, get_layer_weights, set_layer_weights
from mnas.system.arrays import read_arrays, stored, write_arrays
from mnas.train.data import Dataset, load_dataset

FORMAT = "mnas.training"
VERSION = 2  # 1: the weights are in a .npz file
ARCHITECTURE = "architecture.json"
WEIGHTS = "weights.safetensors"
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
        load_weights(model, self.architecture, stored(self.folder / WEIGHTS))
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
        if not any(is_document(training, FORMAT, version) for version in (1, VERSION)):
            raise InputError(f"{folder / TRAINING} is not of this version of mnas: expected {FORMAT} 1 or {VERSION}")
        architecture = architecture_from_dict(training["configuration"]["architecture"])
        trained = Trained(folder, architecture, training)
        _check_record(training, architecture)
    except InputError as error:
        raise error if str(folder) in str(error) else InputError(f"{folder / TRAINING}: {error}") from None
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder / TRAINING} is not a training's record: {error!r}") from None
    return trained


def _check_record(training: dict[str, Any], architecture: Architecture) -> None:
    """Refuse a record that a mistaken hand has been at. KeyError and TypeError are the caller's."""
    data, names = training["configuration"]["data"], training["class_names"]
    for name in ("name", "fingerprint"):
        if not isinstance(data[name], str):
            raise InputError(f"the data's {name} is no text")
    check_integer("the data's seed", data["seed"], 0, 10**18)
    check_integer("the data's limit", 1 if data["limit"] is None else data["limit"], 1, 10**9)
    check_number("the data's validation_share", data["validation_share"], 0.01, 0.9)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError("class_names is no list of names")
    if len(names) != architecture.num_classes:
        raise InputError(f"there are {len(names)} class_names, and the network has {architecture.num_classes} classes")
    for name in ("test_accuracy", "validation_accuracy"):
        check_number(name, training[name], 0, 1)


def load_weights(model: Any, architecture: Architecture, path: Path) -> None:
    """Load weights that `save_weights` wrote.

    Raises:
        MnasError: if they cannot be read or belong to another network.
    """
    arrays = read_arrays(path)
    try:
        set_layer_weights(model, architecture, list(arrays.values()))
    except InputError as error:
        raise MnasError(f"the weights in {path} are of another network: {error}") from None


def save_weights(model: Any, architecture: Architecture, path: Path) -> None:
    """Write a network's weights, whole or not at all, in the order of `mnas.nn.build.get_layer_weights`.

    Raises:
        MnasError: if they cannot be written.
    """
    write_arrays(path, {f"{n:04d}": array for n, array in enumerate(get_layer_weights(model, architecture))})


def save_state(model: Any, path: Path) -> None:
    """Write all that training needs to go on: weights, the optimizer's variables, the state of random numbers.

    Raises:
        MnasError: if it cannot be written.
    """
    write_arrays(path, {f"{n:04d}": np.asarray(variable) for n, variable in enumerate(_state(model))})


def load_state(model: Any, path: Path) -> None:
    """Put back what `save_state` wrote into a model that is built and compiled alike.

    Raises:
        MnasError: if it cannot be read or does not fit.
    """
    arrays, variables = list(read_arrays(path).values()), _state(model)
    if [array.shape for array in arrays] != [tuple(variable.shape) for variable in variables]:
        raise MnasError(f"{path} is the checkpoint of another training: delete its folder and train again")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _state(model: Any) -> list[Any]:
    # Keras counts the seeds of dropout among a layer's variables, but not among its weights.
    return [*(variable for layer in model.layers for variable in layer.variables), *model.optimizer.variables]
