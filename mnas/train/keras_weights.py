"""Published weights from keras.applications: MobileNetV2 and V3, EfficientNetB0 to B7, EfficientNetV2B0 to B3.

Keras's EfficientNet rescales and normalises its input; mnas's networks take [-1, 1], so this is folded into the first
convolution. The result is exact except at the border, where mnas pads with grey and Keras with its mean colour.
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.errors import InputError, MnasError
from mnas.system.native_output import downloading
from mnas.train.published import Application

Arrays = list[npt.NDArray[np.float32]]
_WEIGHTED = ("Conv2D", "DepthwiseConv2D", "BatchNormalization", "Dense")
_IMAGENET_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
_INPUT = {"MobileNetV2": (-1.0, 1.0)}  # the values that the others take are bytes


class DownloadError(MnasError):
    """Published weights could not be downloaded."""


def keras_weights(source: str, application: Application) -> Arrays:
    """Load the weights of a network of keras.applications.

    Args:
        source: `imagenet`, which Keras downloads, or a file of Keras's weights (.h5, .weights.h5), with or without top;
            MobileNetV3's needs the top, where its last convolution is.
        application: the network.

    Returns:
        The weights in the order of `mnas.nn.build.get_layer_weights`; of a file without top, a classifier of no class.

    Raises:
        InputError: if the file does not fit the network.
        DownloadError: if the download fails.
    """
    model = _load(application, source)
    layers = [layer for layer in model.layers if type(layer).__name__ in _WEIGHTED]
    arrays = [np.asarray(array) for layer in layers for array in layer.get_weights()]
    _fold_input(model, application.function, arrays, downloaded=source == "imagenet")
    if "V3" in application.function:  # what follows the pooling is 1x1 convolutions there
        return [*arrays[:-4], arrays[-4][0, 0], arrays[-3], arrays[-2][0, 0], arrays[-1]]
    if type(layers[-1]).__name__ != "Dense":
        arrays += [np.zeros((arrays[-1].shape[0], 0), np.float32), np.zeros(0, np.float32)]
    return arrays


def _load(application: Application, source: str) -> Any:
    import keras

    name = application.function
    make = partial(getattr(keras.applications, name), **application.arguments)
    if source == "imagenet":
        try:
            with downloading():
                return make(weights="imagenet")
        except Exception as error:  # Keras raises a bare Exception when a download fails
            raise DownloadError(f"cannot download the weights of {name}: {error}; pass a file with --weights") from None
    problems = []
    for options in ({},) if "V3" in name else ({}, {"include_top": False}):
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
    factor = np.float32(1) if downloaded or "V2" in name else _left_out(model)
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
