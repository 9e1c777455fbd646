"""All architectures of a space at once, each decision a mixture of its choices: what gradient search differentiates.

The weights are the supernet's. Operations are averaged by their probabilities; sizes are soft masks over the largest
(FBNetV2's channel masks, Single-Path NAS's rings of a kernel); squeeze-and-excitation, skips and optional layers are
weighted sums. When every decision is sure, the result is that path's, to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from mnas.arch.walk import Layer
from mnas.errors import InputError
from mnas.nn.functional import ACTIVATIONS, EPSILON, linear
from mnas.oneshot.shared_weights import Family, SharedWeights, Slot
from mnas.space.space import SearchSpace
from mnas.space.stages import StageChoices, split_op

POOL_SIZE = 3  # of skips, as `mnas.arch.walk` has it


def mixable_stages(space: SearchSpace) -> list[StageChoices]:
    """The stages of a space that a mixture can be made of.

    Raises:
        InputError: if some stage is one decision over whole blocks.
    """
    stages = [stage for stage in space.stages if isinstance(stage, StageChoices)]
    if len(stages) < len(space.stages):
        raise InputError(
            f"{space.name} has stages of whole blocks: a gradient search needs a space of six decisions a stage (op, "
            "kernel_size, se_ratio, skip, filters, repeats), such as mnasnet-32; for this one take --strategy tunas"
        )
    return stages


class Mixture:
    """A space as a function of its shared weights and of every choice's probability.

    Args:
        shared: the supernet's layout.

    Raises:
        InputError: if some stage is one decision over whole blocks.
    """

    def __init__(self, shared: SharedWeights) -> None:
        self.shared = shared
        self._stages = mixable_stages(shared.space)
        self._slots = {slot.name: slot for slot in shared.slots}

    def train(self, weights: Any, probabilities: Any, images: Any) -> Any:
        """Logits (batch, classes), batch norms on the batch's own statistics; differentiable in both.

        Args:
            weights: float32 (num_weights,).
            probabilities: float32, of all decisions' choices one after the other; those of a decision add up to 1.
            images: float32 (batch, resolution, resolution, 3).
        """
        arrays = self._arrays(weights)
        counts = [len(decision.choices) for decision in self.shared.space.decisions]
        decisions = iter(tf.split(probabilities, counts))
        x = self._fixed("stem", images, arrays)
        before: tuple[int, ...] = (self.shared.space.stem_filters,)
        inputs = tf.ones(1)
        for number, stage in enumerate(self._stages, 1):
            chosen = [next(decisions) for _ in stage.decisions]
            repeats, filters = chosen[5], chosen[4]
            for repeat in range(1, max(stage.repeats) + 1):
                slot = self._slots[f"stage{number}_block{repeat}"]
                y = _Block(stage, slot, arrays, chosen, before, inputs)(x)
                alive = tf.reduce_sum(repeats * tf.constant([float(count >= repeat) for count in stage.repeats]))
                x = y if repeat == 1 else alive * y + (1 - alive) * x
                before, inputs = stage.filters, filters
        if "head" in self._slots:
            x = self._fixed("head", x, arrays)
        return self._fixed("classifier", x, arrays)

    def _arrays(self, weights: Any) -> list[list[Any]]:
        """The arrays of every shared kernel."""
        kernels = self.shared.kernels
        parts = iter(tf.split(weights, [length for kernel in kernels for length in kernel.sizes]))
        return [[tf.reshape(next(parts), shape) for shape in kernel.shapes] for kernel in kernels]

    def _fixed(self, name: str, x: Any, arrays: list[list[Any]]) -> Any:
        """Stem, head or classifier: the same in every architecture."""
        (family,) = self._slots[name].families
        for layer in family.layers:
            if layer.kind == "mean":
                x = tf.reduce_mean(x, [1, 2], keepdims=True)
            else:
                x = _apply(layer, x, arrays[family.kernels[layer.role]])
        return x


def _apply(layer: Layer, x: Any, arrays: Sequence[Any]) -> Any:
    kernel, *others = arrays
    y = linear(layer, x, kernel)
    y = tf.compat.v1.nn.fused_batch_norm(y, *others, epsilon=EPSILON)[0] if layer.norm else y + others[0]
    return ACTIVATIONS[layer.activation](y)


class _Block:
    """One slot's mixture.

    Args:
        stage: what may be chosen.
        slot: the place.
        arrays: of every shared kernel.
        chosen: the probabilities of the stage's six decisions.
        before: how many input filters there may be; `inputs` are the probabilities of these.
    """

    def __init__(
        self,
        stage: StageChoices,
        slot: Slot,
        arrays: list[list[Any]],
        chosen: list[Any],
        before: tuple[int, ...],
        inputs: Any,
    ) -> None:
        self._stage, self._slot, self._arrays = stage, slot, arrays
        self._op, self._kernel_size, self._se_ratio, self._skip, self._filters, _ = chosen
        self._before, self._inputs = before, inputs

    def __call__(self, x: Any) -> Any:
        total: Any = 0.0
        for family in self._slot.families:
            members = tf.constant([float(split_op(op)[0] == family.op) for op in self._stage.op])
            total += tf.reduce_sum(self._op * members) * self._family(family, x, self._op * members)
        return self._with_skip(x, total * _mask(self._stage.filters, self._filters, max(self._stage.filters)))

    def _family(self, family: Family, x: Any, members: Any) -> Any:
        """The blocks of one operation, where `members` are the probabilities of its expansion ratios."""
        shares = members / tf.maximum(tf.reduce_sum(members), 1e-9)
        y = x
        for layer in family.layers:
            if layer.role == "se_squeeze":
                y = self._excited(family, y)
            elif layer.role in family.kernels and not layer.role.startswith("se_"):
                kernel, *others = self._arrays[family.kernels[layer.role]]
                if layer.role == "project":
                    share = tf.reduce_sum(self._skips())
                    others = [(1 - share) * a + share * b for a, b in zip(others[:2], others[2:], strict=True)]
                y = _apply(layer, y, [self._ringed(layer, kernel), *others])
                if family.op != "conv" and layer.role != "project":
                    y *= self._middle(shares, y.shape[-1])
        return y

    def _ringed(self, layer: Layer, kernel: Any) -> Any:
        """A large kernel whose outer rings count as much as the sizes that have them."""
        if layer.kernel_size == 1:
            return kernel
        places = np.abs(np.arange(layer.kernel_size) - layer.kernel_size // 2)
        rings = np.maximum(places[:, None], places[None, :])
        inside = np.stack([rings <= size // 2 for size in self._stage.kernel_size]).astype(np.float32)
        return kernel * tf.tensordot(self._kernel_size, tf.constant(inside), 1)[:, :, None, None]

    def _middle(self, shares: Any, width: int) -> Any:
        """The soft mask over the middle filters, which depend on the input's filters and the expansion."""
        return self._over_inputs(shares, width, lambda filters: [
            max(1, round(filters * split_op(op)[1])) for op in self._stage.op
        ])  # fmt: skip

    def _excited(self, family: Family, y: Any) -> Any:
        layers = {layer.role: layer for layer in family.layers}
        reduce, expand = (self._arrays[family.kernels[role]] for role in ("se_reduce", "se_expand"))
        present = self._se_ratio * tf.constant([float(ratio > 0) for ratio in self._stage.se_ratio])
        share = tf.reduce_sum(present)
        z = _apply(layers["se_reduce"], tf.reduce_mean(y, [1, 2], keepdims=True), reduce)
        z *= self._over_inputs(present / tf.maximum(share, 1e-9), z.shape[-1], lambda filters: [
            max(1, int(filters * ratio)) for ratio in self._stage.se_ratio
        ])  # fmt: skip
        return y * (1 - share + share * _apply(layers["se_expand"], z, expand))

    def _over_inputs(self, shares: Any, width: int, widths: Callable[[int], list[int]]) -> Any:
        masks = [_mask(widths(filters), shares, width) for filters in self._before]
        return tf.tensordot(self._inputs, tf.stack(masks), 1)

    def _skips(self) -> Any:
        """How much every kind of skip counts: as much as it is chosen and fits, with equally many filters each side."""
        first = self._slot.name.endswith("_block1")
        pairs = [(i, j) for i, b in enumerate(self._before) for j, f in enumerate(self._stage.filters) if b == f]
        fits = tf.add_n([self._inputs[i] * self._filters[j] for i, j in pairs]) if pairs else tf.constant(0.0)
        possible = [skip == "pool" or (skip == "identity" and self._stride == 1) for skip in self._stage.skip]
        return self._skip * tf.constant(np.array(possible, np.float32)) * (fits if first else 1.0)

    @property
    def _stride(self) -> int:
        return self._stage.stride if self._slot.name.endswith("_block1") else 1

    def _with_skip(self, x: Any, y: Any) -> Any:
        x = _widened(x, max(self._stage.filters))
        for skip, share in zip(self._stage.skip, tf.unstack(self._skips()), strict=True):
            if skip == "identity" and self._stride == 1:
                y += share * x
            elif skip == "pool":
                y += share * tf.nn.avg_pool2d(x, POOL_SIZE, self._stride, "SAME")
        return y


def _mask(widths: Sequence[int], probabilities: Any, width: int) -> Any:
    """How probable it is that each of `width` filters is there."""
    inside = np.arange(width)[None, :] < np.asarray(widths)[:, None]
    return tf.tensordot(probabilities, tf.constant(inside.astype(np.float32)), 1)


def _widened(x: Any, width: int) -> Any:
    """Cut to `width` filters, or filled up with zeros."""
    missing = width - x.shape[-1]
    return tf.pad(x, [[0, 0]] * 3 + [[0, missing]]) if missing > 0 else x[..., :width]


@contextmanager
def light_graphs() -> Iterator[None]:
    """Run TensorFlow's functions without its graph optimiser.

    On a whole space's graph the optimiser takes longer than a thousand steps save: 31 s of processor time against 9 s
    for the first step of mnasnet-16, and later steps were no quicker.
    """
    before = tf.config.optimizer.get_experimental_options().get("disable_meta_optimizer", False)
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": before})
