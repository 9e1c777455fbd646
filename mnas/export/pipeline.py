"""Export a Keras model to a checked `.tflite` file, with a JSON description and a model card beside it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from mnas.arch.codec import architecture_to_dict
from mnas.arch.spec import Architecture
from mnas.errors import InputError
from mnas.export.convert import quantizer, to_tflite
from mnas.export.model_card import model_card
from mnas.export.on_device import DeviceCheck
from mnas.export.verify import TOLERANCES, Batch, Check, check_tolerance, compare
from mnas.system.environment import versions
from mnas.system.files import check_writable, read_bytes, write_together
from mnas.system.permissions import names_what_is_not_permitted
from mnas.tflite.description import FORMAT, VERSION
from mnas.tflite.flatbuffer import read_model
from mnas.tflite.metadata import LABELS, add_metadata, labels_text
from mnas.tflite.operators import check_integers, check_operators
from mnas.tflite.runner import Floats

NORMALISATION = "byte / 127.5 - 1"
CHECK_MADDS = 3e11  # multiply-adds of a check: about half a minute on one or two laptop cores


@names_what_is_not_permitted
def export_model(
    model: Any,
    architecture: Architecture,
    out: Path,
    *,
    dtype: str = "float32",
    io: str = "float32",
    batches: Iterable[Batch],
    calibration: Floats | None = None,
    trained: bool = True,
    learned: bool = False,
    about: Mapping[str, Any] | None = None,
    on_device: Callable[[bytes], DeviceCheck] | None = None,
    progress: Callable[[str, int], None] = lambda phase, done: None,
) -> dict[str, Any]:
    """Convert, add metadata, check, and then write `out`, its JSON file, model card and labels: all or none.

    Args:
        model: the Keras model, ending in probabilities.
        architecture: what it was built from.
        out: a path that ends in .tflite; the JSON file has the same name with .json, the model card with .md. With
            class names, `labels.txt` in the same folder has one a line; where that file has other lines already,
            such as another network's, they are written to NAME.labels.txt instead.
        dtype: float32, float16, dynamic or int8.
        io: type of input and output of an int8 file: float32, int8 or uint8.
        batches: images to check with, as the network takes them, and their labels (of the test split).
        calibration: training images for int8.
        trained: False for random weights: then differences are checked, and agreement is not.
        learned: whether the model was trained quantisation-aware; an int8 file then takes its ranges from it.
        about: more fields of the JSON file, such as class names, data and training.
        on_device: runs the file on a device and compares, e.g. by `mnas.export.on_device.check_on_device`.
        progress: called with the phase (convert, check, device) and the number of images done.

    Returns:
        The content of the JSON file.

    Raises:
        InputError: for a wrong path, dtype or calibration.
        MnasError: if conversion, check or writing fails; nothing is written then.
    """
    check_target(out)
    configure = quantizer(dtype, calibration=calibration, io=io, learned=learned)
    progress("convert", 0)
    content = _with_metadata(to_tflite(model, configure), architecture, dtype, about or {})
    operators = check_operators(content, architecture, dtype)
    if dtype == "int8":
        check_integers(content, io)
    check = compare(content, model, batches, progress=lambda done: progress("check", done))
    calibrated = dtype == "int8" and not learned
    hint = ". Quantisation-aware training (--qat) often keeps more" if calibrated else ""
    check_tolerance(check, TOLERANCES[dtype], trained=trained, hint=hint)
    document = {
        **(about or {}),
        **_describe(architecture, content, dtype=dtype, io=io, trained=trained, check=check),
        "operators": dict(sorted(operators.items())),
        "calibration_images": len(calibration) if calibration is not None and calibrated else None,
    }
    if on_device is not None:
        progress("device", 0)
        document["device_check"] = dataclasses.asdict(on_device(content))
    labels = _labels_file(out, _class_names(document))
    document["labels_file"] = next((path.name for path in labels), None)
    text = json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n"
    card = model_card(out.stem, document)
    write_together({out: content, out.with_suffix(".json"): text, out.with_suffix(".md"): card, **labels})
    return document


def _class_names(about: Mapping[str, Any]) -> list[str]:
    return [str(label) for label in about.get("class_names", [])]


def _labels_file(out: Path, labels: list[str]) -> dict[Path, str]:
    """Return where the labels are written, and as what; nothing without labels."""
    if not labels:
        return {}
    text = labels_text(labels)
    shared = out.with_name(LABELS)
    free = not shared.exists() or (shared.is_file() and read_bytes(shared, "labels") == text.encode())
    return {shared if free else out.with_suffix(f".{LABELS}"): text}


def _with_metadata(content: bytes, architecture: Architecture, dtype: str, about: Mapping[str, Any]) -> bytes:
    """Add metadata that does not depend on where or when the file is written."""
    labels = _class_names(about)
    size = architecture.resolution
    provenance = {
        **about,
        "architecture": architecture_to_dict(architecture),
        "dtype": dtype,
        "preparation": preparation(size),
        "normalisation": NORMALISATION,
        "made_with": versions(),
    }
    says = f"Image classifier, {size}x{size} RGB, {architecture.num_classes} classes, {dtype}"
    image = f"RGB image: {preparation(size)}"
    return add_metadata(
        content, name="mnas image classifier", description=says, image=image, labels=labels, provenance=provenance
    )


def preparation(size: int) -> str:
    """Return how an image becomes the pixels that a network of this input size was trained on, in words."""
    return (
        "upright (EXIF), transparency on white, 16-bit values / 257, RGB, the centre square resized to "
        f"{size}x{size} (Lanczos)"
    )


def check_target(out: Path) -> None:
    """Check the path of the file before any work is done.

    Raises:
        InputError: if it does not end in .tflite or is a folder.
        MnasError: if it cannot be written.
    """
    if out.suffix != ".tflite":
        raise InputError(f"--out is {out}: expected a file name that ends in .tflite")
    if out.is_dir():
        raise InputError(
            f"--out is {out}, which is a folder: expected a file name in it, such as {out / 'name.tflite'}"
        )
    check_writable(out)


def images_to_check(madds: int, available: int) -> int:
    """Return how many images to check on: all of them for small networks, at least 256 for large ones."""
    return min(available, max(256, int(CHECK_MADDS // max(1, madds))))


def _describe(
    architecture: Architecture, content: bytes, *, dtype: str, io: str, trained: bool, check: Check
) -> dict[str, Any]:
    size = architecture.resolution
    scales = _scales(content) if io != "float32" else ({}, {})
    return {
        "format": FORMAT,
        "version": VERSION,
        "architecture": architecture_to_dict(architecture),
        "dtype": dtype,
        "trained": trained,
        "input": {
            "shape": [1, size, size, 3],
            "dtype": io,
            "layout": "NHWC, RGB",
            "preparation": preparation(size),
            "normalisation": NORMALISATION if io == "float32" else f"{NORMALISATION}, then the tensor's scale",
            **scales[0],
        },
        "output": {
            "shape": [1, architecture.num_classes],
            "dtype": io,
            "meaning": "class probabilities",
            **scales[1],
        },
        "check": dataclasses.asdict(check),
        "sha256": hashlib.sha256(content).hexdigest(),
        "size_bytes": len(content),
        "made_with": versions(),
    }


def _scales(content: bytes) -> tuple[dict[str, float], dict[str, float]]:
    """Scale and zero point of an integer file's input and output: a value is (integer - zero point) * scale."""
    graph = read_model(content).subgraphs[0]
    taken, given = (graph.tensors[ends[0]].quantization for ends in (graph.inputs, graph.outputs))
    return _scale(taken), _scale(given)


def _scale(quantization: Any) -> dict[str, float]:
    return {"scale": float(quantization.scale[0]), "zero_point": int(quantization.zeroPoint[0])}
