"""Streams of random numbers: each its own, and the numbers that results depend on."""

import numpy as np
import pytest

from mnas.random_streams import Stream, generator

SHARED = {"IMAGE_FOLDER_TEST": Stream.OPTUNA}


def test_no_two_streams_are_the_same_but_those_that_always_were():
    assert {name: stream for name, stream in Stream.__members__.items() if name != stream.name} == SHARED
    draws = [
        generator(seed, stream, *place).integers(2**63)
        for seed in (0, 1)
        for stream in Stream
        for place in ((), (1,), (1, 2))
    ]
    assert len(set(draws)) == len(draws)
    plain = [np.random.default_rng(seed).integers(2**63) for seed in (0, 1)]
    assert not set(plain) & set(draws)


@pytest.mark.parametrize(
    ("stream", "place", "first"),
    [
        (Stream.OPTUNA, (), 4201460243),
        (Stream.IMAGE_FOLDER_TEST, (), 4201460243),
        (Stream.PROXY_BATCHES, (), 3626496565),
        (Stream.PROXY_STATISTICS, (), 1354142663),
        (Stream.PREDICTOR_RANDOM, (), 2018361428),
        (Stream.PREDICTOR_PROMISING, (30,), 1907667129),
        (Stream.CONTROLLER_WEIGHTS, (), 923001725),
        (Stream.PROFILE_NETWORKS, (), 4052696310),
        (Stream.CHECK_NETWORKS, (), 2428066857),
    ],
)
def test_the_first_draw_is_what_it_has_always_been(stream, place, first):
    assert int(generator(3, stream, *place).integers(2**32)) == first
