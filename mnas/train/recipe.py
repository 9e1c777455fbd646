"""How a network is trained: plain data, and the numbers that follow from it."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from mnas.checks import check_choice, check_integer, check_number
from mnas.errors import InputError

OPTIMIZERS = ("sgd", "rmsprop", "adam")
SCHEDULES = ("cosine", "exponential")
# What a mirror image turns into something else.
NOT_MIRRORED = ("digits",)
_BATCH_SIZE = 128  # that the default learning rate is for


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train: by default a short recipe for small data, warm-up and then cosine decay to nothing.

    Attributes:
        epochs: passes over the training split.
        batch_size: images a step; never more than there are.
        optimizer: sgd (Nesterov momentum 0.9), rmsprop (decay 0.9, momentum 0.9) or adam.
        learning_rate: at its peak.
        warmup_share: share of the steps in which the learning rate rises.
        weight_decay: decoupled, on kernels only.
        label_smoothing: share of the target spread over all classes.
        clip_norm: gradients with a larger global norm are scaled down to it.
        flip: mirror half of the images.
        shift: move images by up to this share of their side.
        schedule: cosine (to nothing) or exponential (times `decay_rate` every `decay_epochs` epochs, in stairs).
        decay_rate, decay_epochs: of the exponential schedule.
        ema: weights are averaged with this momentum, and the average is kept in the end; 0 for none.
        rand_augment: operations of RandAugment (Cubuk et al. 2020) on every image, as Keras has it; 0 for none.
        batch_norm: momentum of the batch norms; 0 lets the number of steps decide.
        mixed_precision: float16 on GPUs.
        gentle_start: initial weights as in the search's short trainings: a small classifier, and blocks that begin as
            their skip connection. Otherwise the published ones, which many steps have to tame first.
    """

    epochs: int = 10
    batch_size: int = _BATCH_SIZE
    optimizer: str = "adam"
    learning_rate: float = 0.004
    warmup_share: float = 0.1
    weight_decay: float = 1e-4
    label_smoothing: float = 0.1
    clip_norm: float = 5.0
    flip: bool = True
    shift: float = 0.08
    schedule: str = "cosine"
    decay_rate: float = 0.97
    decay_epochs: float = 2.4
    ema: float = 0.0
    rand_augment: int = 0
    batch_norm: float = 0.0
    mixed_precision: bool = False
    gentle_start: bool = True

    def __post_init__(self) -> None:
        check_integer("epochs", self.epochs, 1, 100_000)
        check_integer("batch_size", self.batch_size, 2, 65536)
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_number("learning_rate", self.learning_rate, 1e-9, 100)
        check_number("warmup_share", self.warmup_share, 0, 0.9)
        check_number("weight_decay", self.weight_decay, 0, 1)
        check_number("label_smoothing", self.label_smoothing, 0, 0.9)
        check_number("clip_norm", self.clip_norm, 1e-6, 1e6)
        check_number("shift", self.shift, 0, 0.5)
        check_choice("schedule", self.schedule, SCHEDULES)
        check_number("decay_rate", self.decay_rate, 0.01, 1)
        check_number("decay_epochs", self.decay_epochs, 1e-3, 1e6)
        check_number("ema", self.ema, 0, 0.999999)
        check_integer("rand_augment", self.rand_augment, 0, 10)
        check_number("batch_norm", self.batch_norm, 0, 0.9999)
        for name in ("flip", "mixed_precision", "gentle_start"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{name} is {getattr(self, name)!r}: expected true or false")

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return dataclasses.asdict(self)

    def learning_rate_at(self, step: int, steps: int) -> float:
        """The learning rate of one step of `steps`: linear warm-up, then half a cosine down to 0, or stairs.

        Stairs count epochs from the start, as the TensorFlow reference does.
        """
        warmup = int(self.warmup_share * steps)
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        if self.schedule == "exponential":
            stairs = int(step * self.epochs / steps / self.decay_epochs)
            return float(self.learning_rate * self.decay_rate**stairs)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

    def momentum(self, steps: int) -> float:
        """Of the batch norms, for a training of so many steps."""
        return self.batch_norm or batch_norm_momentum(steps)

    def ema_momentum(self, steps: int) -> float:
        """Of the average of weights: over no more than a tenth of the training, or a short one averages its start."""
        return min(self.ema, max(0.0, 1 - 10 / steps))


def batch_norm_momentum(steps: int) -> float:
    """The published 0.99 needs hundreds of steps to forget where it started; short training gets 0.9."""
    return 0.9 if steps < 2000 else 0.97 if steps < 20000 else 0.99


# MnasNet: Tan et al. 2019, section 5, and tensorflow/tpu models/official/mnasnet; EfficientNet: Tan and Le 2019,
# section 5.2, and models/official/efficientnet. Learning rate 0.256 for a batch of 4096, scaled with the batch.
# EfficientNet's AutoAugment policies are replaced by RandAugment, as the reference itself did later. The reference's
# weight decay is an L2 term in the loss; Keras decays apart from the gradient.
_PUBLISHED: dict[str, Any] = {
    "epochs": 350,
    "batch_size": 256,
    "optimizer": "rmsprop",
    "learning_rate": 0.256 * 256 / 4096,
    "warmup_share": 5 / 350,
    "weight_decay": 1e-5,
    "label_smoothing": 0.1,
    "clip_norm": 1e6,  # none
    "schedule": "exponential",
    "ema": 0.9999,
    "batch_norm": 0.99,
    "shift": 0.1,
    "gentle_start": False,
}
RECIPES: dict[str, dict[str, Any]] = {
    "short": {},
    "mnasnet": _PUBLISHED,
    "efficientnet": {**_PUBLISHED, "rand_augment": 2},
}
WARMUP_EPOCHS = 5
_FEWEST_STEPS = 1500  # of the short recipe: 10 epochs of a few hundred images teach nothing
_MOST_EPOCHS = 200
_STEPS_PER_EPOCH, _SMALLEST_BATCH = 32, 16


def recipe_for(data: str, *, name: str = "short", images: int | None = None, **overrides: Any) -> Recipe:
    """A named recipe for a data set, with some values overridden.

    The short recipe gets smaller batches, with a smaller learning rate, and more epochs where there are few images. The
    published recipes keep their five epochs of warm-up, and their learning rate per image, whatever the number of
    epochs and the batch size.

    Args:
        data: the name of the data set.
        name: one of `RECIPES`.
        images: in the training split, where that is known.
        overrides: fields of `Recipe`.

    Raises:
        InputError: for an unknown recipe, or a value out of range.
    """
    check_choice("--recipe", name, tuple(RECIPES))
    recipe = dataclasses.replace(Recipe(flip=data not in NOT_MIRRORED, **RECIPES[name]), **overrides)
    if name == "short":
        return recipe if images is None else _for_few(recipe, images, overrides)
    derived: dict[str, Any] = {"warmup_share": min(0.5, WARMUP_EPOCHS / recipe.epochs)}
    if "learning_rate" not in overrides:
        derived["learning_rate"] = 0.256 * recipe.batch_size / 4096
    return dataclasses.replace(recipe, **derived)


def _for_few(recipe: Recipe, images: int, overrides: dict[str, Any]) -> Recipe:
    """What was not asked for, by the number of images; nothing changes where there are many."""
    batch_size = recipe.batch_size
    if "batch_size" not in overrides:
        batch_size = min(batch_size, max(_SMALLEST_BATCH, 2 ** int(math.log2(max(1, images / _STEPS_PER_EPOCH)))))
    derived: dict[str, Any] = {"batch_size": batch_size}
    if "learning_rate" not in overrides:
        derived["learning_rate"] = recipe.learning_rate * math.sqrt(batch_size / _BATCH_SIZE)
    if "epochs" not in overrides:
        epochs = math.ceil(_FEWEST_STEPS / max(1, images // batch_size))
        derived["epochs"] = min(_MOST_EPOCHS, max(recipe.epochs, epochs))
    return dataclasses.replace(recipe, **derived)
