"""Fine-tuning for a smaller or faster file: quantisation-aware training, pruning, clustering.

Uses tensorflow-model-optimization, which supports Keras 2 only (tensorflow/model-optimization#1119). So the network is
built again with `tf_keras`, and its weights are copied in the order of the walk. A pruned or clustered network is
copied back to Keras 3; a quantisation-aware one is converted as it is, with the ranges that it has learned.

`quantize_model` rejects the multiplication of squeeze-and-excitation, and the parts of hard swish. Here the
multiplication's output gets its own range, and hard swish gets one range at its end, so that it stays one operator. The
convolution before a hard sigmoid gets no range, so that what is added to its output becomes part of its bias.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import count
from typing import Any

import numpy as np

from mnas.arch.spec import Architecture
from mnas.checks import check_choice, check_integer, check_number
from mnas.data.dataset import Split
from mnas.errors import InputError
from mnas.nn.build import build_model, get_layer_weights, set_layer_weights
from mnas.train.augment import training_epoch
from mnas.train.recipe import SHIFT, Recipe

KINDS = ("qat", "prune", "cluster")
Wrapped = tuple[Any, list[Any]]  # a model, and the callbacks that its training needs
_LEAST_WEIGHTS = 16  # of a layer, per cluster centre
_EPSILON = 1e-3  # of the batch norms that `build_model` makes
_QUANTIZERS = "tensorflow_model_optimization.python.core.quantization.keras.default_8bit.default_8bit_quantizers"


@dataclass(frozen=True, slots=True)
class Compression:
    """Kind of compression, and how to fine-tune for it.

    Attributes:
        kind: qat, prune or cluster.
        sparsity: share of the weights of every convolution and dense layer that become 0, by a polynomial schedule
            over the first two thirds of the steps (Zhu and Gupta 2017).
        clusters: number of different weights in a layer.
        epochs: passes over the training images.
        batch_size: images per step.
        learning_rate: constant learning rate of Adam.
        seed: seed of shuffling and augmentation.
    """

    kind: str
    sparsity: float = 0.5
    clusters: int = 16
    epochs: int = 1
    batch_size: int = 64
    learning_rate: float = 1e-4
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("compression", self.kind, KINDS)
        check_number("--prune", self.sparsity, 0.01, 0.99)
        check_integer("--cluster", self.clusters, 2, 256)
        check_integer("--fine-tune-epochs", self.epochs, 1, 10_000)
        check_integer("batch_size", self.batch_size, 2, 65536)
        check_number("learning_rate", self.learning_rate, 1e-9, 1)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that this kind uses, as plain data."""
        others = {"qat": ("sparsity", "clusters"), "prune": ("clusters",), "cluster": ("sparsity",)}[self.kind]
        return {name: value for name, value in asdict(self).items() if name not in others}


@dataclass(frozen=True)
class Compressed:
    """A fine-tuned network.

    Attributes:
        model: returns probabilities; a Keras 2 model after quantisation-aware training, a Keras 3 model otherwise.
        learned_ranges: whether an int8 file takes its ranges from the model.
        about: the compression, with the share of zeros and the number of different weights, as plain data.
    """

    model: Any
    learned_ranges: bool
    about: dict[str, Any]


def compress(
    architecture: Architecture,
    model: Any,
    images: Split,
    compression: Compression,
    *,
    flip: bool = True,
    shift: float = SHIFT,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Compressed:
    """Fine-tune a trained network for one kind of compression.

    Args:
        architecture: the network.
        model: its trained Keras 3 model.
        images: training images.
        compression: kind of compression, and how to fine-tune.
        flip: whether a mirrored image has the same class.
        shift: images are moved by up to this share of their side.
        progress: called with the steps done and the total number of steps.

    Raises:
        InputError: if the packages of the extra `compression` are not installed.
    """
    keras, tfmot = _load("tf_keras"), _load("tensorflow_model_optimization")
    keras.utils.set_random_seed(compression.seed)
    still = replace(architecture, dropout=0, stochastic_depth=0)
    weights = get_layer_weights(model, architecture)
    if compression.kind == "qat" and still.pooled_filters and still.pooled_norm:
        still, weights = replace(still, pooled_norm=False), _pooled_norm_folded(weights)
    plain = build_model(still, keras=keras, probabilities=True)
    set_layer_weights(plain, still, weights)
    recipe = Recipe(batch_size=compression.batch_size, flip=flip, shift=shift)
    steps = compression.epochs * (len(images) // min(recipe.batch_size, len(images)))
    wrap = {"qat": _quantisation_aware, "prune": _pruned, "cluster": _clustered}[compression.kind]
    wrapped, callbacks = wrap(keras, tfmot, plain, compression, steps)
    _fine_tune(keras, wrapped, images, compression, recipe, [*callbacks, _reporter(keras, steps, progress)])
    if compression.kind == "qat":
        return Compressed(wrapped, True, compression.to_dict())
    pruned = compression.kind == "prune"
    strip = tfmot.sparsity.keras.strip_pruning if pruned else tfmot.clustering.keras.strip_clustering
    weights = get_layer_weights(strip(wrapped), still)
    finished = build_model(still, probabilities=True)
    set_layer_weights(finished, still, weights)
    return Compressed(finished, False, {**compression.to_dict(), **_weight_counts(weights)})


def _pooled_norm_folded(weights: list[Any]) -> list[Any]:
    """Fold the batch norm after pooling into its kernel and a bias: the converter does not for quantised weights."""
    *before, kernel, gamma, beta, mean, variance, last_kernel, last_bias = weights
    scale = gamma / np.sqrt(variance + _EPSILON)
    return [*before, kernel * scale, beta - mean * scale, last_kernel, last_bias]


def _load(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"compression needs {name} ({error}): pip install 'mnas[compression]', with Python 3.12 or older"
        ) from None


def _fine_tune(
    keras: Any, model: Any, images: Split, compression: Compression, recipe: Recipe, callbacks: list[Any]
) -> None:
    optimizer = keras.optimizers.Adam(compression.learning_rate)
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    for epoch in range(compression.epochs):
        batches = training_epoch(images, recipe, seed=compression.seed, epoch=epoch)
        model.fit(batches, initial_epoch=0, epochs=1, shuffle=False, verbose=0, callbacks=callbacks)


def _reporter(keras: Any, steps: int, progress: Callable[[int, int], None]) -> Any:
    done = count(1)
    return keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: progress(next(done), steps))


def _quantisation_aware(keras: Any, tfmot: Any, model: Any, compression: Compression, steps: int) -> Wrapped:
    quantization = tfmot.quantization.keras
    output, nothing, weights = _configs(quantization)
    # What a hard sigmoid adds becomes part of the bias before it: nothing may be rounded in between.
    ends = [each.name for each in model.layers if each.name.endswith("_hsigmoid_shift")]
    shifted = {name.removesuffix("_hsigmoid_shift") for name in ends}

    def annotate(layer: Any) -> Any:
        if layer.name in shifted:
            return quantization.quantize_annotate_layer(layer, weights())
        if layer.name.endswith(("_hswish_shift", "_hswish_clip", "_hswish_gate", "_hsigmoid_shift")):
            return quantization.quantize_annotate_layer(layer, nothing())
        if type(layer).__name__ in ("Multiply", "Rescaling"):
            return quantization.quantize_annotate_layer(layer, output())
        return layer

    with quantization.quantize_scope({"OutputRange": output, "NoRange": nothing, "WeightsOnly": weights}):
        annotated = keras.models.clone_model(model, clone_function=annotate)
        return quantization.quantize_apply(quantization.quantize_annotate_model(annotated)), []


def _configs(quantization: Any) -> tuple[Any, Any, Any]:
    """Return QuantizeConfigs.

    Returns:
        For layers without weights: with a range for the output, and without. For convolutions without such a range.
    """

    class OutputRange(quantization.QuantizeConfig):  # type: ignore[misc,name-defined]
        def get_weights_and_quantizers(self, layer: Any) -> list[Any]:
            return []

        def get_activations_and_quantizers(self, layer: Any) -> list[Any]:
            return []

        def set_quantize_weights(self, layer: Any, quantize_weights: Any) -> None:
            pass

        def set_quantize_activations(self, layer: Any, quantize_activations: Any) -> None:
            pass

        def get_output_quantizers(self, layer: Any) -> list[Any]:
            make = quantization.quantizers.MovingAverageQuantizer
            return [make(num_bits=8, per_axis=False, symmetric=False, narrow_range=False)]

        def get_config(self) -> dict[str, Any]:
            return {}

    class NoRange(OutputRange):
        def get_output_quantizers(self, layer: Any) -> list[Any]:
            return []

    class WeightsOnly(NoRange):
        def get_weights_and_quantizers(self, layer: Any) -> list[Any]:
            return [(layer.kernel, importlib.import_module(_QUANTIZERS).Default8BitConvWeightsQuantizer())]

        def set_quantize_weights(self, layer: Any, quantize_weights: Any) -> None:
            layer.kernel = quantize_weights[0]

    return OutputRange, NoRange, WeightsOnly


def _is_dense(layer: Any) -> bool:
    return type(layer).__name__ in ("Conv2D", "Dense")


def _pruned(keras: Any, tfmot: Any, model: Any, compression: Compression, steps: int) -> Wrapped:
    sparsity = tfmot.sparsity.keras
    schedule = sparsity.PolynomialDecay(
        initial_sparsity=0.0,
        final_sparsity=compression.sparsity,
        begin_step=0,
        end_step=max(1, steps * 2 // 3),
        frequency=max(1, steps // 30),
    )

    def wrap(layer: Any) -> Any:
        return sparsity.prune_low_magnitude(layer, pruning_schedule=schedule) if _is_dense(layer) else layer

    return keras.models.clone_model(model, clone_function=wrap), [sparsity.UpdatePruningStep()]


def _clustered(keras: Any, tfmot: Any, model: Any, compression: Compression, steps: int) -> Wrapped:
    clustering = tfmot.clustering.keras
    start = clustering.CentroidInitialization.KMEANS_PLUS_PLUS

    def wrap(layer: Any) -> Any:
        if not _is_dense(layer) or layer.count_params() < _LEAST_WEIGHTS * compression.clusters:
            return layer
        return clustering.cluster_weights(layer, number_of_clusters=compression.clusters, cluster_centroids_init=start)

    return keras.models.clone_model(model, clone_function=wrap), []


def _weight_counts(weights: list[Any]) -> dict[str, Any]:
    """Share of zeros and number of different weights, over all kernels."""
    kernels = [array for array in weights if array.ndim > 1]
    total = sum(kernel.size for kernel in kernels)
    return {
        "zeros": sum(int((kernel == 0).sum()) for kernel in kernels) / total,
        "different_weights": sum(len(set(kernel.ravel().tolist())) for kernel in kernels),
        "weights": total,
    }
