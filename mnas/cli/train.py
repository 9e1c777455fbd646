"""`mnas train`: train one network on a data set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mnas.cli import output
from mnas.cli.options import ARCH, JSON, MIRROR
from mnas.cli.progress import TrainingProgress
from mnas.search.options import MaxTrainImages

if TYPE_CHECKING:
    from mnas.arch.spec import Architecture
    from mnas.system.remote import Mirror
    from mnas.train.trained_network import Trained
    from mnas.train.trainer import Progress


def train(
    arch: str = ARCH,
    data: str = typer.Option(..., "--data", help="digits, fashion_mnist, cifar10, cifar100, or a folder of images."),
    out: Path = typer.Option(..., "--out", help="The folder for weights, architecture and record."),
    epochs: int = typer.Option(None, min=1, help="Passes over the training images: 10, or more where they are few."),
    batch_size: int = typer.Option(None, min=2, help="Images a step."),
    learning_rate: float = typer.Option(None, help="At its peak."),
    optimizer: str = typer.Option(None, help="sgd, rmsprop or adam."),
    recipe: str = typer.Option("short", "--recipe", help="short (small data), mnasnet or efficientnet (published)."),
    weights: str = typer.Option(
        None, "--weights", help="imagenet, or a weights file of keras.applications, for a network that it has."
    ),
    mixed_precision: bool = typer.Option(False, "--mixed-precision", help="float16 where there are GPUs."),
    resolution: int = typer.Option(None, help="Side of the images in pixels, if not the architecture's own."),
    seed: int = typer.Option(0, min=0, help="Decides weights, shuffling and which images validate."),
    resume: bool = typer.Option(False, "--resume", help="Go on with an interrupted training."),
    max_train_images: MaxTrainImages | None = None,
    mirror: str = MIRROR,
    json: bool = JSON,
) -> None:
    """Train a network. Example: mnas train best.json --data fashion_mnist --epochs 10 --out runs/best."""
    from mnas.study.references import resolve_architecture

    architecture = resolve_architecture(arch)
    if resolution is not None:
        architecture = replace(architecture, resolution=resolution)
    overrides = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "optimizer": optimizer}
    given = {name: value for name, value in overrides.items() if value is not None}
    mirrored = output.open_mirror(out, mirror)
    trained = train_with_display(
        architecture,
        data,
        out,
        mirror=mirrored,
        seed=seed,
        resume=resume,
        limit=max_train_images,
        weights=weights,
        name=recipe,
        mixed_precision=mixed_precision,
        **given,
    )
    _report(trained, json)


def train_with_display(
    architecture: Architecture,
    data: str,
    out: Path,
    *,
    seed: int = 0,
    resume: bool = False,
    limit: int | None = None,
    weights: str | None = None,
    mirror: Mirror | None = None,
    **overrides: Any,
) -> Trained:
    """Train with progress on stderr; `knobs` are those of `mnas.train.recipe.recipe_for`."""
    from mnas.system.files import check_writable
    from mnas.system.native_output import load_tensorflow

    check_writable(out / "training.json")
    out_console = output.console(stderr=True)
    with out_console.status("Loading TensorFlow and the data"):
        load_tensorflow()
        from mnas.data.dataset import DataSource
        from mnas.train.pretrained import open_pretrained
        from mnas.train.recipe import recipe_for
        from mnas.train.trained_network import is_trained
        from mnas.train.trainer import train_network

        start = None if weights is None else open_pretrained(weights, architecture)
        source = DataSource(data, seed=seed, limit=limit)
        dataset = source.load(architecture.resolution)
        recipe = recipe_for(data, images=len(dataset.train), **overrides)
    if dataset.num_classes != architecture.num_classes:
        out_console.print(f"The classifier is set to the {dataset.num_classes} classes of {data}.")
    if is_trained(out):
        out_console.print(f"{out} is trained already; nothing is trained again if it is the same configuration.")

    def progress(state: Progress) -> None:
        display.show(state)
        if mirror is not None and state.epoch_ended:
            mirror.push_now_and_then()

    with TrainingProgress(recipe.epochs) as display, output.mirrored(mirror):
        return train_network(
            architecture,
            source,
            out,
            recipe=recipe,
            seed=seed,
            resume=resume,
            dataset=dataset,
            weights=start,
            progress=progress,
        )


def _report(trained: Trained, json: bool) -> None:
    found = trained.training
    if json:
        output.print_json({"folder": str(trained.folder), **found})
        return
    print(
        f"Accuracy: {found['validation_accuracy']:.2%} on validation, {found['test_accuracy']:.2%} on test images.\n"
        f"Written to {trained.folder}. Next: mnas export {trained.folder} --out models/NAME.tflite"
    )
