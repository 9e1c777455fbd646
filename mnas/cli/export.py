"""`mnas export`: a checked `.tflite` file from a trained folder, or from an architecture for measuring."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mnas.cli import output
from mnas.cli.options import BENCHMARK_BINARY, DELEGATE, JSON, RUNTIME, THREADS

if TYPE_CHECKING:
    from mnas.export.on_device import Verifier
    from mnas.export.source import ExportJob
    from mnas.profiling.prediction import Prediction


VERIFY_ON = typer.Option(
    None,
    "--verify-on",
    help="Run the file on a device too (local, adb[:SERIAL], ssh:HOST), and compare outputs and time.",
)
TABLE = typer.Option(None, "--table", help="With --verify-on: that device's latency table, for the predicted time.")


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
    from mnas.export.convert import check_dtype
    from mnas.export.on_device import open_verifier
    from mnas.export.pipeline import check_target
    from mnas.export.source import choose_compression, resolve_network, trained_job, untrained_job
    from mnas.system.native_output import load_tensorflow

    check_target(out)
    compression = choose_compression(qat, prune, cluster, fine_tune_epochs, untrained, seed)
    dtype = "int8" if qat else dtype
    check_dtype(dtype, io)
    architecture, trained = resolve_network(network, untrained=untrained)
    how = {"runtime": runtime, "threads": threads, "delegate": delegate, "benchmark_binary": benchmark_binary}
    verifier = open_verifier(on, how, table, architecture, dtype=dtype, out=out)
    output.console(stderr=True).print("Loading TensorFlow and the data ...")
    load_tensorflow()
    if trained is None:
        job = untrained_job(architecture, data, seed)
    else:
        job = trained_job(trained, data, compression, max_loss, display=output.progress)
    document = _run(job, out, dtype=dtype, io=io, trained=not untrained, verifier=verifier)
    show_export(out, document, verifier, json)


def export_trained(folder: Path, out: Path, *, dtype: str = "float32") -> dict[str, Any]:
    """Export what `mnas train` left in a folder; gives what stands in the JSON file."""
    from mnas.export.source import trained_job
    from mnas.train.trained_network import open_trained

    return _run(trained_job(open_trained(folder)), out, dtype=dtype, io="float32", trained=True)


def _run(
    job: ExportJob, out: Path, *, dtype: str, io: str, trained: bool, verifier: Verifier | None = None
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
