"""Exporting a trained folder, or an architecture with random weights, in one call."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from mnas.export.convert import check_dtype
from mnas.export.on_device import open_verifier
from mnas.export.pipeline import check_target, export_model
from mnas.export.source import Display, choose_compression, no_display, resolve_network, trained_job, untrained_job
from mnas.system.native_output import load_tensorflow
from mnas.system.permissions import names_what_is_not_permitted


@names_what_is_not_permitted
def export_network(
    network: str | Path,
    out: Path,
    *,
    dtype: str = "float32",
    io: str = "float32",
    qat: bool = False,
    prune: float | None = None,
    cluster: int | None = None,
    fine_tune_epochs: int = 1,
    max_loss: float = 2.0,
    untrained: bool = False,
    data: str | None = None,
    seed: int = 0,
    verify_on: str | None = None,
    runtime: str = "litert",
    threads: int = 1,
    cores: str = "",
    delegate: str = "xnnpack",
    benchmark_binary: Path | None = None,
    wait_minutes: float = 0.0,
    table: Path | None = None,
    progress: Callable[[str], None] = lambda step: None,
    display: Display = no_display,
) -> dict[str, Any]:
    """Export a network to a checked `.tflite` file, with a JSON file and a model card beside it: all or none.

    Args:
        network: a folder that `mnas.train_network` wrote; with `untrained`, an architecture as `mnas cost` takes it.
        out: the file to write; ends in .tflite.
        dtype: float32, float16, dynamic or int8.
        io: what an int8 file takes and gives: float32, int8 or uint8.
        qat: train quantisation-aware first; the file is int8.
        prune: fine-tune until this share of the weights is 0.
        cluster: fine-tune until a layer has this many different weights.
        fine_tune_epochs: epochs of `qat`, `prune` or `cluster`.
        max_loss: points of accuracy that these may cost.
        untrained: random weights, for measuring only.
        data: data to calibrate and check on, instead of the training's.
        seed: seed of random weights.
        verify_on: a device to run the file on too, as `mnas.open_device` takes it.
        runtime: of that device, as `mnas.open_device` takes it.
        threads: of that runtime.
        cores: that it is pinned to, as `mnas.open_device` takes it.
        delegate: of that runtime.
        benchmark_binary: the `benchmark_model` for a phone.
        wait_minutes: how long to wait for the device if it is gone.
        table: latency table of that device, for the predicted latency.
        progress: is told what each step does.
        display: shows the progress of fine-tuning.

    Returns:
        The content of the JSON file; with a table, its `device_check` has `predicted_ms`, `predicted_interval_ms`
        and `extrapolated`, the keys of blocks that the table lacks.

    Raises:
        InputError: for options that cannot be combined, or a network, data or table that do not fit.
        MnasError: if fine-tuning costs too much, or conversion, a check or writing fails; nothing is written then.
    """
    check_target(out)
    compression = choose_compression(qat, prune, cluster, fine_tune_epochs, untrained, seed)
    dtype = "int8" if qat else dtype
    check_dtype(dtype, io)
    architecture, trained = resolve_network(str(network), untrained=untrained)
    how: dict[str, Any] = {"runtime": runtime, "threads": threads, "delegate": delegate, "cores": cores}
    how |= {"benchmark_binary": benchmark_binary, "wait_minutes": wait_minutes}
    verifier = open_verifier(verify_on, how, table, architecture, dtype=dtype, out=out)
    progress("Loading TensorFlow and the data")
    load_tensorflow(onednn=False)  # nothing is trained: the same numbers in every process
    if trained is None:
        job = untrained_job(architecture, data, seed)
    else:
        job = trained_job(trained, data, compression, max_loss, display=display)
    steps = {
        "convert": "Converting",
        "check": f"Checking against the Keras model on {job.count} images",
        "device": f"Running it on {verify_on}, and on this machine",
    }

    def step(phase: str, done: int) -> None:
        if phase in steps:
            progress(steps.pop(phase))

    check = None
    if verifier is not None:
        check = partial(verifier.check, images=job.shown, dtype=dtype, trained=not untrained)
    document = export_model(
        job.model,
        job.architecture,
        out,
        dtype=dtype,
        io=io,
        batches=job.batches,
        calibration=job.calibration,
        trained=not untrained,
        about=job.about,
        learned=job.learned,
        on_device=check,
        progress=step,
    )
    if verifier is not None and verifier.prediction is not None:
        estimate = verifier.prediction.estimate
        document["device_check"]["predicted_ms"] = estimate.latency_ms
        document["device_check"]["predicted_interval_ms"] = [estimate.low_ms, estimate.high_ms]
        document["device_check"]["extrapolated"] = list(estimate.extrapolated)
    return document
