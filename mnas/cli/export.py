"""`mnas export`: a checked `.tflite` file from a trained folder, or from an architecture for measuring."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mnas.cli import output
from mnas.cli.options import BENCHMARK_BINARY, DELEGATE, JSON, RUNTIME, THREADS
from mnas.cli.prediction import Prediction, check_same, predict
from mnas.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mnas.arch.spec import Architecture
    from mnas.data.dataset import Dataset
    from mnas.devices.base import Device
    from mnas.export.on_device import DeviceCheck
    from mnas.export.verify import Batch
    from mnas.train.compress import Compressed, Compression
    from mnas.train.trained import Trained

UNTRAINED_IMAGES = 32
VALIDATION_IMAGES = 4000  # that say what fine-tuning has cost

VERIFY_ON = typer.Option(
    None,
    "--verify-on",
    help="Run the file on a device too (local, adb[:SERIAL], ssh:HOST), and compare outputs and time.",
)
TABLE = typer.Option(None, "--table", help="With --verify-on: that device's latency table, for the predicted time.")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(export)


def export(
    network: str = typer.Argument(..., metavar="DIR|ARCH", help="A folder from mnas train; ARCH with --untrained."),
    out: Path = typer.Option(..., "--out", help="The file to write, e.g. models/NAME.tflite."),
    dtype: str = typer.Option("float32", help="float32, float16, dynamic (int8 weights only) or int8."),
    io: str = typer.Option("float32", help="What an int8 file takes and gives: float32 or int8."),
    qat: bool = typer.Option(False, "--qat", help="Quantisation-aware training first; the file is int8."),
    prune: float = typer.Option(None, "--prune", help="Fine-tune until this share of the weights is 0, e.g. 0.5."),
    cluster: int = typer.Option(None, "--cluster", help="Fine-tune until a layer has so many different weights."),
    fine_tune_epochs: int = typer.Option(1, min=1, help="Epochs of --qat, --prune and --cluster."),
    max_loss: float = typer.Option(2.0, min=0, help="Points of accuracy that --qat, --prune or --cluster may cost."),
    untrained: bool = typer.Option(False, "--untrained", help="Random weights, for measuring only."),
    data: str = typer.Option(None, "--data", help="Calibrate and check on this data instead of the training's own."),
    seed: int = typer.Option(0, min=0, help="With --untrained: decides the weights."),
    on: str = VERIFY_ON,
    runtime: str = RUNTIME,
    threads: int = THREADS,
    delegate: str = DELEGATE,
    benchmark_binary: Path = BENCHMARK_BINARY,
    table: Path = TABLE,
    json: bool = JSON,
) -> None:
    """Export to TFLite, checked. Example: mnas export runs/best --dtype int8 --out models/best_int8.tflite."""
    from mnas.export.pipeline import check_target
    from mnas.export.quantize import check_dtype
    from mnas.quiet import load_tensorflow

    check_target(out)
    compression = _compression(qat, prune, cluster, fine_tune_epochs, untrained, seed)
    dtype = "int8" if qat else dtype
    check_dtype(dtype, io)
    if not untrained:
        _refuse_without_weights(network)
    how = {"runtime": runtime, "threads": threads, "delegate": delegate, "benchmark_binary": benchmark_binary}
    verifier = open_verifier(on, how, table, network, dtype=dtype, out=out)
    output.console(stderr=True).print("Loading TensorFlow and the data ...")
    load_tensorflow()
    job = _untrained_job(network, data, seed) if untrained else _trained_job(network, data, compression, max_loss)
    document = _run(job, out, dtype=dtype, io=io, trained=not untrained, verifier=verifier)
    show_export(out, document, verifier, json)


def export_trained(folder: Path, out: Path, *, dtype: str = "float32") -> dict[str, Any]:
    """Export what `mnas train` left in a folder; gives what stands in the JSON file."""
    return _run(_trained_job(str(folder), None), out, dtype=dtype, io="float32", trained=True)


def _run(
    job: _Job, out: Path, *, dtype: str, io: str, trained: bool, verifier: Verifier | None = None
) -> dict[str, Any]:
    from mnas.export.pipeline import export_network

    return export_network(
        job.model,
        job.architecture,
        out,
        dtype=dtype,
        io=io,
        batches=job.batches,
        calibration=job.calibration,
        trained=trained,
        about=job.about,
        learned=job.learned,
        on_device=None if verifier is None else partial(verifier.check, images=job.shown, dtype=dtype, trained=trained),
        progress=_Display(job.count, verifier.name if verifier else "").show,
    )


@dataclass
class _Job:
    """What is exported, and the images for it: to check with, to calibrate with, and to show to a device."""

    model: Any
    architecture: Architecture
    batches: list[Batch] | Any
    count: int
    calibration: npt.NDArray[np.float32]
    shown: npt.NDArray[np.float32]
    about: dict[str, Any] = field(default_factory=dict)
    learned: bool = False


def _compression(
    qat: bool, prune: float | None, cluster: int | None, epochs: int, untrained: bool, seed: int
) -> Compression | None:
    """What the options ask for; at most one."""
    from mnas.train.compress import Compression

    given = [name for name, used in (("--qat", qat), ("--prune", prune), ("--cluster", cluster)) if used]
    if not given:
        return None
    if len(given) > 1 or untrained:
        extra = [*given, "--untrained"] if untrained else given
        raise InputError(
            f"{' and '.join(extra)} do not go together: expected one of --qat, --prune, --cluster, trained"
        )
    if prune is not None:
        return Compression("prune", sparsity=prune, epochs=epochs, seed=seed)
    if cluster is not None:
        return Compression("cluster", clusters=cluster, epochs=epochs, seed=seed)
    return Compression("qat", epochs=epochs, seed=seed)


def _refuse_without_weights(network: str) -> None:
    if Path(network).is_dir():
        return
    output.resolve_architecture(network)
    raise InputError(
        f"{network} is an architecture without weights: train it first (mnas train {network} --data D --out DIR), "
        "then export DIR; or add --untrained for random weights, good for measuring only"
    )


def _trained_job(network: str, data: str | None, compression: Compression | None = None, max_loss: float = 0.0) -> _Job:
    from mnas.arch.complexity import complexity
    from mnas.data.batches import plain_batches, some_images
    from mnas.export.on_device import IMAGES
    from mnas.export.pipeline import images_to_check
    from mnas.export.quantize import CALIBRATION_IMAGES
    from mnas.export.verify import check_loss
    from mnas.train.trained import open_trained

    trained = open_trained(Path(network))
    dataset = trained.load_data() if data is None else _other_data(data, trained.architecture)
    count = images_to_check(complexity(trained.architecture).madds, len(dataset.test))
    model = trained.build()
    done = None if compression is None else _compress(trained, model, dataset, compression)
    if done is not None:
        some = plain_batches(dataset.validation, 64, count=VALIDATION_IMAGES)
        check_loss(model, done.model, some, max_loss, done.about["kind"])
    return _Job(
        model if done is None else done.model,
        trained.architecture,
        plain_batches(dataset.test, 64, count=count),
        count,
        some_images(dataset.train, CALIBRATION_IMAGES),
        some_images(dataset.test, IMAGES),
        {
            "class_names": trained.training["class_names"],
            "training": trained.training["configuration"],
            "test_accuracy": trained.training["test_accuracy"],
            "check_data": dataset.name,
            **({} if done is None else {"compression": done.about}),
        },
        done is not None and done.learned_ranges,
    )


def _compress(trained: Trained, model: Any, dataset: Dataset, compression: Compression) -> Compressed:
    from mnas.train.compress import compress

    with output.progress("Fine-tuning") as report:
        return compress(
            trained.architecture,
            model,
            dataset.train,
            compression,
            flip=bool(trained.training["configuration"]["recipe"]["flip"]),
            progress=lambda done, total: report(done / total, compression.kind),
        )


def _other_data(data: str, architecture: Architecture) -> Dataset:
    from mnas.data.dataset import DataSource

    dataset = DataSource(data).load(architecture.resolution)
    if dataset.num_classes != architecture.num_classes:
        raise InputError(
            f"{data} has {dataset.num_classes} classes and the network {architecture.num_classes}: they do not fit"
        )
    return dataset


def _untrained_job(network: str, data: str | None, seed: int) -> _Job:
    import numpy as np

    from mnas.arch.memory import check_fits
    from mnas.data.batches import some_images
    from mnas.nn.build import build_model

    architecture = output.resolve_architecture(network)
    check_fits(architecture)
    if data is None:
        shape = (UNTRAINED_IMAGES, architecture.resolution, architecture.resolution, 3)
        images = np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)
    else:
        from mnas.data.dataset import DataSource

        images = some_images(DataSource(data).load(architecture.resolution).train, UNTRAINED_IMAGES)
    model = build_model(architecture, probabilities=True, seed=seed)
    return _Job(model, architecture, [(images, None)], len(images), images, images, {"weights_seed": seed})


class _Display:
    """Says on stderr what is going on. Plain lines: while the converter runs, stderr is redirected."""

    def __init__(self, total: int, device: str) -> None:
        self.console = output.console(stderr=True)
        self.total, self.device = total, device
        self.shown = ""

    def show(self, phase: str, done: int) -> None:
        """A phase began, or so many images are checked."""
        if phase != self.shown:
            self.shown = phase
            says = {
                "load": "Loading TensorFlow",
                "convert": "Converting",
                "check": f"Checking against the Keras model on {self.total} images",
                "device": f"Running it on {self.device}, beside this machine",
            }
            self.console.print(f"{says[phase]} ...")


def show_export(out: Path, document: dict[str, Any], verifier: Verifier | None, json: bool) -> None:
    """Say what was written, how it was checked, and what compression has cost."""
    if json:
        output.print_json({"file": str(out), **document})
        return
    check = document["check"]
    print(
        f"Written to {out}: {document['dtype']}, {document['size_bytes'] / 1e6:.2f} MB; {out.with_suffix('.md').name} "
        "is its model card."
    )
    print(
        f"Checked on {check['images']} images: {check['agreement']:.2%} of the predictions agree with the Keras model, "
        f"probabilities differ by at most {check['max_difference']:.2g}."
    )
    if check["accuracy_tflite"] is not None:
        print(f"Accuracy: {check['accuracy_tflite']:.2%} here, {check['accuracy_keras']:.2%} in Keras.")
    print(end=_lost_by_compression(document))
    if verifier is not None:
        print(describe(document["device_check"], verifier.prediction))
    if not document["trained"]:
        print("The weights are random: measure it, do not ship it.")


def _lost_by_compression(document: dict[str, Any]) -> str:
    """A line on what fine-tuning for the file cost; empty where nothing was, or where it was checked on other data.

    The check compares the file with the network after that, so what was lost on the way shows here only.
    """
    before, after = document.get("test_accuracy"), document["check"]["accuracy_tflite"]
    if "compression" not in document or after is None or document["check_data"] != document["training"]["data"]["name"]:
        return ""
    lost = 100 * (before - after)
    hint = ": more --fine-tune-epochs may get some of it back" if lost > 1 else ""
    return f"Before {document['compression']['kind']} it was {before:.2%}: {lost:.1f} points lost{hint}.\n"


@dataclass
class Verifier:
    """A device that stands ready, and what a table predicts for it.

    Attributes:
        name: of the device, as it was asked for.
        device: that device.
        prediction: by the table, or None without one.
    """

    name: str
    device: Device
    prediction: Prediction | None = None

    def check(self, content: bytes, images: npt.NDArray[np.float32], *, dtype: str, trained: bool) -> DeviceCheck:
        """See `check_on_device`."""
        from mnas.export.on_device import IMAGES, check_on_device

        return check_on_device(content, self.device, images[:IMAGES], name=self.name, dtype=dtype, trained=trained)


def open_verifier(
    name: str | None, how: dict[str, Any], table: Path | None, network: str, *, dtype: str, out: Path
) -> Verifier | None:
    """The device that --verify-on names, before any long work; None without it.

    Args:
        name: as --verify-on says it.
        how: the other arguments of `mnas.devices.registry.open_device`.
        table: that device's latency table.
        network: what is exported, as an architecture argument.
        dtype: of the file.
        out: that file.

    Raises:
        InputError: for options that do not go together, or a table of another device or dtype.
        MnasError: if the device is not there.
    """
    if name is None:
        given = [
            option for option, used in (("--table", table), ("--benchmark-binary", how["benchmark_binary"])) if used
        ]
        if given:
            raise InputError(f"{' and '.join(given)} only mean something with --verify-on DEVICE: add it, e.g. adb")
        return None
    from mnas.devices.registry import open_device

    prediction = None
    if table is not None:
        prediction = predict(output.resolve_architecture(network), table, dtype=dtype, file=out)
    device = open_device(name, **how)
    if prediction is not None:
        check_same(prediction.configuration, device.configuration(dtype))
    return Verifier(name, device, prediction)


def describe(check: dict[str, Any], prediction: Prediction | None) -> str:
    """What the device made of the file, in two lines."""
    where = f"{check['device']} ({check['model']}, {check['runtime']})"
    lines = [
        f"On {where}: {check['agreement']:.2%} of the predictions on {check['images']} images are those of this "
        f"machine, probabilities differ by at most {check['max_difference']:.2g}.",
        f"It takes {check['latency_ms']:.3f} ms there when the device is quiet (median {check['median_ms']:.3f} ms)",
    ]
    if prediction is None:
        return "\n".join(lines) + "."
    estimate = prediction.estimate
    return "\n".join(lines) + (
        f"; predicted were {estimate.latency_ms:.3f} ms, 90 % interval {estimate.low_ms:.3f} to "
        f"{estimate.high_ms:.3f} ms."
    )
