"""Initial weights from keras.applications, for the same architecture: MobileNetV2 and EfficientNetB0 to B7.

All weights are used, the classifier's only if the number of classes is the same. Keras's EfficientNet rescales and
normalises its input; mnas's networks take [-1, 1], so this is folded into the first convolution. The result is exact
except at the border, where mnas pads with grey and Keras with its mean colour.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.arch.spec import Architecture
from mnas.arch.zoo import ZOO
from mnas.errors import InputError, MnasError

Arrays = list[npt.NDArray[np.float32]]
APPLICATIONS = {
    "mobilenet-v2": "MobileNetV2",
    **{f"efficientnet-b{number}": f"EfficientNetB{number}" for number in range(8)},
}
_WEIGHTED = ("Conv2D", "DepthwiseConv2D", "BatchNormalization", "Dense")
_IMAGENET_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
_INPUT = {"MobileNetV2": (-1.0, 1.0)}  # the values that the others take are bytes


@dataclass(frozen=True)
class Pretrained:
    """Initial weights.

    Attributes:
        arrays: in the order of `mnas.nn.build.get_layer_weights`.
        sha256: of the arrays.
    """

    arrays: Arrays
    sha256: str

    def __call__(self, fresh: Sequence[Any]) -> Arrays:
        """Return the pretrained weights, with the fresh classifier if the number of classes differs.

        Raises:
            InputError: if they are of another architecture.
        """
        known, given = [array.shape for array in self.arrays], [tuple(array.shape) for array in fresh]
        if len(known) != len(given) or known[:-2] != given[:-2]:
            raise InputError("these pretrained weights belong to another architecture")
        return self.arrays if known == given else [*self.arrays[:-2], *fresh[-2:]]


def open_pretrained(source: str, architecture: Architecture) -> Pretrained:
    """Load weights of keras.applications for an architecture.

    Args:
        source: `imagenet`, which Keras downloads, or a file of Keras's weights (.h5, .weights.h5), with or without top.
        architecture: a network of the zoo that Keras has; resolution, classes and dropout may differ.

    Raises:
        InputError: if Keras has no such network, or the file does not fit it.
        MnasError: if the download fails.
    """
    name = application_of(architecture)
    if source != "imagenet" and not Path(source).is_file():
        raise InputError(f"--weights is {source!r}: expected imagenet, or a file of Keras's weights")
    model = _load(name, source)
    layers = [layer for layer in model.layers if type(layer).__name__ in _WEIGHTED]
    arrays = [np.asarray(array) for layer in layers for array in layer.get_weights()]
    _fold_input(model, name, arrays, downloaded=source == "imagenet")
    if type(layers[-1]).__name__ != "Dense":  # a file without top: an empty classifier, of another size than any
        arrays += [np.zeros((arrays[-1].shape[0], 0), np.float32), np.zeros(0, np.float32)]
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return Pretrained(arrays, digest.hexdigest())


def application_of(architecture: Architecture) -> str:
    """Return the name of a network in keras.applications.

    Raises:
        InputError: if it has no such network.
    """
    for name, application in APPLICATIONS.items():
        known = ZOO[name]
        same = {field: getattr(known, field) for field in ("resolution", "num_classes", "dropout", "stochastic_depth")}
        if replace(architecture, **same) == known:
            return application
    raise InputError(
        f"--weights needs a network that keras.applications has: {', '.join(APPLICATIONS)}; this one is none of them"
    )


def _load(name: str, source: str) -> Any:
    import keras

    make = getattr(keras.applications, name)
    if source == "imagenet":
        try:
            return make(weights="imagenet")
        except Exception as error:  # Keras raises a bare Exception when a download fails
            raise MnasError(f"cannot download the weights of {name}: {error}; pass a file with --weights") from None
    problems = []
    for options in ({}, {"include_top": False}):
        model = make(weights=None, **options)
        _blank(model)
        try:
            with warnings.catch_warnings():  # about layers that the file lacks, which are checked below
                warnings.simplefilter("ignore")
                model.load_weights(source)
        except Exception as error:  # h5py and Keras raise many kinds of errors for invalid files
            problems.append(str(error).splitlines()[0][:200] if str(error) else type(error).__name__)
            continue
        left = _blanks(model)
        if not left:
            return model
        problems.append(f"it lacks those of {left[0]}" + (f" and {len(left) - 1} others" if left[1:] else ""))
    raise InputError(f"{source} does not hold weights of {name}: {problems[0]}")


def _blank(model: Any) -> None:
    """Fill a model with NaN: Keras keeps weights that a file lacks, with a warning at most."""
    for weight in model.weights:
        if "float" in str(weight.dtype):
            weight.assign(np.full(tuple(weight.shape), np.nan, np.float32))


def _blanks(model: Any) -> list[str]:
    """Return the names of weights that are still blank, in part or in whole."""
    return [
        weight.path for weight in model.weights if "float" in str(weight.dtype) and np.isnan(np.asarray(weight)).any()
    ]


def _fold_input(model: Any, name: str, arrays: Arrays, *, downloaded: bool) -> None:
    """Change the first convolution and its batch norm, so that they take [-1, 1] instead of what Keras's network takes.

    What stands before the convolution is affine in every channel, so two constant images tell all of it.
    """
    import keras

    first = next(layer for layer in model.layers if type(layer).__name__ == "Conv2D")
    before = keras.Model(model.input, first.input)
    low, high = _INPUT.get(name, (0.0, 255.0))
    size = max(32, first.kernel_size[0])
    values = [np.asarray(before(np.full((1, size, size, 3), value, np.float32)))[0, 4, 4] for value in (low, high)]
    factor = np.float32(1) if downloaded else _left_out(model)
    slope, middle = factor * (values[1] - values[0]) / 2, factor * (values[1] + values[0]) / 2
    kernel, mean = arrays[0], arrays[3]  # gamma and beta stand between them
    arrays[3] = mean - np.einsum("hwio,i->o", kernel, middle)
    arrays[0] = kernel * slope[None, None, :, None]


def _left_out(model: Any) -> Any:
    """What Keras's EfficientNet multiplies its normalised input by, with ImageNet's weights only.

    Those weights expect (x - mean) / deviation^1.5: with `weights="imagenet"` Keras adds a rescaling layer for it,
    which a model that is built empty and then loads the file does not have. A file with a mean is such a file.
    """
    for layer in model.layers:
        if type(layer).__name__ == "Normalization" and np.any(np.asarray(layer.mean) != 0):
            return 1 / np.sqrt(_IMAGENET_DEVIATION)
    return np.float32(1)
