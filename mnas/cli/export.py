"""`mnas export`: a checked `.tflite` file from a trained folder, or from an architecture for measuring."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import typer

from mnas.cli import output
from mnas.cli.options import (
    BENCHMARK_BINARY,
    CORES,
    DELEGATE,
    JSON,
    RUNTIME,
    THREADS,
    WAIT,
    with_delegate_options,
)


@with_delegate_options
def export(
    network: str = typer.Argument(..., metavar="DIR|ARCH", help="A folder from mnas train; ARCH with --untrained."),
    out: Path = typer.Option(..., "--out", help="The file to write, e.g. models/NAME.tflite."),
    dtype: str = typer.Option("float32", help="float32, float16, dynamic (int8 weights only) or int8."),
    io: str = typer.Option("float32", help="What an int8 file takes and gives: float32, int8 or uint8."),
    qat: bool = typer.Option(False, "--qat", help="Quantisation-aware training first; the file is int8."),
    prune: float = typer.Option(None, "--prune", help="Fine-tune until this share of the weights is 0, e.g. 0.5."),
    cluster: int = typer.Option(None, "--cluster", help="Fine-tune until a layer has this many different weights."),
    fine_tune_epochs: int = typer.Option(1, min=1, help="Epochs of --qat, --prune and --cluster."),
    max_loss: float = typer.Option(2.0, min=0, help="Points of accuracy that --qat, --prune or --cluster may cost."),
    untrained: bool = typer.Option(False, "--untrained", help="Random weights, for measuring only."),
    data: str = typer.Option(None, "--data", help="Calibrate and check on this data instead of the training data."),
    seed: int = typer.Option(0, min=0, help="With --untrained: seed of the weights."),
    on: str = typer.Option(
        None,
        "--verify-on",
        help="Run the file on a device too (local, adb[:SERIAL], ssh:HOST), and compare outputs and time.",
    ),
    runtime: str = RUNTIME,
    threads: int = THREADS,
    cores: str = CORES,
    delegate: str = DELEGATE,
    benchmark_binary: Path = BENCHMARK_BINARY,
    wait: float = WAIT,
    table: Path = typer.Option(
        None, "--table", help="With --verify-on: that device's latency table, for the predicted time."
    ),
    json: bool = JSON,
) -> None:
    """Export to TFLite, checked. Example: mnas export runs/best --dtype int8 --out models/best_int8.tflite."""
    from mnas.export.network import export_network

    document = export_network(
        network,
        out,
        dtype=dtype,
        io=io,
        qat=qat,
        prune=prune,
        cluster=cluster,
        fine_tune_epochs=fine_tune_epochs,
        max_loss=max_loss,
        untrained=untrained,
        data=data,
        seed=seed,
        verify_on=on,
        runtime=runtime,
        threads=threads,
        delegate=delegate,
        benchmark_binary=benchmark_binary,
        wait_minutes=wait,
        cores=cores,
        table=table,
        progress=print_step,
        display=output.progress,
    )
    if json:
        output.print_json({"file": str(out), **document})
    else:
        show_export(out, document)


def print_step(step: str) -> None:
    """Print a plain line to stderr: while the converter runs, stderr is redirected."""
    print(f"{step} ...", file=sys.stderr, flush=True)


def show_export(out: Path, document: dict[str, Any]) -> None:
    """Print what was written, how it was checked, and what compression cost."""
    check = document["check"]
    labels = f", {document['labels_file']} has its classes" if document["labels_file"] else ""
    print(
        f"Written to {out}: {document['dtype']}, {document['size_bytes'] / 1e6:.2f} MB; {out.with_suffix('.md').name} "
        f"is its model card{labels}."
    )
    print(
        f"Checked on {check['images']} images: {check['agreement']:.2%} of the predictions agree with the Keras model, "
        f"probabilities differ by at most {check['max_difference']:.2g}."
    )
    if check["accuracy_tflite"] is not None:
        print(f"Accuracy: {check['accuracy_tflite']:.2%} here, {check['accuracy_keras']:.2%} in Keras.")
    print(end=_lost_by_compression(document))
    if "device_check" in document:
        print(_device_check(document["device_check"]))
    if not document["trained"]:
        print("The weights are random: measure it, do not ship it.")


def _lost_by_compression(document: dict[str, Any]) -> str:
    """A line on what fine-tuning cost, which the check does not show: it compares with the network after that."""
    before, after = document.get("test_accuracy"), document["check"]["accuracy_tflite"]
    if "compression" not in document or after is None or document["check_data"] != document["training"]["data"]["name"]:
        return ""
    lost = 100 * (before - after)
    hint = ": more --fine-tune-epochs may get some of it back" if lost > 1 else ""
    change = f"{abs(lost):.1f} points {'gained' if lost < 0 else 'lost'}"
    return f"Before {document['compression']['kind']} it was {before:.2%}: {change}{hint}.\n"


def _device_check(check: dict[str, Any]) -> str:
    where = f"{check['device']} ({check['model']}, {check['runtime']})"
    lines = (
        f"On {where}: {check['agreement']:.2%} of the predictions on {check['images']} images are those of this "
        f"machine, probabilities differ by at most {check['max_difference']:.2g}.\n"
        f"It takes {check['latency_ms']:.3f} ms there when the device is quiet (median {check['median_ms']:.3f} ms)"
    )
    if "predicted_ms" not in check:
        return f"{lines}."
    from mnas.latency.extrapolation import describe_extrapolated

    low, high = check["predicted_interval_ms"]
    beyond = describe_extrapolated(check["extrapolated"])
    return f"{lines}; predicted were {check['predicted_ms']:.3f} ms, 90 % interval {low:.3f} to {high:.3f} ms." + (
        beyond and f"\n{beyond}"
    )
