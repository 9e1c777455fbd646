"""What a running search says of itself: to who has started it, and to who watches."""

import numpy as np
import pytest

from mnas.cli.progress import SearchProgress
from mnas.cli.watch import status_lines
from mnas.errors import InputError
from mnas.search.session import concurrency
from mnas.study.study import Study
from mnas.trial import Measurement, Trial
from tests.spaces import small_space

ARGUMENTS = {"trials": 40, "confirmed": 16, "finalists": 3, "verdict_seeds": 4, "batch": 10, "evaluator": "proxy"}


def _trials(count, seconds=60.0):
    space, rng = small_space(), np.random.default_rng(0)
    found = Measurement(0.5, (), 1, 1)
    return [Trial(n, space.sample(rng), found, 0.5, seconds=seconds) for n in range(count)]


def _study(folder, log=None, count=0, **arguments):
    study = Study.create(folder / "study", {}, {**ARGUMENTS, **arguments})
    if log is not None:
        for trial in _trials(count):
            study.log(log).append(trial)
    return study


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("trials", "search: 2 of 40, 38 min left"),
        ("confirmed", "stitched networks: 2 of 16, 14 min left"),
        ("finalists", "finalists: 2 of 3, 60 s left"),
        ("baseline", "random baseline: 2 of 40, 38 min left"),
        ("baseline_finalists", "its finalists: 2 of 3, 60 s left"),
        ("repeats", "both winners again: 2 of 8, 6 min left"),
    ],
)
def test_every_log_has_its_own_total(tmp_path, log, said):
    (line,) = status_lines(_study(tmp_path, log, 2), running=True)
    assert said in line


@pytest.mark.parametrize(("workers", "left"), [(2, "19 min"), (4, "10 min"), (100, "4 min")])
def test_workers_share_the_time_that_is_left(tmp_path, capsys, workers, left):
    (line,) = status_lines(_study(tmp_path, "trials", 2, workers=workers), running=True)
    assert f"2 of 40, {left} left" in line
    at_once = concurrency(workers=workers, batch=10, finalists=3)
    assert at_once["repeats"] == 2
    assert at_once["finalists"] == min(3, workers)
    with SearchProgress({"trials": 3}, at_once) as progress:
        for trial in _trials(3, seconds=6.0):
            progress("trials", trial)
    assert f"search: 3 of 3, {10.0 * at_once['trials']:.1f} a minute" in capsys.readouterr().err


def test_what_is_prepared_is_said(tmp_path):
    assert status_lines(_study(tmp_path / "a", evaluator="predictor"), running=True) == [
        "  preparing: a predictor is fitted before the first trial"
    ]
    assert status_lines(_study(tmp_path / "c"), running=True) == ["  no trial is finished yet"]
    assert status_lines(_study(tmp_path / "d", evaluator="predictor"), running=False) == []
    (line,) = status_lines(_study(tmp_path / "e", "trials", 2, evaluator="predictor"), running=True)
    assert "search: 2 of 40" in line


@pytest.mark.parametrize("damaged", ["many", 1.5, [1], -1])
def test_a_damaged_number_is_one_message(tmp_path, damaged):
    with pytest.raises(InputError, match=r"study.json: arguments: trials .*: was it edited\?"):
        status_lines(_study(tmp_path, "trials", 2, trials=damaged), running=True)
