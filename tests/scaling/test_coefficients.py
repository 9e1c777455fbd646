"""The grid over alpha, beta, gamma: near 2, every network once, the best kept with how it was found."""

import json

import pytest

from mnas.arch import zoo
from mnas.arch.codec import architecture_from_dict
from mnas.errors import InputError
from mnas.scaling import Coefficients, scale_by_formula
from mnas.scaling.coefficients import Candidate, best_of, different, grid, read_coefficients, save_coefficients

B0 = zoo("efficientnet-b0")


def test_the_grid_keeps_near_two_and_holds_the_published_neighbourhood():
    points = grid()
    assert len(points) == len(set(points)) == 20
    assert all(abs(point.growth - 2) <= 0.1 for point in points)
    assert Coefficients(1.2, 1.1, 1.2) in points
    assert Coefficients(1.2, 1.1, 1.15) in grid(step=0.05)


@pytest.mark.parametrize("step", [0, -1, 0.9, float("nan")])
def test_wrong_steps(step):
    with pytest.raises(InputError, match="--grid-step"):
        grid(step=step)


def test_a_grid_that_misses_says_so():
    with pytest.raises(InputError, match="smaller --grid-step"):
        grid(step=0.45, tolerance=0.01)


def test_networks_that_rounding_makes_equal_are_evaluated_once(tmp_path):
    points = [Coefficients(1.2, 1.1, 1.15), Coefficients(1.2, 1.1, 1.151), Coefficients(1.0, 1.0, 1.4)]
    networks = different(B0, points)
    assert list(networks.values()) == [points[0], points[2]]
    assert list(networks) == [scale_by_formula(B0, 1, point) for point in (points[0], points[2])]
    found = [Candidate(point, network, network.resolution / 1000, 1) for network, point in networks.items()]
    assert best_of(found).coefficients == points[2]
    document = save_coefficients(tmp_path / "c.json", B0, found, {"kind": "by hand"})
    assert json.loads((tmp_path / "c.json").read_text()) == document
    assert [one["accuracy"] for one in document["found"]["candidates"]] == [0.256, 0.312]
    assert architecture_from_dict(document["found"]["base"]) == B0
    assert architecture_from_dict(document["architecture"]) == scale_by_formula(B0, 1, points[2])
    assert read_coefficients(str(tmp_path / "c.json")) == points[2]


def test_coefficients_from_text_and_nonsense(tmp_path):
    assert read_coefficients("1.2,1.1,1.15") == Coefficients()
    for wrong in ("1,2", "a,b,c", str(tmp_path / "missing.json")):
        with pytest.raises(InputError, match="three numbers"):
            read_coefficients(wrong)
    (tmp_path / "other.json").write_text('{"format": "other"}')
    with pytest.raises(InputError, match="not a file of coefficients"):
        read_coefficients(str(tmp_path / "other.json"))
    (tmp_path / "half.json").write_text('{"format": "mnas.coefficients", "version": 1, "alpha": 1.2}')
    with pytest.raises(InputError, match="beta"):
        read_coefficients(str(tmp_path / "half.json"))
