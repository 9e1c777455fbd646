"""The streams of random numbers that one seed gives: every consumer draws from its own, so that none disturbs another.

Two are older than this table, and kept since results and studies depend on them: `numpy.random.default_rng(seed)`
itself, which initial weights, data splits, random search and evolution draw from, and `[seed, epoch]`, the order of
images in an epoch of `mnas train`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


class Stream(IntEnum):
    """What the random numbers are for.

    A new stream takes a number that is not taken. Two pairs share one since before this table; they are kept because
    results depend on the numbers.
    """

    OPTUNA = 1  # what Optuna's sampler proposes when it repeats itself
    IMAGE_FOLDER_TEST = 1  # which images of a folder without a test split are held out
    PROXY_BATCHES = 2  # order and shifts of images in a proxy training
    PROXY_STATISTICS = 3  # the images that a proxy training's batch-norm statistics come from
    SUPERNET_PATHS = 3  # step: what is drawn at random in a supernet's paths
    SUPERNET_TURNS = 4  # decision, round: in which order a decision's choices have their turn
    SUPERNET_BATCHES = 5  # epoch: order of images in a supernet's training
    RELAXATION_NOISE = 6  # step: Gumbel noise of differentiable search
    LEARNT_POLICY = 7  # architectures drawn from a policy that was learnt beforehand
    TUNAS_PATHS = 9  # step: the architecture that TuNAS rewards
    PREDICTOR_RANDOM = 11  # the predictor's first samples
    PREDICTOR_PROMISING = 12  # samples so far: mutations among which the predictor looks for its next samples
    CONTROLLER_WEIGHTS = 0x5EED  # initial weights of the LSTM controller
    PROFILE_NETWORKS = 0x6D6E6173  # networks that a profile measures
    CHECK_NETWORKS = 0x636865636B  # networks that a latency table is checked on, others than it was made from


def generator(seed: int, stream: Stream, *place: int) -> np.random.Generator:
    """The random numbers of one stream.

    Args:
        seed: the user's.
        stream: what they are for.
        place: where in the stream, such as a step or an epoch; the table says which.
    """
    import numpy as np

    return np.random.default_rng([seed, int(stream), *place])
