"""`mnas predict`: classes of images from a `.tflite` file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mnas.cli import output
from mnas.cli.options import JSON, THREADS

if TYPE_CHECKING:
    from mnas.predict import ImagePrediction


def predict(
    file: Path = typer.Argument(..., metavar="FILE.tflite", help="A classifier, float32 or int8, from mnas export."),
    images: list[Path] = typer.Argument(..., metavar="IMAGE...", help="Images, or folders of images."),
    top: int = typer.Option(3, min=1, help="How many classes to show for each image."),
    runtime: str = typer.Option("litert", help="litert or tflite-runtime."),
    threads: int = THREADS,
    json: bool = JSON,
) -> None:
    """Predict the classes of images with a .tflite file. Example: mnas predict models/net.tflite photo.jpg photos/new.

    Images are read as in the training. The exit code is 1 if an image cannot be read; the others are predicted.
    """
    from mnas.predict import predict_images

    predictions = predict_images(
        file,
        images,
        top=top,
        runtime=runtime,
        threads=threads,
        note=lambda text: print(f"Note: {text}", file=sys.stderr, flush=True),
        show=_show_error if json else _show,
    )
    if json:
        output.print_json(predictions.to_dict())
    if any(image.error is not None for image in predictions.images):
        raise typer.Exit(1)


def _show(image: ImagePrediction) -> None:
    _show_error(image)
    if image.error is None:
        print(f"{image.image}: " + ", ".join(f"{each.label} {each.probability:.1%}" for each in image.classes))


def _show_error(image: ImagePrediction) -> None:
    if image.error is not None:
        print(f"mnas: {image.error}", file=sys.stderr, flush=True)
