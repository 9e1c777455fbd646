"""Small spaces and cheap functions over them, for tests."""

import numpy as np

from mnas.space.space import SearchSpace
from mnas.space.stages import StageChoices


def small_space(num_stages=2, **fields):
    """A space of 24 ** num_stages architectures."""
    stage = {
        "op": ("sepconv", "mbconv3", "mbconv6"),
        "kernel_size": (3, 5),
        "se_ratio": (0,),
        "skip": ("identity",),
        "filters": (8, 12),
        "repeats": (1, 2),
    }
    stages = tuple(StageChoices(stride=1 + number % 2, **stage) for number in range(num_stages))
    return SearchSpace("small", stages, 8, 1, 32, 16, 10, **fields)


def separable(space, seed=0):
    """A function to maximise: each choice of each decision is worth something by itself; values are in 0..1."""
    rng = np.random.default_rng(seed)
    worth = [rng.random(len(decision.choices)) for decision in space.decisions]

    def accuracy(architecture):
        return float(np.mean([values[i] for values, i in zip(worth, space.encode(architecture), strict=True)]))

    return accuracy
