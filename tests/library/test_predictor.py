"""Predicted accuracy of a library's networks: a sum over blocks."""

from pathlib import Path

import numpy as np
import pytest

from mnas.errors import InputError
from mnas.library.library import BlockLibrary
from mnas.library.predictor import fit_predictor, sample_networks
from mnas.space.around import space_around
from tests.libraries import TEACHER, tiny_space


def library(resolutions=(), seed=0, space=None):
    """A library with random losses; a block's own is 0."""
    space = space or tiny_space(resolutions=resolutions)
    rng = np.random.default_rng(seed)
    losses = [np.concatenate([[0.0], rng.uniform(0.1, 1.0, len(d.choices) - 1)]) for d in space.decisions]
    return BlockLibrary(Path("lib"), {"space": space.to_dict()}, losses[: len(space.stages)])


def accuracies(found, networks, slopes, intercepts=(0.9,), noise=0.0):
    several = bool(found.space.resolutions)
    rng = np.random.default_rng(1)
    return [
        intercepts[own[-1] if several else 0]
        - sum(slope * row[i] for slope, row, i in zip(slopes, found.losses, own, strict=False))
        + rng.normal(0, noise)
        for own in networks
    ]


def test_planted_slopes_are_found():
    found, slopes = library(), (0.05, 0.4, 0.15)
    networks = sample_networks(found, 40, seed=0)
    predictor = fit_predictor(found, networks, accuracies(found, networks, slopes))
    assert predictor.slopes == pytest.approx(slopes, abs=0.01)
    assert predictor.intercepts == pytest.approx([0.9], abs=0.01)
    assert predictor.tau > 0.95
    assert 0 <= predictor.margin < 0.01
    assert predictor.num_networks == 40


def test_every_resolution_has_an_intercept():
    found, slopes = library((8, 6)), (0.1, 0.2, 0.3)
    networks = sample_networks(found, 60, seed=0)
    predictor = fit_predictor(found, networks, accuracies(found, networks, slopes, (0.9, 0.6)))
    assert predictor.intercepts == pytest.approx((0.9, 0.6), abs=0.01)
    assert predictor.slopes == pytest.approx(slopes, abs=0.02)


@pytest.mark.parametrize("resolutions", [(), (8, 6)])
def test_the_values_sum_to_the_prediction(resolutions):
    found = library(resolutions)
    networks = sample_networks(found, 40, seed=0)
    predictor = fit_predictor(found, networks, accuracies(found, networks, (0.1, 0.2, 0.3), (0.9, 0.6)))
    values = predictor.values(found)
    assert [own.shape for own in values] == [(len(decision.choices),) for decision in found.space.decisions]
    for own in networks[:5]:
        intercept = predictor.intercepts[own[-1] if resolutions else 0]
        lost = sum(s * row[i] for s, row, i in zip(predictor.slopes, found.losses, own, strict=False))
        assert sum(row[i] for row, i in zip(values, own, strict=True)) == pytest.approx(intercept - lost)


@pytest.mark.parametrize("seed", range(4))
def test_slopes_are_never_negative(seed):
    """Also where accuracies are noise, or rise with the losses."""
    found = library(seed=seed)
    networks = sample_networks(found, 12, seed=seed)
    noise = np.random.default_rng(seed).random(12)
    rising = accuracies(found, networks, (-0.2, 0.1, -0.3))
    for given in (noise, rising):
        predictor = fit_predictor(found, networks, given)
        assert min(predictor.slopes) >= 0
        assert np.isfinite([*predictor.intercepts, *predictor.slopes, predictor.margin]).all()


def test_accuracies_that_are_all_equal_have_no_order():
    found = library()
    networks = sample_networks(found, 10, seed=0)
    predictor = fit_predictor(found, networks, [0.25] * 10)
    assert predictor.tau == 0
    assert predictor.intercepts == pytest.approx([0.25])


def test_the_interval_is_as_wide_as_the_noise():
    found = library()
    networks = sample_networks(found, 80, seed=0)
    predictor = fit_predictor(found, networks, accuracies(found, networks, (0.1, 0.2, 0.3), noise=0.02))
    assert 0.02 < predictor.margin < 0.06  # 1.64 deviations


def test_samples_reach_from_the_teacher_to_random_networks():
    found = library((8, 6))
    networks = sample_networks(found, 60, seed=0)
    assert len(set(networks)) == 60
    assert networks == sample_networks(found, 60, seed=0) != sample_networks(found, 60, seed=1)
    sums = [sum(row[i] for row, i in zip(found.losses, own, strict=False)) for own in networks]
    assert np.mean(sums[:15]) < np.mean(sums[-15:])
    assert {own[-1] for own in networks} == {0, 1}


def test_a_library_with_few_networks_gives_all_of_them():
    found = library(space=space_around(TEACHER, kernel_sizes=(3,), expansion_shares=(1,)))
    networks = sample_networks(found, 40, seed=0)
    assert len(networks) == len(set(networks)) == found.space.size < 40


def test_a_single_network_is_refused():
    found = library()
    with pytest.raises(InputError, match="lib has a single network"):
        fit_predictor(found, [(0, 0, 0)], [0.5])
