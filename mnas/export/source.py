"""The network to export: a trained folder or an architecture, with the images to check and calibrate on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnas.errors import InputError
from mnas.study.references import resolve_architecture

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mnas.arch.spec import Architecture
    from mnas.data.dataset import Dataset
    from mnas.export.compress import Compressed, Compression
    from mnas.export.verify import Batch
    from mnas.train.trained_network import Trained

UNTRAINED_IMAGES = 32
VALIDATION_IMAGES = 4000  # to measure what fine-tuning costs

# Opened with a title; yields a function that takes the share done, 0 to 1, and what is being done.
Display = Callable[[str], AbstractContextManager[Callable[[float, str], None]]]


def no_display(title: str) -> AbstractContextManager[Callable[[float, str], None]]:
    """Show nothing."""
    return nullcontext(lambda share, what: None)


@dataclass
class ExportJob:
    """A network to export, and images to check with, to calibrate with, and to run on a device."""

    model: Any
    architecture: Architecture
    batches: list[Batch] | Any
    count: int
    calibration: npt.NDArray[np.float32]
    shown: npt.NDArray[np.float32]
    about: dict[str, Any] = field(default_factory=dict)
    learned: bool = False


def resolve_network(network: str, *, untrained: bool) -> tuple[Architecture, Trained | None]:
    """Read the network to export.

    Args:
        network: a folder from `mnas train`, or a study whose winner was fine-tuned from a block library; with
            `untrained`, as `resolve_architecture` takes it.
        untrained: whether random weights are wanted.

    Returns:
        The architecture, and the trained network, which is None with `untrained`.

    Raises:
        InputError: if there is no such network, or it has no weights and `untrained` is False.
    """
    if untrained:
        return resolve_architecture(network), None
    if Path(network).is_dir():
        from mnas.train.trained_network import open_trained

        trained = open_trained(_winner_folder(Path(network)))
        return trained.architecture, trained
    resolve_architecture(network)
    raise InputError(
        f"{network} is an architecture without weights: train it first (mnas train {network} --data D --out DIR), "
        "then export DIR; or add --untrained for random weights, for measuring only"
    )


def _winner_folder(folder: Path) -> Path:
    """The folder of a study's trained winner; other folders as they are."""
    from mnas.study.study import Study
    from mnas.study.winner import trained_folder

    if not (folder / "study.json").is_file():
        return folder
    best = Study.open(folder).best()
    trained = trained_folder(folder, best)
    if trained is None:
        raise InputError(
            f"the winner of {folder} is not trained: mnas train {folder} --data D --out DIR, then export DIR"
            if best is not None
            else f"{folder} has no winner yet: finish it with mnas search --resume --study {folder}"
        )
    return trained


def choose_compression(
    qat: bool, prune: float | None, cluster: int | None, epochs: int, untrained: bool, seed: int
) -> Compression | None:
    """The compression that the options ask for.

    Raises:
        InputError: if they ask for more than one, or for one of an untrained network.
    """
    from mnas.export.compress import Compression

    options = {"--qat": qat or None, "--prune": prune, "--cluster": cluster}
    given = [name for name, value in options.items() if value is not None]
    if not given:
        return None
    if len(given) > 1 or untrained:
        extra = [*given, "--untrained"] if untrained else given
        raise InputError(
            f"{' and '.join(extra)} cannot be combined: expected one of --qat, --prune, --cluster on its own"
        )
    if prune is not None:
        return Compression("prune", sparsity=prune, epochs=epochs, seed=seed)
    if cluster is not None:
        return Compression("cluster", clusters=cluster, epochs=epochs, seed=seed)
    return Compression("qat", epochs=epochs, seed=seed)


def trained_job(
    trained: Trained,
    data: str | None = None,
    compression: Compression | None = None,
    max_loss: float = 0.0,
    *,
    display: Display = no_display,
) -> ExportJob:
    """A trained network, fine-tuned first if `compression` is given.

    Args:
        trained: the network.
        data: data to calibrate and check on; None for the training's data.
        compression: what to fine-tune for.
        max_loss: points of accuracy that it may cost.
        display: shows the progress of fine-tuning.

    Raises:
        InputError: if the data do not fit the network.
        MnasError: if the weights cannot be read, or fine-tuning costs more.
    """
    from mnas.arch.complexity import complexity
    from mnas.data.batches import plain_batches, some_images
    from mnas.export.convert import CALIBRATION_IMAGES
    from mnas.export.on_device import IMAGES
    from mnas.export.pipeline import images_to_check
    from mnas.export.verify import check_loss
    from mnas.train.mirroring import MIRRORING, describe_augmentation

    dataset = trained.load_data() if data is None else _other_data(data, trained)
    count = images_to_check(complexity(trained.architecture).madds, len(dataset.test))
    model = trained.build()
    job = ExportJob(
        model,
        trained.architecture,
        batches=plain_batches(dataset.test, 64, count=count),
        count=count,
        calibration=some_images(dataset.train, CALIBRATION_IMAGES),
        shown=some_images(dataset.test, IMAGES),
        about={
            "class_names": trained.training["class_names"],
            "training": trained.training["configuration"],
            "test_accuracy": trained.training["test_accuracy"],
            "check_data": dataset.name,
            **({"augmentation": describe_augmentation(trained.training)} if MIRRORING in trained.training else {}),
        },
    )
    if compression is not None:
        done = _compress(trained, model, dataset, compression, display)
        some = plain_batches(dataset.validation, 64, count=VALIDATION_IMAGES)
        check_loss(model, done.model, some, max_loss, compression.kind)
        job.model, job.learned = done.model, done.learned_ranges
        job.about["compression"] = done.about
    return job


def _compress(trained: Trained, model: Any, dataset: Dataset, compression: Compression, display: Display) -> Compressed:
    from mnas.export.compress import compress
    from mnas.train.mirroring import is_mirrored
    from mnas.train.recipe import SHIFT

    recipe = trained.training["configuration"]["recipe"]
    moved = bool(recipe["shift"]) or recipe.get("crop", 1) < 1
    with display("Fine-tuning") as report:
        return compress(
            trained.architecture,
            model,
            dataset.train,
            compression,
            flip=is_mirrored(trained.training),
            shift=SHIFT if moved else 0.0,
            progress=lambda done, total: report(done / total, compression.kind),
        )


def _other_data(data: str, trained: Trained) -> Dataset:
    """Other data than the training's, with labels by the names of the network's classes."""
    from mnas.data.classes import with_classes
    from mnas.data.dataset import DataSource

    dataset = DataSource(data).load(trained.architecture.resolution)
    return with_classes(dataset, trained.training["class_names"], network=str(trained.folder))


def untrained_job(architecture: Architecture, data: str | None, seed: int) -> ExportJob:
    """An architecture with random weights, for measuring only.

    Args:
        architecture: the network.
        data: data to calibrate and check on; None for random images.
        seed: seed of the weights, and of random images.

    Raises:
        InputError: if the network needs more memory than is allowed.
    """
    import numpy as np

    from mnas.arch.memory import check_fits
    from mnas.data.batches import some_images
    from mnas.nn.build import build_model

    check_fits(architecture)
    if data is None:
        shape = (UNTRAINED_IMAGES, architecture.resolution, architecture.resolution, 3)
        images = np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)
    else:
        from mnas.data.dataset import DataSource

        images = some_images(DataSource(data).load(architecture.resolution).train, UNTRAINED_IMAGES)
    model = build_model(architecture, probabilities=True, seed=seed)
    return ExportJob(model, architecture, [(images, None)], len(images), images, images, {"weights_seed": seed})
