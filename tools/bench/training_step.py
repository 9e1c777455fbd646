"""A step of each kind of training in mnas, and starting it, against Keras's `fit`. Prints a table.

`train` is a full training, as `mnas train` does it, against Keras's own batch norms and Adam. `proxy` is a short
training of a candidate, and `alternative` one of a block alone against its teacher's output; Keras does the same with
`fit` on a model of its own layers. Both variants run in processes of their own, in turn, because oneDNN and threads
are chosen when TensorFlow is loaded: `mnas` as its commands load it, `keras` as TensorFlow does by itself. The figures
of a round can be compared with each other. The share of the machine's arithmetic is relative to a product of large
matrices in the same process; a step counts as three times the multiply-adds of inference.

Run: python -m tools.bench.training_step [--kinds train proxy alternative] [--networks efficientnet-lite0 mnasnet-a1]
    [--resolution 128] [--threads 1] [--rounds 2]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from mnas.arch.complexity import complexity, layer_complexity
from mnas.arch.walk import Layer, PlacedBlock, layers, unroll
from mnas.arch.zoo import zoo
from mnas.data.dataset import Dataset, Split, normalise
from mnas.evaluators.proxy import ProxyEvaluator, ProxyRecipe
from mnas.library.options import LibraryOptions
from mnas.library.stage_worker import images_per_step
from mnas.nn.build import build_model
from mnas.system.native_output import load_tensorflow
from mnas.train.optimizer import make_optimizer, smoothed_loss
from mnas.train.recipe import Recipe, recipe_for
from tools.command_line import make_parser

VARIANTS = ("keras", "mnas")
KINDS = ("train", "proxy", "alternative")
CLASSES, STEPS = 5, 100
PROXY_PX, PROXY_BATCH = 32, 32
_WARM_UP = 2  # steps after the first that do not count


@dataclass(frozen=True)
class Timed:
    """Seconds of the first step, which traces it, and of a later one; multiply-adds of a step's inference."""

    first: float
    step: float
    madds: float
    matmul_flops: float = 0.0

    @classmethod
    def of(cls, stamps: Sequence[float], madds: float) -> Timed:
        """From the times at which steps ended, with that of the start first."""
        seconds = np.diff(stamps)
        return cls(float(seconds[0]), float(np.median(seconds[1 + _WARM_UP :])), madds)

    @property
    def share(self) -> float:
        """Of the machine's arithmetic: the step's, over that of a product of large matrices."""
        return 6 * self.madds / self.step / self.matmul_flops


def matmul_flops() -> float:
    """Return the floating-point operations a second of a product of large float32 matrices, on TensorFlow's threads."""
    import tensorflow as tf

    size = 1536
    factor = tf.random.normal((size, size), seed=0)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        tf.matmul(factor, factor).numpy()
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


def time_train(name: str, resolution: int, batch_size: int, steps: int, *, fused: bool) -> Timed:
    """A full training's steps: with mnas's batch norms and Adam, or with Keras's."""
    architecture = replace(zoo(name), resolution=resolution, num_classes=CLASSES)
    recipe = recipe_for("photos", name="finetune", images=2000)
    model = build_model(architecture, batch_norm_momentum=0.9, fused=fused)
    optimizer = make_optimizer(recipe, STEPS) if fused else _keras_adam(recipe)
    model.compile(optimizer=optimizer, loss=smoothed_loss(CLASSES, recipe.label_smoothing), jit_compile=False)
    optimizer.build(model.trainable_variables)
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (batch_size, resolution, resolution, 3)).astype(np.float32)
    labels = rng.integers(0, CLASSES, batch_size)
    madds = complexity(architecture).madds * batch_size
    return Timed.of(_fit(model, (images, labels), steps), madds)


def _keras_adam(recipe: Recipe) -> Any:
    import keras

    rate = keras.optimizers.schedules.CosineDecay(recipe.learning_rate, STEPS)
    optimizer = keras.optimizers.Adam(rate, weight_decay=recipe.weight_decay, global_clipnorm=recipe.clip_norm)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer


def _fit(model: Any, batch: tuple[Any, Any], steps: int) -> list[float]:
    """Let Keras's `fit` take steps on the same batch; return when they ended, with the start first."""
    import keras
    import tensorflow as tf

    stamps = [time.perf_counter()]
    batches = tf.data.Dataset.from_tensors(batch).repeat(steps + 1 + _WARM_UP)
    every = keras.callbacks.LambdaCallback(on_train_batch_end=lambda number, logs: stamps.append(time.perf_counter()))
    model.fit(batches, epochs=1, shuffle=False, verbose=0, callbacks=[every])
    return stamps


def time_proxy(name: str, steps: int, *, ours: bool) -> Timed:
    """Steps of a short training of a network at 32 px, with stride 1 in its stem."""
    architecture = replace(zoo(name), resolution=PROXY_PX, num_classes=CLASSES, stem_stride=1)
    madds = complexity(architecture).madds * PROXY_BATCH
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (2 * PROXY_BATCH, PROXY_PX, PROXY_PX, 3), np.uint8)
    split = Split(images, rng.integers(0, CLASSES, len(images)))
    if ours:
        data = Dataset("noise", tuple(map(str, range(CLASSES))), split, split, split)
        recipe = ProxyRecipe(steps=1 + _WARM_UP + steps, batch_size=PROXY_BATCH)
        stamps = [time.perf_counter()]
        ProxyEvaluator(data, recipe).fit(architecture, on_step=lambda step, loss: stamps.append(time.perf_counter()))
        return Timed.of(stamps, madds)
    import keras

    model = build_model(architecture, batch_norm_momentum=0.9, fused=False)
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=1e-4)
    model.compile(optimizer=optimizer, loss=smoothed_loss(CLASSES, 0.0), jit_compile=False)
    batch = (normalise(split.images[:PROXY_BATCH]), split.labels[:PROXY_BATCH])
    return Timed.of(_fit(model, batch, steps), madds)


def time_alternative(name: str, resolution: int, steps: int, *, ours: bool) -> Timed:
    """Steps of a block's training against given outputs: the network's MBConv block in the middle."""
    blocks = [placed for placed in unroll(replace(zoo(name), resolution=resolution)) if _is_plain(placed)]
    placed = blocks[len(blocks) // 2]
    options = LibraryOptions()
    count = images_per_step(options.batch_size, placed.in_size)
    own = layers(placed)
    rng = np.random.default_rng(0)
    x, target = (
        rng.standard_normal((count, size, size, filters)).astype(np.float32)
        for size, filters in ((own[0].in_size, own[0].in_filters), (own[-1].out_size, own[-1].filters))
    )
    madds = sum(layer_complexity(layer).madds for layer in own) * count
    if ours:
        from mnas.library.block_training import BlockTraining
        from mnas.nn.functional import Block

        block = Block(own)
        training = BlockTraining(block, 0.1 * rng.standard_normal(block.num_weights).astype(np.float32), options, 1.0)
        stamps = [time.perf_counter()]
        for number in range(1 + _WARM_UP + steps):
            training.step(number, x, target)
            stamps.append(time.perf_counter())
        training.finish([x])
        return Timed.of(stamps, madds)
    import keras

    model = _keras_block(own, skip=x.shape == target.shape)
    model.compile(optimizer=keras.optimizers.Adam(options.learning_rate), loss="mse", jit_compile=False)
    return Timed.of(_fit(model, (x, target), steps), madds)


def _is_plain(placed: PlacedBlock) -> bool:
    """Whether a block is expansion, depthwise convolution and projection, with nothing between."""
    return [layer.kind for layer in layers(placed) if layer.kind != "add"] == ["conv", "depthwise", "conv"]


def _keras_block(own: Sequence[Layer], *, skip: bool) -> Any:
    """The same block of Keras's own layers."""
    import keras

    inputs = x = keras.Input((own[0].in_size, own[0].in_size, own[0].in_filters))
    for layer in own:
        how = {"strides": layer.stride, "padding": "same", "use_bias": False}
        if layer.kind == "conv":
            x = keras.layers.Conv2D(layer.filters, layer.kernel_size, **how)(x)
        elif layer.kind == "depthwise":
            x = keras.layers.DepthwiseConv2D(layer.kernel_size, **how)(x)
        else:
            continue
        x = keras.layers.BatchNormalization()(x)
        if layer.activation != "linear":
            x = keras.layers.Activation(layer.activation)(x)
    return keras.Model(inputs, keras.layers.Add()([inputs, x]) if skip else x)


def measure(kind: str, name: str, options: argparse.Namespace, *, ours: bool) -> Timed:
    """Time one kind of training in this process."""
    load_tensorflow(threads=options.threads, onednn=ours and kind == "train")
    if kind == "train":
        found = time_train(name, options.resolution, options.batch_size, options.steps, fused=ours)
    elif kind == "proxy":
        found = time_proxy(name, options.steps, ours=ours)
    else:
        found = time_alternative(name, options.resolution, options.steps, ours=ours)
    return replace(found, matmul_flops=matmul_flops())


def in_process(options: argparse.Namespace, kind: str, name: str, variant: str) -> Timed:
    """Measure one variant in a process of its own."""
    sizes = ["--resolution", str(options.resolution), "--batch-size", str(options.batch_size)]
    sizes += ["--steps", str(options.steps), "--threads", str(options.threads)]
    command = [sys.executable, "-m", "tools.bench.training_step", "--only", kind, name, variant, *sizes]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return Timed(**json.loads(done.stdout))


def main() -> None:
    """Read the options, measure, print."""
    parser = make_parser("tools.bench.training_step", __doc__)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["train"])
    parser.add_argument("--networks", nargs="+", default=["efficientnet-lite0", "mnasnet-a1", "mobilenet-v2"])
    parser.add_argument("--resolution", type=int, default=128, help="of `train` and `alternative`")
    parser.add_argument("--batch-size", type=int, default=64, help="of `train`")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=0, help="0: all CPUs")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs=3, metavar=("KIND", "NETWORK", "VARIANT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        kind, name, variant = options.only
        print(json.dumps(asdict(measure(kind, name, options, ours=variant == "mnas"))))
        return
    print("kind, network: seconds of a step and of the first, Keras's and mnas's; Keras's time divided by mnas's")
    for kind, name in product(options.kinds, options.networks):
        rounds = [[in_process(options, kind, name, each) for each in VARIANTS] for _ in range(options.rounds)]
        for what in ("step", "first"):
            theirs, ours = (statistics.median(getattr(pair[side], what) for pair in rounds) for side in (0, 1))
            print(f"{kind}, {name}, {what}: {theirs:.4f} {ours:.4f} s, {theirs / ours:.2f}", flush=True)
        shares = [statistics.median(pair[side].share for pair in rounds) for side in (0, 1)]
        print(f"{kind}, {name}, share of the arithmetic: {shares[0]:.0%} {shares[1]:.0%}", flush=True)


if __name__ == "__main__":
    main()
