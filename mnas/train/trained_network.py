"""A trained network on disk: architecture.json, weights.safetensors and training.json in one folder.

Its test.json, with the results on the test split, is that of `mnas.train.assessment`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct

from mnas.arch.codec import architecture_from_dict
from mnas.arch.spec import Architecture
from mnas.checks import AnyText, Share, convert
from mnas.data.dataset import Dataset, DataSource
from mnas.data.folder_layout import find_again
from mnas.errors import InputError, MnasError
from mnas.nn.build import build_model, get_layer_weights, set_layer_weights
from mnas.system.arrays import read_arrays, stored, write_arrays
from mnas.system.files import is_document, read_json
from mnas.system.permissions import names_what_is_not_permitted

FORMAT = "mnas.training"
VERSION = 2  # 1: the weights are in a .npz file
ARCHITECTURE = "architecture.json"
WEIGHTS = "weights.safetensors"
TRAINING = "training.json"
GROWN = "grown"  # in the configuration: what the weights were grown from


@dataclass(frozen=True, slots=True)
class Trained:
    """A folder with a finished training.

    Attributes:
        folder: where it is.
        architecture: the network, with the classifier that the data needs.
        training: training.json: data, recipe, history, accuracies.
    """

    folder: Path
    architecture: Architecture
    training: dict[str, Any]

    def build(self, *, probabilities: bool = True, fused: bool = False) -> Any:
        """Build the Keras model with its trained weights.

        Args:
            probabilities: end with a softmax.
            fused: with faster batch norms, for use in a training.

        Raises:
            MnasError: if the weights are missing, damaged, or of another architecture.
        """
        model = build_model(self.architecture, probabilities=probabilities, fused=fused)
        load_weights(model, self.architecture, stored(self.folder / WEIGHTS))
        return model

    @property
    def grown_from(self) -> str | None:
        """The folder of the network that it was scaled from, if its weights were grown and not trained since."""
        grown = self.training["configuration"].get(GROWN)
        return str(grown["folder"]) if isinstance(grown, dict) and "folder" in grown else None

    @property
    def data(self) -> DataSource:
        """The data that it was trained on."""
        said = self.training["configuration"]["data"]
        name = find_again(said["name"], self.training.get("data_path"))
        return DataSource(name, said["seed"], said["limit"], said["validation_share"])

    def load_data(self) -> Dataset:
        """Load the data that it was trained on, with the same splits.

        Raises:
            InputError: if the data is missing or has changed.
        """
        fingerprint = self.training["configuration"]["data"]["fingerprint"]
        dataset = self.data.load(self.architecture.resolution, fingerprint=fingerprint)
        if dataset.fingerprint != fingerprint:
            raise InputError(
                f"{self.data.name} is not the data that {self.folder} was trained on: images or split changed; "
                "train again, or pass other data to check on with --data"
            )
        return dataset


class _Data(Struct, frozen=True):
    name: AnyText
    fingerprint: AnyText
    seed: Annotated[int, Meta(ge=0, le=10**18)]
    limit: Annotated[int, Meta(ge=1, le=10**9)] | None
    validation_share: Annotated[float, Meta(ge=0.01, le=0.9)]


class _Configuration(Struct, frozen=True):
    architecture: dict[str, Any]
    data: _Data


class _Record(Struct, frozen=True):
    """The fields of training.json that are needed; it has more."""

    configuration: _Configuration
    class_names: tuple[AnyText, ...]
    test_accuracy: Share
    validation_accuracy: Share


def is_trained(folder: Path) -> bool:
    """Whether a folder holds a network whose training is finished."""
    return (folder / TRAINING).is_file()


@names_what_is_not_permitted
def open_trained(folder: Path) -> Trained:
    """Read a folder that `mnas train` wrote.

    Raises:
        InputError: if it is not such a folder, or its training is not finished.
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
        try:
            record = convert(training, _Record, "")
        except InputError as error:
            raise InputError(f"{folder / TRAINING} is not a training's record: {error}") from None
        architecture = architecture_from_dict(record.configuration.architecture)
        names, classes = len(record.class_names), architecture.num_classes
        if names != classes:
            raise InputError(f"there are {names} class_names, and the network has {classes} classes")
    except InputError as error:
        raise error if str(folder) in str(error) else InputError(f"{folder / TRAINING}: {error}") from None
    return Trained(folder, architecture, training)


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
    """Write the state that a training resumes from: weights, the optimizer's variables, random states.

    Raises:
        MnasError: if it cannot be written.
    """
    write_arrays(path, {f"{n:04d}": np.asarray(variable) for n, variable in enumerate(_state(model))})


def load_state(model: Any, path: Path) -> None:
    """Load what `save_state` wrote into a model that is built and compiled in the same way.

    Raises:
        MnasError: if it cannot be read or does not fit.
    """
    arrays, variables = list(read_arrays(path).values()), _state(model)
    if [array.shape for array in arrays] != [tuple(variable.shape) for variable in variables]:
        raise MnasError(f"{path} is the checkpoint of another training: delete its folder and train again")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _state(model: Any) -> list[Any]:
    # A layer's variables include the seeds of dropout, its weights do not.
    return [*(variable for layer in model.layers for variable in layer.variables), *model.optimizer.variables]
