"""Weights for a grown network, so that it begins as the network that it was grown from.

After Net2Net (Chen, Goodfellow and Shlens 2016, https://arxiv.org/abs/1511.05641):

- Wider: channels are copied, and what reads a copied channel shares its weight among the copies. The shares are not
  equal and differ from reader to reader: equal copies would get equal gradients, and stay equal in any training.
- Deeper: an added block begins as the identity. The batch norm at its end has gamma 0, so that only its skip connection
  is left. A block without one cannot begin so: its stage keeps its depth, see `reachable`.
- Larger kernels have zeros around them. A larger resolution changes no weights;
  `mnas.scaling.kept` recomputes the statistics.

Copied channels have the statistics of their batch norms, so these remain right, in training as in inference.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from mnas.arch.complexity import layer_complexity
from mnas.arch.spec import Architecture, BlockSpec, StageSpec
from mnas.arch.walk import Layer, layers, named_blocks
from mnas.errors import InputError
from mnas.nn.initial import draw_layer

Array = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]
SPREAD = 0.5
_AWAKE = 1e-6  # beta before a rectifier: at 0 it has no gradient, and the block would never learn


def begins_as_identity(block: BlockSpec) -> bool:
    """Whether a block that is added to a stage can leave its input as it is at first."""
    return block.skip == "identity" or block.op == "identity"


def reachable(base: Architecture, grown: Architecture) -> Architecture:
    """Return the grown network, with the base's depth in stages whose added blocks cannot begin as the identity.

    Args:
        base: a network.
        grown: a deeper, wider or larger one of the same stages.

    Raises:
        InputError: if weights of the base cannot be kept in it: the message says where and why.
    """
    if len(base.stages) != len(grown.stages):
        _refuse(f"there would be {len(grown.stages)} stages instead of {len(base.stages)}")
    stages = tuple(
        each if begins_as_identity(each.block) or each.repeats <= own.repeats else StageSpec(each.block, own.repeats)
        for own, each in zip(base.stages, grown.stages, strict=True)
    )
    grown = replace(grown, stages=stages)
    _check(base, grown)
    return grown


def kept_depths(base: Architecture, wanted: Architecture) -> list[int]:
    """Return the numbers of the stages, from 1, that `reachable` makes no deeper, although `wanted` is."""
    return [
        number
        for number, (own, each) in enumerate(zip(base.stages, wanted.stages, strict=True), 1)
        if each.repeats > own.repeats and not begins_as_identity(each.block)
    ]


def grow_weights(
    base: Architecture, arrays: Sequence[Array], grown: Architecture, *, seed: int = 0, spread: float = SPREAD
) -> list[Array]:
    """Return weights with which the grown network does what the base does with its own, at any one resolution.

    Args:
        base: the network whose weights are kept.
        arrays: its weights, in the order of `mnas.nn.build.get_layer_weights`.
        grown: a network as `reachable` returns it.
        seed: of the shares, and of added blocks that differ from the block before them.
        spread: how much the shares of copied channels differ, below 1; 0 for equal ones, which no training separates.

    Returns:
        The grown network's weights in the same order.

    Raises:
        InputError: if the arrays are of another network, or cannot be kept in this one.
    """
    known = _by_block(base, arrays)
    if reachable(base, grown) != grown:
        stages = ", ".join(map(str, kept_depths(base, grown)))
        _refuse(
            f"blocks that are added to stage {stages} cannot begin as the identity, as they have no skip connection"
        )
    rng = np.random.default_rng(seed)
    found: list[Array] = []
    before: tuple[tuple[Layer, ...], list[list[Array]]] = ((), [])
    for name, placed in named_blocks(grown):
        own = tuple(layer for layer in layers(placed) if layer_complexity(layer).params)
        if name in known:
            block = [_wider(*pair, layer, rng, spread) for pair, layer in zip(known[name], own, strict=True)]
        else:
            same = before[0] == own
            block = _silenced(own, before[1] if same else [draw_layer(layer, rng) for layer in own])
        before = own, block
        found += [array for each in block for array in each]
    return found


def _refuse(why: str) -> NoReturn:
    raise InputError(f"the weights cannot be kept: {why}; scale to another size, or use --no-keep-weights")


def _added(base: Architecture, grown: Architecture) -> set[str]:
    """The names of the blocks that only the grown network has."""
    return {
        f"stage{stage}_block{number}"
        for stage, (own, each) in enumerate(zip(base.stages, grown.stages, strict=True), 1)
        for number in range(own.repeats + 1, each.repeats + 1)
    }


def _check(base: Architecture, grown: Architecture) -> None:
    own, others = dict(named_blocks(base)), dict(named_blocks(grown))
    added = _added(base, grown)
    for name in [name for name in (*own, *others) if name not in added]:
        if name not in others or name not in own:
            _refuse(f"{name} would {'vanish' if name in own else 'be new'}")
        _check_block(name, layers(own[name]), layers(others[name]))


def _check_block(name: str, own: Iterable[Layer], grown: Iterable[Layer]) -> None:
    roles, wanted = [[layer.role for layer in each] for each in (own, grown)]
    if roles != wanted:
        changes = [f"lose {role}" for role in roles if role not in wanted]
        changes += [f"gain {role}" for role in wanted if role not in roles]
        why = ", as a block has a skip connection where its filters stay the same" if "skip_add" in str(changes) else ""
        _refuse(f"{name} would {' and '.join(changes)}{why}")
    for old, new in zip(own, grown, strict=True):
        where = name if old.role in ("conv", "classifier") else f"{name}_{old.role}"
        if (old.kind, old.inputs, old.stride, old.activation, old.norm) != (
            new.kind,
            new.inputs,
            new.stride,
            new.activation,
            new.norm,
        ):
            _refuse(f"{where} would be another layer: its kind, stride or activation changes")
        if old.role == "classifier" and old.filters != new.filters:
            _refuse(f"there would be {new.filters} classes instead of {old.filters}")
        if new.filters < old.filters:
            _refuse(f"{where} would have {new.filters} filters, fewer than its {old.filters}")
        if new.kernel_size < old.kernel_size:
            _refuse(f"{where} would have a kernel of {new.kernel_size}, smaller than its {old.kernel_size}")


def _by_block(base: Architecture, arrays: Sequence[Array]) -> dict[str, list[tuple[Layer, list[Array]]]]:
    """The layers with weights of every block, each with its arrays."""
    given = iter(arrays)
    found: dict[str, list[tuple[Layer, list[Array]]]] = {}
    for name, placed in named_blocks(base):
        own = [layer for layer in layers(placed) if layer_complexity(layer).params]
        found[name] = [(layer, list(islice(given, 5 if layer.norm else 2))) for layer in own]
        for layer, its in found[name]:
            shapes, expected = [tuple(array.shape) for array in its], _shapes(layer)
            if shapes != expected:
                where = f"{name}, {layer.role}"
                raise InputError(f"these weights are of another network: {where} has {shapes}, expected {expected}")
    left = sum(1 for _ in given)
    if left:
        raise InputError(f"these weights are of another network: there are {left} arrays more than it has")
    return found


def _shapes(layer: Layer) -> list[tuple[int, ...]]:
    side, across = layer.kernel_size, 1 if layer.kind == "depthwise" else layer.filters
    kernel = (layer.in_filters, across) if layer.kind == "dense" else (side, side, layer.in_filters, across)
    return [kernel, *[(layer.filters,)] * (4 if layer.norm else 1)]


def _copies(own: int, grown: int) -> Indices:
    """For each channel of the grown network the one that it copies: everywhere the same for the same two numbers."""
    return np.arange(grown, dtype=np.intp) % own


def _wider(old: Layer, arrays: Sequence[Array], new: Layer, rng: np.random.Generator, spread: float) -> list[Array]:
    """The arrays of a layer whose input and output channels are copied, and whose kernel may be larger."""
    rows, columns = _copies(old.in_filters, new.in_filters), _copies(old.filters, new.filters)
    kernel = arrays[0].astype(np.float64)[..., rows, :]
    if new.kind != "depthwise":
        kernel = kernel[..., columns] * _shares(rows, len(columns), rng, spread)
    border = (new.kernel_size - old.kernel_size) // 2
    if border:
        kernel = np.pad(kernel, ((border, border), (border, border), (0, 0), (0, 0)))
    return [kernel.astype(np.float32), *(array[columns] for array in arrays[1:])]


def _shares(rows: Indices, readers: int, rng: np.random.Generator, spread: float) -> npt.NDArray[np.float64]:
    """For each channel and reader the share of the original's weight; those of all copies add up to 1."""
    parts = 1 + spread * rng.uniform(-1, 1, (len(rows), readers))
    sums = np.zeros((int(rows.max()) + 1, readers))
    np.add.at(sums, rows, parts)
    return parts / sums[rows]


def _silenced(own: Sequence[Layer], arrays: Sequence[Sequence[Array]]) -> list[list[Array]]:
    """The arrays of a block whose last batch norm gives 0, so that its skip connection alone is left."""
    block = [list(each) for each in arrays]
    last = max(place for place, layer in enumerate(own) if layer.norm)
    awake = _AWAKE if own[last].activation in ("relu", "relu6") else 0.0
    block[last][1:3] = [np.zeros_like(block[last][1]), np.full_like(block[last][2], awake)]
    return block
