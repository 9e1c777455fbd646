"""Training recipes: plain data, and the schedules that follow from it."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

from msgspec import Meta

from mnas.checks import check_choice, check_fields
from mnas.errors import InputError

CHECKED = "checked"
AUGMENT = ("none", "shift", "flip", "rand")
CLASS_WEIGHTS = ("none", "balanced")
SHIFT = 0.08
_RAND_OPERATIONS = 2  # where the recipe has none
_LATER_FIELDS = {"crop": 1.0, "keep_best": False, "freeze": False, "class_weights": "none", "reparameterize": False}
_BATCH_SIZE = 128  # that the default learning rate is for


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train. The default is a short recipe for small data: warm-up, then cosine decay to 0.

    Attributes:
        epochs: passes over the training split.
        batch_size: images per step, at most the number of training images.
        optimizer: sgd (Nesterov momentum 0.9), rmsprop (decay 0.9, momentum 0.9) or adam.
        learning_rate: at its peak.
        warmup_share: share of the steps in which the learning rate rises.
        weight_decay: decoupled, on kernels only.
        label_smoothing: share of the target spread over all classes.
        clip_norm: gradients with a larger global norm are scaled down to it.
        flip: mirror half of the images: True, False, or checked, as soon as it is known that this does not confuse
            classes, see `mnas.train.mirroring`.
        shift: move images by up to this share of their side.
        schedule: cosine (to 0) or exponential (times `decay_rate` every `decay_epochs` epochs, in stairs).
        decay_rate, decay_epochs: of the exponential schedule.
        ema: momentum of a moving average of the weights, which replaces them at the end; 0 for none.
        rand_augment: operations of RandAugment (Cubuk et al. 2020) on every image, as Keras has it; 0 for none.
        batch_norm: momentum of the batch norms; 0 chooses it by the number of steps.
        mixed_precision: float16 on GPUs.
        zero_init_residual: initial weights as in the search's short trainings: a small classifier, and blocks that
            begin as their skip connection. Otherwise the published ones, which need more steps.
        crop: random crops of at least this share of the image's area, resized to the whole; 1 for none.
        keep_best: keep the epoch with the highest validation accuracy, the later one of equals, instead of the last.
        freeze: train the classifier only, on features that are computed once.
        class_weights: of an image's loss, by its class: none, or balanced, see `mnas.train.class_weights`.
        reparameterize: train depthwise convolutions with more branches, which are merged into one convolution at the
            end, see `mnas.nn.branches`.
    """

    epochs: Annotated[int, Meta(ge=1, le=100_000)] = 10
    batch_size: Annotated[int, Meta(ge=2, le=65536)] = _BATCH_SIZE
    optimizer: Literal["sgd", "rmsprop", "adam"] = "adam"
    learning_rate: Annotated[float, Meta(ge=1e-9, le=100)] = 0.004
    warmup_share: Annotated[float, Meta(ge=0, le=0.9)] = 0.1
    weight_decay: Annotated[float, Meta(ge=0, le=1)] = 1e-4
    label_smoothing: Annotated[float, Meta(ge=0, le=0.9)] = 0.1
    clip_norm: Annotated[float, Meta(ge=1e-6, le=1e6)] = 5.0
    flip: bool | Literal["checked"] = "checked"
    shift: Annotated[float, Meta(ge=0, le=0.5)] = SHIFT
    schedule: Literal["cosine", "exponential"] = "cosine"
    decay_rate: Annotated[float, Meta(ge=0.01, le=1)] = 0.97
    decay_epochs: Annotated[float, Meta(ge=1e-3, le=1e6)] = 2.4
    ema: Annotated[float, Meta(ge=0, le=0.999999)] = 0.0
    rand_augment: Annotated[int, Meta(ge=0, le=10)] = 0
    batch_norm: Annotated[float, Meta(ge=0, le=0.9999)] = 0.0
    mixed_precision: bool = False
    zero_init_residual: bool = True
    crop: Annotated[float, Meta(ge=0.05, le=1)] = 1.0
    keep_best: bool = False
    freeze: bool = False
    class_weights: Literal["none", "balanced"] = "none"
    reparameterize: bool = False

    def __post_init__(self) -> None:
        check_fields(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        fields = dataclasses.asdict(self)
        fields["gentle_start"] = fields.pop("zero_init_residual")  # the name in files
        for name, default in _LATER_FIELDS.items():  # so that trainings of earlier versions go on
            if fields[name] == default:
                del fields[name]
        return fields

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Recipe:
        """Return the recipe that `to_dict` gave, of this or an earlier version.

        Raises:
            InputError: for a field that is unknown, or whose value is not one.
        """
        fields = {"zero_init_residual" if name == "gentle_start" else name: value for name, value in fields.items()}
        if unknown := sorted(fields.keys() - {field.name for field in dataclasses.fields(cls)}):
            raise InputError(f"a recipe has no field {unknown[0]!r}: it was written by a later version of mnas")
        return cls(**fields)

    def changes_images(self, *, mirror: bool) -> bool:
        """Return whether a training augments images, given whether it mirrors them."""
        return mirror or self.shift > 0 or self.rand_augment > 0 or self.crop < 1

    def learning_rate_at(self, step: int, steps: int) -> float:
        """Return the learning rate of one step of `steps`: linear warm-up, then half a cosine down to 0, or stairs.

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
        """Return the momentum of the batch norms for a training of this many steps."""
        return self.batch_norm or batch_norm_momentum(steps)

    def ema_momentum(self, steps: int) -> float:
        """Return the momentum of the weights' average, which covers at most a tenth of the training."""
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
    "zero_init_residual": False,
}
# Of pretrained weights, on small data.
_FINETUNE: dict[str, Any] = {
    "epochs": 4,
    "batch_size": 64,
    "learning_rate": 0.0014,
    "shift": 0.0,
    "crop": 0.5,
    "keep_best": True,
}
# Where only the classifier is trained. Ten times this rate lost 3 to 6 points of validation accuracy on photographs.
_FROZEN: dict[str, Any] = {"epochs": 30, "learning_rate": 0.001}
RECIPES: dict[str, dict[str, Any]] = {
    "short": {},
    "finetune": _FINETUNE,
    "mnasnet": _PUBLISHED,
    "efficientnet": {**_PUBLISHED, "rand_augment": 2},
}
WARMUP_EPOCHS = 5


class _Few(NamedTuple):
    """How a recipe adapts to few images: 10 epochs of a few hundred are too few.

    Attributes:
        batch_size: that the recipe's learning rate is for; it goes with the root.
        steps: fewest in all.
        most_epochs: whatever the steps.
        steps_per_epoch: fewest, as far as `smallest_batch` allows.
        smallest_batch: in images.
    """

    batch_size: int
    steps: int
    most_epochs: int
    steps_per_epoch: int
    smallest_batch: int


_SMALL = {"short": _Few(_BATCH_SIZE, 1500, 200, 32, 16), "finetune": _Few(64, 270, 40, 64, 16)}


def check_augment(augment: str | None) -> None:
    """Refuse anything but None and the words of `AUGMENT`.

    Raises:
        InputError: for another word.
    """
    if augment is not None:
        check_choice("--augment", augment, AUGMENT)


def augmented(recipe: Recipe, augment: str | None) -> Recipe:
    """Return a recipe with another augmentation.

    Args:
        recipe: how far it moves images, or crops them, holds for every choice but `none`.
        augment: none (images as they are), shift (moved or cropped), flip (and mirrored, without a check) or rand (and
            RandAugment); None changes nothing.

    Raises:
        InputError: for another word.
    """
    check_augment(augment)
    if augment is None:
        return recipe
    if augment == "none":
        return dataclasses.replace(recipe, flip=False, shift=0.0, crop=1.0, rand_augment=0)
    operations = recipe.rand_augment or _RAND_OPERATIONS
    return dataclasses.replace(recipe, flip=augment != "shift", rand_augment=operations if augment == "rand" else 0)


def recipe_for(
    data: str, *, name: str = "short", images: int | None = None, augment: str | None = None, **overrides: Any
) -> Recipe:
    """A named recipe for a data set, with some values overridden.

    The short recipe gets smaller batches, with a smaller learning rate, and more epochs where there are few images. The
    published recipes keep their five epochs of warm-up, and their learning rate per image, whatever the number of
    epochs and the batch size.

    Args:
        data: the name of the data set, on which nothing depends.
        name: one of `RECIPES`.
        images: in the training split, where that is known.
        augment: as `augmented` takes it.
        overrides: fields of `Recipe`.

    Raises:
        InputError: for an unknown recipe, or a value out of range.
    """
    check_choice("--recipe", name, tuple(RECIPES))
    recipe = augmented(dataclasses.replace(Recipe(**RECIPES[name]), **overrides), augment)
    if name == "finetune":
        frozen = {key: value for key, value in _FROZEN.items() if recipe.freeze and key not in overrides}
        recipe = dataclasses.replace(recipe, **frozen)
    if name in _SMALL:
        return recipe if images is None else _for_few(recipe, images, overrides, _SMALL[name])
    derived: dict[str, Any] = {"warmup_share": min(0.5, WARMUP_EPOCHS / recipe.epochs)}
    if "learning_rate" not in overrides:
        derived["learning_rate"] = 0.256 * recipe.batch_size / 4096
    return dataclasses.replace(recipe, **derived)


def _for_few(recipe: Recipe, images: int, overrides: dict[str, Any], few: _Few) -> Recipe:
    """Choose what `overrides` leaves open by the number of images; with many images nothing changes."""
    batch_size = recipe.batch_size
    if "batch_size" not in overrides:
        fitting = 2 ** int(math.log2(max(1, images / few.steps_per_epoch)))
        batch_size = min(batch_size, max(few.smallest_batch, fitting))
    derived: dict[str, Any] = {"batch_size": batch_size}
    if "learning_rate" not in overrides:
        derived["learning_rate"] = recipe.learning_rate * math.sqrt(batch_size / few.batch_size)
    if "epochs" not in overrides:
        epochs = math.ceil(few.steps / max(1, images // batch_size))
        derived["epochs"] = min(few.most_epochs, max(recipe.epochs, epochs))
    return dataclasses.replace(recipe, **derived)
