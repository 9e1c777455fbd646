"""A trained network on disk: architecture.json, weights.npz and training.json in one folder."""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.arch.codec import architecture_from_dict
from mnas.arch.spec import Architecture, check_integer, check_number
from mnas.errors import InputError, MnasError
from mnas.files import is_document, read_bytes, read_json, shorten, write_atomically
from mnas.nn.build import build_model, get_layer_weights, set_layer_weights
from mnas.train.data import Dataset, load_dataset

FORMAT = "mnas.training"
VERSION = 1
ARCHITECTURE = "architecture.json"
WEIGHTS = "weights.npz"
TRAINING = "training.json"
_MOST_BYTES = 1 << 32


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
        load_weights(model, self.architecture, self.folder / WEIGHTS)
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
        if not is_document(training, FORMAT, VERSION):
            raise InputError(f"{folder / TRAINING} is not of this version of mnas: expected {FORMAT} {VERSION}")
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


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write arrays as a NumPy .npz file: numbers and nothing else.

    Raises:
        MnasError: if it cannot be written; what was there before is untouched.
    """
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    write_atomically(path, file.getvalue())


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read a .npz file; objects in it are refused, so that nothing in it can run.

    Raises:
        MnasError: if it is missing or damaged.
    """
    try:
        data = read_bytes(path, "weights", most=_MOST_BYTES)
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            members = {info.filename.removesuffix(".npy"): info for info in file.infolist()}
            if len(members) != len(file.infolist()):
                raise ValueError("an array is there twice")
            return {name: _read_array(file, members[name]) for name in sorted(members)}
    except InputError as error:
        raise MnasError(f"{error}; train again") from None
    # zipfile and NumPy's header raise what they please for damaged bytes
    except (ValueError, EOFError, LookupError, TypeError, SyntaxError, NotImplementedError, RuntimeError) as error:
        raise MnasError(_damaged(path, error)) from None
    except (zipfile.BadZipFile, zlib.error, OSError, OverflowError, struct.error, MemoryError) as error:
        raise MnasError(_damaged(path, error)) from None


def _damaged(path: Path, error: Exception) -> str:
    return f"cannot read the weights in {path}: missing or damaged ({shorten(str(error))}); train again"


def _read_array(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> npt.NDArray[Any]:
    """One array of a .npz file as NumPy's `savez` writes it; nothing larger than the file itself is ever allocated."""
    if info.compress_type != zipfile.ZIP_STORED:  # a small file that unpacks to a huge one is none of ours
        raise ValueError(f"{info.filename} is compressed")
    content = io.BytesIO(file.read(info))
    if np.lib.format.read_magic(content) != (1, 0):
        raise ValueError(f"{info.filename} is of another format")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(content)
    values = content.read()
    if dtype.kind not in "fiub" or math.prod(shape) * dtype.itemsize != len(values):
        raise ValueError(f"{info.filename} does not hold the numbers that it announces")
    array = np.frombuffer(values, dtype).reshape(shape, order="F" if fortran else "C")
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{info.filename} holds NaN or infinity")
    return array
