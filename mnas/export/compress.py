"""Fine-tuning for a smaller or faster file: quantisation-aware training, pruning, clustering.

By tensorflow-model-optimization, which knows Keras 2 only (tensorflow/model-optimization#1119), so the network is built
a second time with `tf_keras` and its weights carried over in the order of the walk. A pruned or clustered network goes
back into Keras 3; a quantisation-aware one is converted as it is, with the ranges that it has learned.

`quantize_model` refuses the multiplication of squeeze-and-excitation, and the pieces of hard swish. Here the
multiplication's output gets a range of its own, and hard swish one range at its end, so that it stays one operator.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from mnas.arch.spec import Architecture
from mnas.checks import check_choice, check_integer, check_number
from mnas.data.dataset import Split
from mnas.errors import InputError
from mnas.nn.build import build_model, get_layer_weights, set_layer_weights
from mnas.train.augment import training_epoch
from mnas.train.recipe import Recipe

KINDS = ("qat", "prune", "cluster")
Wrapped = tuple[Any, list[Any]]  # a model, and the callbacks that its training needs
_LEAST_WEIGHTS = 16  # of a layer, for each cluster centre


@dataclass(frozen=True, slots=True)
class Compression:
    """What to do, and how long to fine-tune for it.

    Attributes:
        kind: qat, prune or cluster.
        sparsity: share of the weights of every convolution and dense layer that become 0; they fall away along a
            polynomial over the first two thirds of the steps (Zhu and Gupta 2017).
        clusters: different weights that a layer keeps.
        epochs: passes over the training images.
        batch_size: images a step.
        learning_rate: of Adam, constant.
        seed: of shuffling and augmentation.
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
        """What belongs to this kind, as plain data."""
        others = {"qat": ("sparsity", "clusters"), "prune": ("clusters",), "cluster": ("sparsity",)}[self.kind]
        return {name: value for name, value in asdict(self).items() if name not in others}


@dataclass(frozen=True)
class Compressed:
    """What fine-tuning gave.

    Attributes:
        model: gives probabilities; of Keras 2 after quantisation-aware training, of Keras 3 otherwise.
        learned_ranges: whether an int8 file takes its ranges from the model.
        about: what was done, and the share of zeros or the most different weights of a layer, as plain data.
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
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Compressed:
    """Fine-tune a trained network under one compression.

    Args:
        architecture: the network.
        model: its trained Keras 3 model.
        images: training images.
        compression: what to do.
        flip: whether a mirrored image is of the same class.
        progress: told steps done and steps in all.

    Raises:
        InputError: if the packages of the extra `compression` are not installed.
    """
    keras, tfmot = _load("tf_keras"), _load("tensorflow_model_optimization")
    keras.utils.set_random_seed(compression.seed)
    still = replace(architecture, dropout=0, stochastic_depth=0)
    plain = build_model(still, keras=keras, probabilities=True)
    set_layer_weights(plain, still, get_layer_weights(model, architecture))
    recipe = Recipe(batch_size=compression.batch_size, flip=flip)
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
    return Compressed(finished, False, {**compression.to_dict(), **_found(weights)})


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
    done = [0]

    def report(batch: int, logs: Any) -> None:
        done[0] += 1
        progress(done[0], steps)

    return keras.callbacks.LambdaCallback(on_train_batch_end=report)


def _quantisation_aware(keras: Any, tfmot: Any, model: Any, compression: Compression, steps: int) -> Wrapped:
    quantization = tfmot.quantization.keras
    output, nothing = _configs(quantization)

    def annotate(layer: Any) -> Any:
        if layer.name.endswith(("_hswish_shift", "_hswish_clip", "_hswish_gate")):
            return quantization.quantize_annotate_layer(layer, nothing())
        if type(layer).__name__ in ("Multiply", "Rescaling"):
            return quantization.quantize_annotate_layer(layer, output())
        return layer

    with quantization.quantize_scope({"OutputRange": output, "NoRange": nothing}):
        annotated = keras.models.clone_model(model, clone_function=annotate)
        return quantization.quantize_apply(quantization.quantize_annotate_model(annotated)), []


def _configs(quantization: Any) -> tuple[Any, Any]:
    """QuantizeConfigs for layers without weights: a range for the output, or none."""

    class OutputRange(quantization.QuantizeConfig):  # type: ignore[misc,name-defined]
        def get_weights_and_quantizers(self, layer: Any) -> list[Any]:
            return []

        def get_activations_and_quantizers(self, layer: Any) -> list[Any]:
            return []

        def set_quantize_weights(self, layer: Any, quantize_weights: Any) -> None:
            """There are none."""

        def set_quantize_activations(self, layer: Any, quantize_activations: Any) -> None:
            """There are none."""

        def get_output_quantizers(self, layer: Any) -> list[Any]:
            make = quantization.quantizers.MovingAverageQuantizer
            return [make(num_bits=8, per_axis=False, symmetric=False, narrow_range=False)]

        def get_config(self) -> dict[str, Any]:
            return {}

    class NoRange(OutputRange):
        def get_output_quantizers(self, layer: Any) -> list[Any]:
            return []

    return OutputRange, NoRange


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
        dense = type(layer).__name__ in ("Conv2D", "Dense")
        return sparsity.prune_low_magnitude(layer, pruning_schedule=schedule) if dense else layer

    return keras.models.clone_model(model, clone_function=wrap), [sparsity.UpdatePruningStep()]


def _clustered(keras: Any, tfmot: Any, model: Any, compression: Compression, steps: int) -> Wrapped:
    clustering = tfmot.clustering.keras
    start = clustering.CentroidInitialization.KMEANS_PLUS_PLUS

    def wrap(layer: Any) -> Any:
        dense = type(layer).__name__ in ("Conv2D", "Dense")
        if not dense or layer.count_params() < _LEAST_WEIGHTS * compression.clusters:
            return layer
        return clustering.cluster_weights(layer, number_of_clusters=compression.clusters, cluster_centroids_init=start)

    return keras.models.clone_model(model, clone_function=wrap), []


def _found(weights: list[Any]) -> dict[str, Any]:
    """What came of it, over all kernels."""
    kernels = [array for array in weights if array.ndim > 1]
    total = sum(kernel.size for kernel in kernels)
    return {
        "zeros": sum(int((kernel == 0).sum()) for kernel in kernels) / total,
        "different_weights": sum(len(set(kernel.ravel().tolist())) for kernel in kernels),
        "weights": total,
    }
