"""Streams of random numbers from one seed: each consumer has its own, so that none disturbs another.

Two streams are older than this table and stay because results depend on them: `numpy.random.default_rng(seed)`, used by
initial weights, data splits, random search and evolution, and `[seed, epoch]`, the order of images in an epoch of
`mnas train`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


class Stream(IntEnum):
    """What the random numbers are for.

    A new stream needs an unused number; 4, 5 and 9 belonged to weight sharing, up to version 0.1. Two streams share a
    number for historical reasons; results depend on them.
    """

    OPTUNA = 1  # replacements where Optuna's sampler repeats itself
    IMAGE_FOLDER_TEST = 1  # which images of a folder without a test split are held out
    PROXY_BATCHES = 2  # order and shifts of images in a proxy training
    PROXY_STATISTICS = 3  # the images that a proxy training's batch-norm statistics come from
    GUMBEL_NOISE = 6  # of differentiable search
    LEARNT_POLICY = 7  # architectures drawn from the policy of differentiable search
    PREDICTOR_RANDOM = 11  # the predictor's first samples
    PREDICTOR_PROMISING = 12  # samples so far: mutations from which the predictor picks its next samples
    LIBRARY_IMAGES = 13  # which training images a block library is trained on, in their order
    LIBRARY_WEIGHTS = 14  # stage, choice: weights of an alternative that the teacher has no counterpart of
    PREDICTOR_STITCHED = 15  # stitched networks that the predicted accuracy is calibrated on
    TRANSFER_NETWORKS = 16  # among which `mnas profile --from` chooses those to measure
    CONTROLLER_WEIGHTS = 0x5EED  # initial weights of the LSTM controller
    PROFILE_NETWORKS = 0x6D6E6173  # networks that a profile measures
    CHECK_NETWORKS = 0x636865636B  # networks that check a latency table; none of those it was made from


def generator(seed: int, stream: Stream, *place: int) -> np.random.Generator:
    """Return the random number generator of one stream.

    Args:
        seed: the user's.
        stream: what the numbers are for.
        place: position in the stream, such as a step or an epoch; see `Stream`.
    """
    import numpy as np

    return np.random.default_rng([seed, int(stream), *place])
