"""Parameters and multiply-adds by arithmetic, without building a model."""

from __future__ import annotations

from dataclasses import dataclass

from mnas.arch.spec import Architecture
from mnas.arch.walk import Layer, PlacedBlock, layers, unroll


@dataclass(frozen=True, slots=True)
class Complexity:
    """Trainable parameters (batch-norm statistics excluded) and multiply-adds of one image.

    Multiply-adds count convolutions and dense layers, squeeze-and-excitation's too, and one addition per output
    where there is a bias; not batch norms, activations, poolings or skip connections. This is pycls's convention.
    """

    params: int
    madds: int

    def __add__(self, other: Complexity) -> Complexity:
        return Complexity(self.params + other.params, self.madds + other.madds)


def layer_complexity(layer: Layer) -> Complexity:
    """Parameters and multiply-adds of one operator."""
    if layer.kind not in ("conv", "depthwise", "dense"):
        return Complexity(0, 0)
    weights = layer.weights_per_filter * layer.filters
    biases = 0 if layer.norm else layer.filters
    params = weights + (2 * layer.filters if layer.norm else biases)
    return Complexity(params, (weights + biases) * layer.out_size**2)


def block_complexity(placed: PlacedBlock) -> Complexity:
    """Parameters and multiply-adds of one placed block."""
    return sum((layer_complexity(layer) for layer in layers(placed)), Complexity(0, 0))


def complexity(architecture: Architecture) -> Complexity:
    """Parameters and multiply-adds of the whole network."""
    return sum((block_complexity(placed) for placed in unroll(architecture)), Complexity(0, 0))
