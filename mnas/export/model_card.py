"""Model cards (Mitchell et al. 2019) in Markdown, from the JSON description of an exported file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_DTYPES = {
    "float32": "float32",
    "float16": "float16 weights, widened when the file is loaded",
    "dynamic": "int8 weights, float32 activations (dynamic range)",
    "int8": "int8 throughout, weights per channel",
}


def model_card(name: str, document: Mapping[str, Any]) -> str:
    """Return the card of one file.

    Args:
        name: name of the file, without its suffix.
        document: the JSON description beside it.
    """
    architecture, check = document["architecture"], document["check"]
    size = architecture["resolution"]
    lines = [
        f"# {name}",
        "",
        f"An image classifier for {size}x{size} RGB images and {architecture['num_classes']} classes, "
        f"made with mnas {document['made_with']['mnas']}.",
        "",
        "| | |",
        "|---|---|",
        f"| file | {name}.tflite, {document['size_bytes']:,} bytes, sha256 `{document['sha256']}` |",
        f"| numbers | {_DTYPES[document['dtype']]} |",
        f"| input | {document['input']['shape']}, {document['input']['dtype']}, {document['input']['layout']}; "
        f"{document['input']['normalisation']} |",
        f"| output | {document['output']['shape']}, {document['output']['dtype']}: {document['output']['meaning']} |",
        f"| operators | {', '.join(f'{count} {kind}' for kind, count in document['operators'].items())} |",
        *_accuracy(document),
        f"| agrees with the Keras model | {check['agreement']:.2%} of {check['images']} images; probabilities differ "
        f"by at most {check['max_difference']:.3g} |",
        *_device(document),
        "",
        *_training(document),
        "## Architecture",
        "",
        "```",
        f"stem {architecture['stem_filters']} stride {architecture['stem_stride']}, {architecture['activation']}",
        *architecture["stages"],
        f"head {architecture['head_filters']}",
        "```",
        "",
        *_classes(document),
        "## Limits",
        "",
        *_limits(document),
    ]
    return "\n".join(lines) + "\n"


def _accuracy(document: Mapping[str, Any]) -> list[str]:
    check = document["check"]
    if check["accuracy_tflite"] is None:
        return ["| accuracy | not measured |"]
    where = f" on {document['check_data']}" if "check_data" in document else ""
    return [
        f"| accuracy{where} | {check['accuracy_tflite']:.2%} in this file, {check['accuracy_keras']:.2%} in Keras "
        f"({check['images']} test images) |"
    ]


def _device(document: Mapping[str, Any]) -> list[str]:
    check = document.get("device_check")
    if check is None:
        return []
    where = f"{check['model']}, {check['runtime']}, {check['delegate']}, {check['threads']} thread(s)"
    return [
        f"| on a device ({where}) | {check['latency_ms']:.3f} ms when quiet; {check['agreement']:.2%} of "
        f"{check['images']} predictions agree, probabilities differ by at most {check['max_difference']:.3g} |"
    ]


def _training(document: Mapping[str, Any]) -> list[str]:
    training = document.get("training")
    if not training:
        return []
    recipe = ", ".join(f"{name} {value}" for name, value in training["recipe"].items() if value is not None)
    lines = ["## Training", "", f"On {training['data']['name']}, seed {training['seed']}. {recipe}.", ""]
    compression = document.get("compression")
    if compression:
        overrides = ", ".join(f"{key} {value}" for key, value in compression.items() if not isinstance(value, dict))
        lines += [f"Then compressed: {overrides}.", ""]
    return lines


def _classes(document: Mapping[str, Any]) -> list[str]:
    names = document.get("class_names")
    return ["## Classes", "", ", ".join(f"{index} {name}" for index, name in enumerate(names)), ""] if names else []


def _limits(document: Mapping[str, Any]) -> list[str]:
    if not document["trained"]:
        return ["The weights are random: this file is for measuring latency and nothing else."]
    return [
        "It knows only the classes above and returns probabilities for them for any image. Its accuracy was measured "
        "on images from the same source as the training images; on other images it may be far lower. It was not "
        "examined for fairness between groups of people.",
    ]
