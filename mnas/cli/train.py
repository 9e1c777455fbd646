"""`mnas train`: train one network on a data set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mnas.cli import output
from mnas.cli.options import ARCH, JSON, MIRROR, read_pixels
from mnas.cli.progress import TrainingProgress
from mnas.search.options import Augment, ClassWeights, MaxTrainImages

if TYPE_CHECKING:
    from mnas.arch.spec import Architecture
    from mnas.data.dataset import DataSource
    from mnas.search.teacher import WinnerStart
    from mnas.system.remote import Mirror
    from mnas.train.trained_network import Trained
    from mnas.train.trainer import Progress


def train(
    arch: str = ARCH,
    data: str = typer.Option(
        None,
        "--data",
        help="digits, fashion_mnist, cifar10, cifar100, or a folder of images; those of its block library for a "
        "study's winner, of its record for a network from mnas scale with weights.",
    ),
    out: Path = typer.Option(..., "--out", help="The folder for weights, architecture and record."),
    epochs: int = typer.Option(None, min=1, help="Passes over the training images: 10, or more where they are few."),
    batch_size: int = typer.Option(None, min=2, help="Images in a step."),
    learning_rate: float = typer.Option(None, help="Peak learning rate."),
    optimizer: str = typer.Option(None, help="sgd, rmsprop or adam."),
    recipe: str = typer.Option(
        None, "--recipe", help="short (small data), finetune (with --weights), mnasnet or efficientnet (published)."
    ),
    weights: str = typer.Option(
        None, "--weights", help="Start from imagenet (see mnas zoo), from a file of weights, or from a trained folder."
    ),
    from_scratch: bool = typer.Option(
        False,
        "--from-scratch",
        help="Start from random weights, not from a block library's (a study's winner) or grown ones (mnas scale).",
    ),
    freeze: bool = typer.Option(False, "--freeze", help="Train the classifier only, on features computed once."),
    teacher: Path = typer.Option(None, "--teacher", help="A trained folder whose answers are soft targets."),
    distill: float = typer.Option(None, "--distill", help="The teacher's weight in the loss, 0 to 1: 0.5."),
    reparameterize: bool = typer.Option(
        False,
        "--reparameterize",
        help="Train depthwise convolutions with more branches, merged into one convolution at the end (RepVGG, "
        "MobileOne).",
    ),
    class_weights: ClassWeights = "none",
    augment: Augment | None = None,
    mixed_precision: bool = typer.Option(False, "--mixed-precision", help="float16 where there are GPUs."),
    resolution: int = typer.Option(
        None, metavar="INTEGER", parser=read_pixels, help="Side of the images in pixels, if not the architecture's own."
    ),
    seed: int = typer.Option(
        0, min=0, help="Seed of weights, shuffling, and of the validation images, but those of a block library stay."
    ),
    resume: bool = typer.Option(False, "--resume", help="Resume an interrupted training."),
    max_train_images: MaxTrainImages | None = None,
    mirror: str = MIRROR,
    json: bool = JSON,
) -> None:
    """Train a network. Example: mnas train best.json --data fashion_mnist --epochs 10 --out runs/best."""
    from mnas.checks import check_choice
    from mnas.errors import InputError
    from mnas.study.references import resolve_architecture
    from mnas.train.recipe import CLASS_WEIGHTS, check_augment

    architecture, augment = resolve_architecture(arch), augment or _augment_of_study(arch)
    if resolution is not None:
        architecture = replace(architecture, resolution=resolution)
    overrides = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "optimizer": optimizer}
    start: Any = weights
    own = _library_start(arch, architecture, data) if weights is None and not from_scratch else None
    grown = _grown(arch) if weights is None and not from_scratch else None
    if own is not None:
        if max_train_images is not None:
            raise InputError("the images are those of the block library: leave out --max-train-images")
        start, guided = own.weights, teacher is None and not freeze  # a frozen network's features are computed once
        teacher = own.teacher if guided else teacher
        targets = "; its teacher gives soft targets" if guided else ""
        output.console(stderr=True).print(f"The weights are those of the block library{targets}.")
    elif grown is not None:
        start = str(grown.folder)
        output.console(stderr=True).print(f"The weights are those grown from {grown.grown_from}.", soft_wrap=True)
    elif data is None:
        raise InputError("--data is missing: expected digits, fashion_mnist, cifar10, cifar100, or a folder of images")
    check_choice("--class-weights", class_weights, CLASS_WEIGHTS)
    check_augment(augment)
    if distill is not None and teacher is None:
        raise InputError("--distill is the weight of a teacher: pass its folder with --teacher")
    overrides |= {"freeze": freeze or None, "teacher": teacher, "distill": distill}
    overrides |= {"reparameterize": reparameterize or None}
    trained = train_with_display(
        architecture,
        own.source if own is not None else _source(data, seed, max_train_images, grown),
        out,
        mirror=output.open_mirror(out, mirror),
        seed=seed,
        resume=resume,
        recipe=recipe,
        weights=start,
        mixed_precision=mixed_precision,
        class_weights=class_weights,
        augment=augment,
        **{name: value for name, value in overrides.items() if value is not None},
    )
    from mnas.train.mirroring import describe_augmentation

    record = trained.training
    if json:
        output.print_json({"folder": str(trained.folder), **record})
        return
    print(
        f"Augmentation: {describe_augmentation(record)}.\n"
        f"Accuracy: {record['validation_accuracy']:.2%} on validation, {record['test_accuracy']:.2%} on test images.\n"
        f"Written to {trained.folder}. Next: mnas export {trained.folder} --out models/NAME.tflite"
    )


def _source(data: str | None, seed: int, limit: int | None, grown: Trained | None) -> DataSource:
    from mnas.data.dataset import DataSource

    if data is None and grown is not None:
        return grown.data if limit is None else replace(grown.data, limit=limit)
    return DataSource(str(data), seed=seed, limit=limit)


def _grown(arch: str) -> Trained | None:
    """A network that `mnas scale` wrote with weights, which are not trained yet; None for all others."""
    from mnas.scaling.kept import find_weights

    folder = Path(arch)
    trained = find_weights(arch) if (folder / "training.json").is_file() else None
    return None if trained is None or trained.grown_from is None else trained


def _augment_of_study(arch: str) -> str | None:
    """The augmentation that a network's search was told to use; None for other networks."""
    folder = Path(arch.partition("#")[0])
    if not (folder / "study.json").is_file():
        return None
    from mnas.study.study import Study

    chosen = Study.open(folder).arguments.get("augment")
    return None if chosen is None else str(chosen)


def _library_start(arch: str, architecture: Architecture, data: str | None) -> WinnerStart | None:
    """How to train a network of a search with a block library; None for all others."""
    folder = Path(arch.partition("#")[0])
    if not (folder / "study.json").is_file():
        return None
    from mnas.study.study import Study
    from mnas.system.native_output import load_tensorflow

    with output.console(stderr=True).status("Loading TensorFlow"):
        load_tensorflow()
        from mnas.search.teacher import winner_start
    return winner_start(Study.open(folder), architecture, data=data)


def train_with_display(
    architecture: Architecture,
    source: DataSource,
    out: Path,
    *,
    seed: int,
    mirror: Mirror | None = None,
    **options: Any,
) -> Trained:
    """Call `mnas.train_network` with these options and show its progress on stderr."""
    from mnas.system.native_output import load_tensorflow
    from mnas.train.trained_network import is_trained

    console = output.console(stderr=True)
    with console.status("Loading TensorFlow"):
        load_tensorflow()
        from mnas.data.classes import describe_counts
        from mnas.train.trainer import train_network
    if is_trained(out):
        console.print(f"{out} is trained already; nothing is trained again if the configuration is the same.")

    def progress(state: Progress) -> None:
        display.show(state)
        if mirror is not None and state.epoch_ended:
            mirror.push_now_and_then()

    with TrainingProgress() as display, output.mirrored(mirror):
        trained = train_network(
            architecture,
            source,
            out,
            seed=seed,
            progress=progress,
            loaded=lambda dataset: display.say(f"{describe_counts(dataset)}."),
            **options,
        )
    if trained.architecture.num_classes != architecture.num_classes:
        console.print(f"The classifier was set to the {trained.architecture.num_classes} classes of {source.name}.")
    return trained
