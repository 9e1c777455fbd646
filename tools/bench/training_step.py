"""A step of a full training, and starting it, against Keras's own batch norms and Adam. Prints a table.

Both variants run in processes of their own, in turn, because oneDNN is chosen when TensorFlow is loaded: `mnas` as
`mnas train` loads it, `keras` as TensorFlow does by itself. The figures of a round can be compared with each other.

Run: python -m tools.bench.training_step [--networks efficientnet-lite0 mnasnet-a1] [--resolution 128] [--rounds 2]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

import numpy as np

from mnas.arch.zoo import zoo
from mnas.nn.build import build_model
from mnas.system.native_output import load_tensorflow
from mnas.train.optimizer import make_optimizer, smoothed_loss
from mnas.train.recipe import Recipe, recipe_for
from tools.command_line import make_parser

VARIANTS = ("keras", "mnas")
CLASSES, STEPS = 5, 100


def measure(name: str, resolution: int, batch_size: int, steps: int, variant: str) -> dict[str, float]:
    """Return the seconds of the first step, which traces it, and of a later one."""
    fused = variant == "mnas"
    load_tensorflow(onednn=fused)
    architecture = replace(zoo(name), resolution=resolution, num_classes=CLASSES)
    recipe = recipe_for("photos", name="finetune", images=2000)
    model = build_model(architecture, batch_norm_momentum=0.9, fused=fused)
    optimizer = make_optimizer(recipe, STEPS) if fused else _keras_adam(recipe)
    model.compile(optimizer=optimizer, loss=smoothed_loss(CLASSES, recipe.label_smoothing), jit_compile=False)
    optimizer.build(model.trainable_variables)
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (batch_size, resolution, resolution, 3)).astype(np.float32)
    labels = rng.integers(0, CLASSES, batch_size)
    seconds = []
    for _ in range(1 + steps):
        start = time.perf_counter()
        model.train_on_batch(images, labels)
        seconds.append(time.perf_counter() - start)
    return {"first": seconds[0], "step": statistics.median(seconds[1:])}


def _keras_adam(recipe: Recipe) -> Any:
    import keras

    rate = keras.optimizers.schedules.CosineDecay(recipe.learning_rate, STEPS)
    optimizer = keras.optimizers.Adam(rate, weight_decay=recipe.weight_decay, global_clipnorm=recipe.clip_norm)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer


def in_process(options: argparse.Namespace, name: str, variant: str) -> dict[str, float]:
    """Measure one variant in a process of its own."""
    sizes = ["--resolution", str(options.resolution), "--batch-size", str(options.batch_size)]
    command = [sys.executable, "-m", "tools.bench.training_step", "--only", name, variant, *sizes]
    done = subprocess.run([*command, "--steps", str(options.steps)], check=True, stdout=subprocess.PIPE)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Read the options, measure, print."""
    parser = make_parser("tools.bench.training_step", __doc__)
    parser.add_argument("--networks", nargs="+", default=["efficientnet-lite0", "mnasnet-a1", "mobilenet-v2"])
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs=2, metavar=("NETWORK", "VARIANT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        name, variant = options.only
        print(json.dumps(measure(name, options.resolution, options.batch_size, options.steps, variant)))
        return
    print("network: seconds a step, and of the first, Keras's and mnas's; Keras's time divided by mnas's")
    for name in options.networks:
        rounds = [{each: in_process(options, name, each) for each in VARIANTS} for _ in range(options.rounds)]
        for what in ("step", "first"):
            theirs, ours = (statistics.median(found[each][what] for found in rounds) for each in VARIANTS)
            print(f"{name}, {what}: {theirs:.3f} {ours:.3f} s, {theirs / ours:.2f}", flush=True)


if __name__ == "__main__":
    main()
