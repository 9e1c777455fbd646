"""What a network takes up, and the networks that cannot be: too large for any file or this machine, or for their image.

By arithmetic on the walk, so that it is said before anything is built.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from mnas.arch.complexity import complexity
from mnas.arch.spec import Architecture, BlockSpec
from mnas.arch.walk import layers, named_blocks, unroll
from mnas.errors import InputError

LARGEST_FILE = 2**31  # bytes; a flatbuffer's offsets are signed 32-bit numbers
_FLOAT = 4
_TRAINING_COPIES = 4  # the weights, their gradients, and two numbers that an optimiser keeps for each


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that a network takes up in float32.

    Attributes:
        weights: the file, about.
        inference: weights, and the largest operator's inputs and outputs.
        training: of one step: weights, gradients, optimiser, and every activation of the batch.
    """

    weights: int
    inference: int
    training: int


def memory(architecture: Architecture, *, batch_size: int = 32) -> Memory:
    """Reckon what a network takes up."""
    largest = kept = 0
    for placed in unroll(architecture):
        sizes = [placed.in_size**2 * placed.in_filters]
        for layer in layers(placed):
            sizes.append(layer.out_size**2 * layer.filters)
            kept += sizes[-1] * (2 if layer.norm else 1)  # before and after the batch norm
            largest = max(largest, sizes[-1] + sum(sizes[index] for index in layer.inputs))
    weights = _FLOAT * complexity(architecture).params
    return Memory(
        weights=weights,
        inference=weights + _FLOAT * largest,
        training=_TRAINING_COPIES * weights + _FLOAT * batch_size * kept,
    )


def check_fits(architecture: Architecture, *, available: int | None = None) -> None:
    """Refuse a network that cannot become a file, be run on this machine, or whose strides leave nothing of the image.

    Args:
        architecture: the network.
        available: bytes of memory; this machine's by default.

    Raises:
        InputError: it says how much the network would take.
    """
    check_strides(architecture)
    needed = memory(architecture)
    if needed.weights > LARGEST_FILE:
        raise InputError(
            f"this network has {complexity(architecture).params:,} parameters, a file of {_size(needed.weights)} in "
            f"float32: a .tflite file holds at most {_size(LARGEST_FILE)}. Scale it less"
        )
    available = physical_memory() if available is None else available
    if needed.inference > available:
        raise InputError(
            f"this network would take {_size(needed.inference)} of memory for one image ({architecture.resolution} px, "
            f"{_size(needed.weights)} of it weights); this machine has {_size(available)}. Scale it less"
        )


def check_strides(architecture: Architecture) -> None:
    """Refuse a network whose strides go on when the image is down to one pixel.

    Raises:
        InputError: it names the block, and the smallest image that would do.
    """
    factor = 1
    failed = ""
    for name, placed in named_blocks(architecture):
        if isinstance(placed.block, BlockSpec) and placed.block.stride > 1:
            if placed.in_size == 1:
                failed = failed or name
            factor *= placed.block.stride
    if failed:
        raise InputError(
            f"the resolution is {architecture.resolution} px, and {failed} strides where one pixel is left: the "
            f"network divides its image by {factor}, so it needs at least {factor // 2 + 1} px"
        )


def physical_memory() -> int:
    """Bytes of this machine's memory; without a limit where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 2**63


def _size(count: int) -> str:
    return f"{count / 2**30:,.1f} GiB" if count >= 2**30 else f"{count / 2**20:,.1f} MiB"
