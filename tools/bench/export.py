"""What an export costs and gives, beside the plain `TFLiteConverter.from_keras_model` on the same models.

convert   seconds and bytes per dtype, plain and ours, in turns, and what tracing alone takes of ours
prepare   writes the files that `latency` measures: ours, and the networks of keras.applications converted plainly
latency   both files in interleaved bursts, in one run; needs a quiet machine, and nothing but the files
accuracy  of a trained folder on its test images, in every dtype, quantisation-aware, pruned and clustered (--trained)

Every figure is kept in --out as soon as it is known, and not measured again: stop it whenever you like (--minutes ends
a call in time), the same command resumes.

Run: python -m tools.bench.export --only convert --minutes 8
     python -m tools.bench.export --only accuracy --trained runs/winner
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mnas.arch.zoo import zoo
from mnas.devices.registry import open_device
from mnas.errors import MnasError
from mnas.export.convert import quantizer, to_tflite
from mnas.nn.build import build_model
from mnas.profiling.bench import measure_files
from mnas.system.native_output import load_tensorflow, quiet
from mnas.train.mirroring import is_mirrored
from tools.bench.resumable import ResumableRun
from tools.command_line import make_parser

NETWORKS = ("mobilenet-v2", "mnasnet-a1", "efficientnet-b0")
DTYPES = ("float32", "float16", "dynamic", "int8")
APPLICATIONS = {"mobilenet-v2": "MobileNetV2", "efficientnet-b0": "EfficientNetB0"}
COMPRESSED = ("qat", "prune", "cluster")
PARTS = ("convert", "prepare", "latency", "accuracy")
Figures = dict[str, Any]


def show(run: ResumableRun, name: str, measure: Callable[[], Figures]) -> None:
    """Print the figures of this name; measure them first if they are not known."""
    print(_line(name, run.do(name, measure)), flush=True)


def _line(name: str, figures: Figures) -> str:
    def shown(value: Any) -> str:
        return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)

    return f"{name:34} {', '.join(f'{key} {shown(value)}' for key, value in figures.items())}"


def main() -> None:
    """Run the parts that were asked for, and print."""
    parser = make_parser("tools.bench.export", __doc__)
    parser.add_argument("--only", choices=PARTS, help="this part; all of them otherwise")
    parser.add_argument("--out", type=Path, default=Path("runs/bench_export"), help="where figures and files are kept")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin nothing new after so many")
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--resolution", type=int, default=96)
    parser.add_argument("--calibration", type=int, default=16, help="images; the same for both")
    parser.add_argument("--repeats", type=int, default=2, help="conversions of each kind; the quickest counts")
    parser.add_argument("--seconds", type=float, default=20, help="of measuring a pair of files")
    parser.add_argument("--trained", type=Path, help="a folder from mnas train, for accuracy")
    parser.add_argument("--images", type=int, default=20_000, help="training images to fine-tune with")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parts = [options.only] if options.only else [part for part in PARTS if part != "accuracy" or options.trained]
    if "accuracy" in parts and not options.trained:
        parser.error("accuracy is that of a trained network: name its folder with --trained")
    if parts != ["latency"]:
        load_tensorflow()
    options.out.mkdir(parents=True, exist_ok=True)
    run = ResumableRun(options.out / "figures", 60 * options.minutes)
    for part in parts:
        {"convert": convert, "prepare": prepare, "latency": latency, "accuracy": accuracy}[part](run, options)


def convert(run: ResumableRun, options: argparse.Namespace) -> None:
    """Every network in every dtype, both ways."""
    images = np.random.default_rng(0).uniform(-1, 1, (options.calibration, *[options.resolution] * 2, 3))
    warm: list[Any] = []
    for name in options.networks:
        model: list[Any] = []
        for dtype in DTYPES:

            def measure(name: str = name, dtype: str = dtype, model: list[Any] = model) -> Figures:
                if not warm:  # the first conversion of a process loads the converter
                    warm.append(to_tflite(build_model(replace(zoo("mnasnet-small"), resolution=32))))
                if not model:
                    model.append(build_model(replace(zoo(name), resolution=options.resolution), probabilities=True))
                return _both_ways(model[0], quantizer(dtype, calibration=images.astype(np.float32)), options.repeats)

            show(run, f"convert {name} {options.resolution} {dtype}", measure)


def _both_ways(model: Any, configure: Callable[[Any], None], repeats: int) -> Figures:
    import tensorflow as tf

    def plain() -> bytes:
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        configure(converter)
        return bytes(converter.convert())

    def trace() -> None:
        shape = tf.TensorSpec((1, *model.inputs[0].shape[1:]), tf.float32)
        tf.function(lambda image: model(image, training=False), autograph=False).get_concrete_function(shape)

    ours, theirs = [], []
    with quiet():
        for _ in range(repeats):
            ours.append(_timed(lambda: to_tflite(model, configure)))
            theirs.append(_timed(plain))
        tracing, _ = _timed(trace)
    quickest, plainly = min(seconds for seconds, _ in ours), min(seconds for seconds, _ in theirs)
    return {
        "plain_s": plainly,
        "ours_s": quickest,
        "tracing_s": tracing,
        "times_faster": plainly / quickest,
        "plain_bytes": len(theirs[0][1]),
        "ours_bytes": len(ours[0][1]),
    }


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what came of it."""
    gc.collect()
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def _files(run: ResumableRun, name: str, resolution: int) -> tuple[Path, Path]:
    return tuple(run.folder.parent / f"{name}_{resolution}_{whose}.tflite" for whose in ("ours", "applications"))  # type: ignore[return-value]


def prepare(run: ResumableRun, options: argparse.Namespace) -> None:
    """Our file, and keras.applications' network converted plainly."""
    for name in options.networks:
        if name in APPLICATIONS:
            show(
                run,
                f"prepare {name} {options.resolution}",
                lambda name=name: _write_pair(run, name, options.resolution),
            )


def _write_pair(run: ResumableRun, name: str, resolution: int) -> Figures:
    import keras
    import tensorflow as tf

    ours, theirs = _files(run, name, resolution)
    make = getattr(keras.applications, APPLICATIONS[name])
    with quiet():
        reference = make(weights=None, input_shape=(resolution, resolution, 3))
        theirs.write_bytes(tf.lite.TFLiteConverter.from_keras_model(reference).convert())
        ours.write_bytes(to_tflite(build_model(replace(zoo(name), resolution=resolution), probabilities=True)))
    return {"ours_bytes": ours.stat().st_size, "applications_bytes": theirs.stat().st_size}


def latency(run: ResumableRun, options: argparse.Namespace) -> None:
    """Ours against keras.applications converted plainly, in float32; bursts of both in turns."""
    for name in options.networks:
        ours, theirs = _files(run, name, options.resolution)
        if name in APPLICATIONS and not (ours.exists() and theirs.exists()):
            sys.exit(f"the files of {name} are not there: run it with --only prepare first")
        if name in APPLICATIONS:
            pair = [ours.read_bytes(), theirs.read_bytes()]
            show(run, f"latency {name} {options.resolution}", lambda pair=pair: _measured(pair, options.seconds))


def _measured(contents: list[bytes], seconds: float) -> Figures:
    mine, other = measure_files(open_device("local"), contents, seconds=seconds, quiet_bursts=[40, 40])
    return {
        "ours_ms": mine.quiet_ms,
        "applications_ms": other.quiet_ms,
        "ratio": mine.quiet_ms / other.quiet_ms,
        "ratio_of_medians": mine.median_all_ms / other.median_all_ms,
        "quiet_bursts": min(mine.num_quiet, other.num_quiet),
    }


def accuracy(run: ResumableRun, options: argparse.Namespace) -> None:
    """The trained network's test accuracy in every form; each file goes through the export's own checks."""
    loaded: list[Any] = []
    for form in (*DTYPES, *COMPRESSED):

        def measure(form: str = form) -> Figures:
            if not loaded:
                from mnas.train.trained_network import open_trained

                trained = open_trained(options.trained)
                loaded.extend((trained, trained.load_data(), trained.build()))
            return _exported(*loaded, form, run.folder.parent / f"winner_{form}.tflite", options.images)

        show(run, f"accuracy {options.trained.name} {form}", measure)


def _exported(trained: Any, dataset: Any, model: Any, form: str, out: Path, images: int) -> Figures:
    from mnas.data.batches import plain_batches, some_images
    from mnas.export.compress import Compression, compress
    from mnas.export.pipeline import export_model

    started, learned, dtype = time.perf_counter(), False, form if form in DTYPES else "float32"
    expected = model
    if form in COMPRESSED:
        part = dataset.train.take(slice(images))
        flip = is_mirrored(trained.training)
        done = compress(trained.architecture, model, part, Compression(form), flip=flip)
        expected, learned, dtype = done.model, done.learned_ranges, "int8" if form == "qat" else dtype
    try:
        found = export_model(
            expected,
            trained.architecture,
            out,
            dtype=dtype,
            batches=plain_batches(dataset.test, 64),
            calibration=some_images(dataset.train, 256),
            learned=learned,
        )
    except MnasError as error:
        return {"refused": str(error)}
    return {
        "accuracy": found["check"]["accuracy_tflite"],
        "keras_float32": trained.training["test_accuracy"],
        "agreement": found["check"]["agreement"],
        "bytes": found["size_bytes"],
        "images": found["check"]["images"],
        "seconds": time.perf_counter() - started,
    }


if __name__ == "__main__":
    main()
