"""What `mnas design` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mnas.checks import check_choice, check_integer, check_number
from mnas.devices.registry import DEFAULT_RUNTIME
from mnas.tflite.flatbuffer import DTYPES
from mnas.train.recipe import CLASS_WEIGHTS, check_augment


@dataclass(frozen=True, kw_only=True)
class DesignOptions:
    """What to design.

    Attributes:
        data: a folder of images by class, or the name of a data set.
        budget_ms: the largest latency in ms.
        table: a latency table of the device; None measures the device.
        device: where to measure: local, adb[:SERIAL], ssh:HOST.
        benchmark_binary: the `benchmark_model` for a phone.
        runtime: there, litert or tflite-runtime; a phone runs `benchmark_binary`.
        threads: of the runtime on the device.
        cores: that it is pinned to there, as `mnas.open_device` takes them.
        delegate: there, with its options, as `mnas.open_device` takes it.
        wait: minutes to wait for a phone or board that is gone.
        minutes: for everything, approximately; None for what is usual.
        profile_minutes: for measuring the device.
        dtype: of the network on the device: float32 or int8.
        teacher: a trained folder, a network of the zoo with published weights, or `train`; None for EfficientNet-Lite0.
        resolution: of the teacher, the largest one; None chooses it by the budget.
        epochs: of the winner's fine-tuning, and of the published networks'; None for 12, or fewer to save time.
        family: number of larger networks to scale the winner to.
        class_weights: none or balanced, in every training.
        augment: in every training, as `mnas.train.recipe.augmented` takes it; None for the recipes' own, checked.
        max_train_images: maximum number of images for training and validation together; None for all.
        seed: of everything.
    """

    data: str
    budget_ms: float
    table: str | None = None
    device: str = "local"
    benchmark_binary: Path | None = None
    runtime: str = DEFAULT_RUNTIME
    threads: int = 1
    cores: str = ""
    delegate: str = "xnnpack"
    wait: float = 0.0
    minutes: float | None = None
    profile_minutes: float = 4.0
    dtype: str = "float32"
    teacher: str | None = None
    resolution: int | None = None
    epochs: int | None = None
    family: int = 2
    class_weights: str = "none"
    augment: str | None = None
    max_train_images: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_number("--budget-ms", self.budget_ms, 1e-6, 1e9)
        check_choice("--dtype", self.dtype, DTYPES)
        check_choice("--class-weights", self.class_weights, CLASS_WEIGHTS)
        check_augment(self.augment)
        if self.epochs is not None:
            check_integer("--epochs", self.epochs, 1, 100_000)
        check_integer("--family", self.family, 0, 10)
        check_integer("--threads", self.threads, 1, 1024)
        check_integer("--seed", self.seed, 0, 10**18)
        check_number("--wait", self.wait, 0, 7 * 24 * 60)
        check_number("--profile-minutes", self.profile_minutes, 0.05, 24 * 60)
        if self.minutes is not None:
            check_number("--minutes", self.minutes, 1, 1e6)
        if self.resolution is not None:
            check_integer("--resolution", self.resolution, 16, 4096)
        if self.max_train_images is not None:
            check_integer("--max-train-images", self.max_train_images, 1, 1_000_000_000)
