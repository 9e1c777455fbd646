"""The grid, interrupted and gone on with."""

import json

import pytest

from mnas.arch import zoo
from mnas.errors import InputError, MnasError
from mnas.scaling import Coefficients
from mnas.scaling.coefficients import different, grid
from mnas.scaling.grid_search import run_grid

B0 = zoo("efficientnet-b0")
NETWORKS = different(B0, grid(step=0.2))
HOW = {"kind": "by hand"}


def by_size(network):
    return network.resolution / 1000


@pytest.fixture
def whole(tmp_path):
    candidates, document = run_grid(B0, NETWORKS, by_size, HOW, tmp_path / "whole" / "c.json")
    assert len(candidates) == len(NETWORKS) > 2
    return document


def test_killed_on_the_way_nothing_is_evaluated_twice(whole, tmp_path):
    out, asked = tmp_path / "c.json", []

    def once(network):
        asked.append(network)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return by_size(network)

    with pytest.raises(KeyboardInterrupt):
        run_grid(B0, NETWORKS, once, HOW, out)
    assert not out.exists()
    seen = []
    _, document = run_grid(B0, NETWORKS, once, HOW, out, progress=seen.append)
    assert document == whole == json.loads(out.read_text())
    assert len(asked) == len(NETWORKS) + 1  # the third one twice
    assert seen == list(range(1, len(NETWORKS) + 1))
    assert {path.name for path in tmp_path.iterdir()} == {"c.json", "whole"}


def test_another_grid_is_not_mixed_in(tmp_path):
    def stop(network):
        if network == list(NETWORKS)[1]:
            raise KeyboardInterrupt
        return 0.5

    with pytest.raises(KeyboardInterrupt):
        run_grid(B0, NETWORKS, stop, HOW, tmp_path / "c.json")
    with pytest.raises(InputError, match=r"c\.json\.partial is of another grid"):
        run_grid(B0, NETWORKS, by_size, {"kind": "other"}, tmp_path / "c.json")
    kept = tmp_path / "c.json.partial"
    kept.write_text(kept.read_text().replace("0.5", "7.5"))
    with pytest.raises(InputError, match=r"the accuracy of .* is 7.5"):
        run_grid(B0, NETWORKS, by_size, HOW, tmp_path / "c.json")


def test_candidates_that_fail_are_left_out_and_named(tmp_path):
    first = next(iter(NETWORKS))

    def diverges(network):
        if network == first:
            raise MnasError("diverged")
        return by_size(network)

    candidates, document = run_grid(B0, NETWORKS, diverges, HOW, tmp_path / "c.json")
    assert len(candidates) == len(NETWORKS) - 1
    point = NETWORKS[first]
    assert document["found"]["failed"] == {f"{point.alpha:g},{point.beta:g},{point.gamma:g}": "diverged"}
    only = {first: Coefficients()}
    with pytest.raises(
        MnasError, match="no network of the grid could be evaluated; the first failed because: diverged"
    ):
        run_grid(B0, only, diverges, HOW, tmp_path / "d.json")
    assert [path.name for path in tmp_path.iterdir()] == ["c.json"]
