"""What an export costs and gives, beside the plain `TFLiteConverter.from_keras_model` on the same models.

convert   seconds and bytes per dtype, plain and ours, the stages of ours apart
latency   our file against the network of keras.applications, converted plainly: interleaved, in one run
accuracy  of a trained folder, per dtype, on its test images (--trained)

Run it as: python tools/bench_export.py --networks mobilenet-v2 --resolution 96
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mnas.arch.zoo import zoo
from mnas.devices.registry import open_device
from mnas.export.convert import to_tflite
from mnas.export.quantize import quantizer
from mnas.nn.build import build_model
from mnas.profiling.bench import open_reference
from mnas.profiling.measure import measure_networks
from mnas.quiet import load_tensorflow, quiet

NETWORKS = ("mobilenet-v2", "mnasnet-a1", "efficientnet-b0")
DTYPES = ("float32", "float16", "dynamic", "int8")
APPLICATIONS = {"mobilenet-v2": "MobileNetV2", "efficientnet-b0": "EfficientNetB0"}


def main() -> None:
    """Run the parts that were asked for, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--dtypes", nargs="*", default=list(DTYPES))
    parser.add_argument("--resolution", type=int, default=96)
    parser.add_argument("--calibration", type=int, default=16, help="images; the same for both")
    parser.add_argument("--latency-seconds", type=float, default=0, help="0 leaves latency out")
    parser.add_argument("--trained", type=Path, help="a folder from mnas train")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    load_tensorflow()
    images = np.random.default_rng(0).uniform(-1, 1, (options.calibration, *[options.resolution] * 2, 3))
    to_tflite(build_model(replace(zoo("mnasnet-small"), resolution=32)))  # the first conversion loads the converter
    for name in options.networks:
        model = build_model(replace(zoo(name), resolution=options.resolution), probabilities=True)
        for dtype in options.dtypes:
            convert(name, model, dtype, images.astype(np.float32))
        if options.latency_seconds and name in APPLICATIONS:
            latency(name, model, options.resolution, options.latency_seconds)
    if options.trained:
        accuracy(options.trained, options.dtypes)


def convert(name: str, model: Any, dtype: str, images: Any) -> None:
    """Both ways, and how long ours takes to trace alone."""
    import tensorflow as tf

    configure = quantizer(dtype, calibration=images)

    def plain() -> bytes:
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        configure(converter)
        return bytes(converter.convert())

    def trace() -> None:
        shape = tf.TensorSpec((1, *model.inputs[0].shape[1:]), tf.float32)
        tf.function(lambda image: model(image, training=False), autograph=False).get_concrete_function(shape)

    with quiet():
        tracing, _ = timed(trace)
        ours, content = timed(lambda: to_tflite(model, configure))
        theirs, other = timed(plain)
    print(
        f"{name:16} {dtype:8} plain {theirs:5.1f} s {len(other):>10,} bytes   "
        f"ours {ours:5.1f} s (tracing {tracing:.1f}) {len(content):>10,} bytes   {theirs / ours:.1f} times faster",
        flush=True,
    )


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what came of it."""
    gc.collect()
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def latency(name: str, model: Any, resolution: int, seconds: float) -> None:
    """Ours against keras.applications converted plainly, in float32; bursts of both in turns."""
    import keras
    import tensorflow as tf

    make = getattr(keras.applications, APPLICATIONS[name])
    with quiet():
        reference_model = make(weights=None, input_shape=(resolution, resolution, 3))
        theirs = bytes(tf.lite.TFLiteConverter.from_keras_model(reference_model).convert())
        ours = to_tflite(model)
    device = open_device("local")
    with device.measuring():
        models = [device.load(content) for content in (ours, theirs)]
        reference = open_reference(device)
        try:
            times = measure_networks(models, reference, seconds=seconds, quiet_bursts=[12, 12], seed=0)
        finally:
            reference.close()
    mine, other = (each.quiet_ms for each in times)
    print(
        f"{name:16} latency at {resolution} px: ours {mine:.3f} ms, keras.applications plainly {other:.3f} ms, "
        f"ratio {mine / other:.3f} ({times[0].num_quiet} and {times[1].num_quiet} quiet bursts)",
        flush=True,
    )


def accuracy(folder: Path, dtypes: list[str]) -> None:
    """The trained network's test accuracy in every dtype."""
    from mnas.export.verify import compare
    from mnas.train.batches import plain_batches, some_images
    from mnas.train.trained import open_trained

    trained = open_trained(folder)
    dataset, model = trained.load_data(), trained.build()
    images = some_images(dataset.train, 256)
    for dtype in dtypes:
        content = to_tflite(model, quantizer(dtype, calibration=images))
        check = compare(content, model, plain_batches(dataset.test, 64))
        print(
            f"{dtype:8} {check.accuracy_tflite:.2%} of {check.images} test images, Keras {check.accuracy_keras:.2%}, "
            f"agreement {check.agreement:.2%}, {len(content):,} bytes",
            flush=True,
        )


if __name__ == "__main__":
    main()
