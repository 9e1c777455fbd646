"""What is exported: a trained folder or an architecture, with the images to check and calibrate on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
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
VALIDATION_IMAGES = 4000  # that say what fine-tuning has cost

# Opened with a title; gives a function that takes the share done, 0 to 1, and what is being done.
Display = Callable[[str], AbstractContextManager[Callable[[float, str], None]]]


@contextmanager
def _no_display(title: str) -> Iterator[Callable[[float, str], None]]:
    yield lambda share, what: None


@dataclass
class ExportJob:
    """What is exported, and the images for it: to check with, to calibrate with, and to show to a device."""

    model: Any
    architecture: Architecture
    batches: list[Batch] | Any
    count: int
    calibration: npt.NDArray[np.float32]
    shown: npt.NDArray[np.float32]
    about: dict[str, Any] = field(default_factory=dict)
    learned: bool = False


def choose_compression(
    qat: bool, prune: float | None, cluster: int | None, epochs: int, untrained: bool, seed: int
) -> Compression | None:
    """What the options ask for; at most one."""
    from mnas.export.compress import Compression

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


def trained_job(
    network: str,
    data: str | None,
    compression: Compression | None = None,
    max_loss: float = 0.0,
    *,
    display: Display = _no_display,
) -> ExportJob:
    """What `mnas train` left in a folder, fine-tuned first if `compression` says so.

    Args:
        network: the folder.
        data: to calibrate and check on; None for the training's own.
        compression: what to fine-tune for.
        max_loss: points of accuracy that it may cost.
        display: shows how far fine-tuning is.

    Raises:
        InputError: if the data do not fit the network.
        MnasError: if the folder cannot be read, or fine-tuning costs more.
    """
    from mnas.arch.complexity import complexity
    from mnas.data.batches import plain_batches, some_images
    from mnas.export.convert import CALIBRATION_IMAGES
    from mnas.export.on_device import IMAGES
    from mnas.export.pipeline import images_to_check
    from mnas.export.verify import check_loss
    from mnas.train.trained_network import open_trained

    trained = open_trained(Path(network))
    dataset = trained.load_data() if data is None else _other_data(data, trained.architecture)
    count = images_to_check(complexity(trained.architecture).madds, len(dataset.test))
    model = trained.build()
    done = None if compression is None else _compress(trained, model, dataset, compression, display)
    if done is not None:
        some = plain_batches(dataset.validation, 64, count=VALIDATION_IMAGES)
        check_loss(model, done.model, some, max_loss, done.about["kind"])
    return ExportJob(
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


def _compress(trained: Trained, model: Any, dataset: Dataset, compression: Compression, display: Display) -> Compressed:
    from mnas.export.compress import compress

    with display("Fine-tuning") as report:
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


def untrained_job(network: str, data: str | None, seed: int) -> ExportJob:
    """An architecture with random weights, for measuring only.

    Args:
        network: as `resolve_architecture` takes it.
        data: to calibrate and check on; None for random images.
        seed: decides the weights, and random images.

    Raises:
        InputError: if there is no such architecture, or its memory is more than may be.
    """
    import numpy as np

    from mnas.arch.memory import check_fits
    from mnas.data.batches import some_images
    from mnas.nn.build import build_model

    architecture = resolve_architecture(network)
    check_fits(architecture)
    if data is None:
        shape = (UNTRAINED_IMAGES, architecture.resolution, architecture.resolution, 3)
        images = np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)
    else:
        from mnas.data.dataset import DataSource

        images = some_images(DataSource(data).load(architecture.resolution).train, UNTRAINED_IMAGES)
    model = build_model(architecture, probabilities=True, seed=seed)
    return ExportJob(model, architecture, [(images, None)], len(images), images, images, {"weights_seed": seed})
