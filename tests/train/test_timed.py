"""Evaluations in a process of their own: hangs, crashes and errors are failed trials, and the next one works."""

import os
import sys
import time
from functools import partial

import pytest

from mnas.arch.zoo import zoo
from mnas.errors import MnasError
from mnas.train.base import Evaluator
from mnas.train.timed import TimedEvaluator

GOOD, SLOW, DEAD, WRONG = (zoo(name) for name in ("mnasnet-a1", "mnasnet-b1", "mnasnet-small", "mobilenet-v2"))


class Moody(Evaluator):
    num_rungs = 3

    def __init__(self, folder=None):
        self.folder = folder

    def accuracy(self, architecture):
        return list(self.rungs(architecture))[-1]

    def rungs(self, architecture):
        if architecture == SLOW:
            time.sleep(600)
        if architecture == DEAD:
            os._exit(7)
        if architecture == WRONG:
            raise RuntimeError("out of order")
        for rung in range(3):
            yield 0.25 * (rung + 1)
            if self.folder:
                (self.folder / f"went-past-{rung}").touch()

    def describe(self):
        return {"name": "moody"}


def cannot():
    raise MnasError("no licence")


@pytest.fixture
def timed():
    evaluator = TimedEvaluator(Moody(), Moody, 1.0)
    yield evaluator
    evaluator.close()


def test_it_is_the_inner_evaluator(timed):
    assert list(timed.rungs(GOOD)) == [0.25, 0.5, 0.75]
    assert timed.accuracy(GOOD) == 0.75
    assert (timed.num_rungs, timed.describe()) == (3, {"name": "moody"})


def test_a_candidate_that_is_stopped_is_not_trained_further(tmp_path):
    timed = TimedEvaluator(Moody(), partial(Moody, tmp_path), 1.0)
    accuracies = timed.rungs(GOOD)
    assert next(accuracies) == 0.25
    accuracies.close()
    assert timed.accuracy(GOOD) == 0.75
    timed.close()
    assert {path.name for path in tmp_path.iterdir()} == {"went-past-0", "went-past-1", "went-past-2"}


def test_a_hang_a_crash_and_an_error_and_it_goes_on():
    timed = TimedEvaluator(Moody(), Moody, 0.02)
    with pytest.raises(MnasError, match=r"took longer than 0.02 minutes"):
        timed.accuracy(SLOW)
    assert timed.accuracy(GOOD) == 0.75
    with pytest.raises(MnasError, match="ended by itself with code 7"):
        timed.accuracy(DEAD)
    with pytest.raises(MnasError, match="RuntimeError: out of order"):
        timed.accuracy(WRONG)
    assert timed.accuracy(GOOD) == 0.75
    timed.close()


def test_an_evaluator_that_cannot_be_made_there():
    with pytest.raises(MnasError, match="no licence"):
        TimedEvaluator(Moody(), cannot, 1.0).accuracy(GOOD)


class Curious(Moody):
    """Says whether it was started with the variable that what it starts would inherit."""

    def rungs(self, architecture):
        yield float("PYTHONSAFEPATH" in os.environ)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="PYTHONSAFEPATH is of Python 3.11")
def test_nothing_of_the_current_folder_is_run(tmp_path, monkeypatch):
    for name in ("pickle", "struct", "runpy"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    timed = TimedEvaluator(Curious(), Curious, 1.0)
    assert timed.accuracy(GOOD) == 0
    timed.close()
    assert "PYTHONSAFEPATH" not in os.environ
    assert not (tmp_path / "ran").exists()
