"""How far the work is, where nobody sits at a terminal: plain lines, now and then."""

import io
import sys

import numpy as np
import pytest

from mnas.cli import progress
from mnas.cli.progress import SearchProgress, TrainingProgress
from mnas.train.trainer import Progress
from mnas.trial import Measurement, Trial
from tests.spaces import small_space

EPOCH = {"loss": 0.5, "validation_accuracy": 0.75, "seconds": 3.0}


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when a test says so."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def _trials(count):
    space, rng = small_space(), np.random.default_rng(0)
    found = Measurement(0.5, (), 1, 1)
    return [Trial(n, space.sample(rng), found, 0.1 * n, seconds=6.0) for n in range(count)]


def test_a_share_is_said_at_once_every_ten_seconds_and_in_the_end(clock, capsys):
    with progress.progress("Profiling") as report:
        for share in np.linspace(0, 1, 26):
            report(share, f"at {clock[0]:g}")
            clock[0] += 1
    said = capsys.readouterr().err.splitlines()
    assert said == [f"Profiling: {s} at {n}" for s, n in (("  0%", 100), (" 40%", 110), (" 80%", 120), ("100%", 125))]


def test_a_search_is_said_every_ten_seconds_and_in_the_end(clock, capsys):
    with SearchProgress({"trials": 25, "finalists": 1}) as show:
        for trial in _trials(25):
            clock[0] += 1
            show("trials", trial)
        show("finalists", trial)
        show("repeats", trial)
    said = [line.partition(",")[0] for line in capsys.readouterr().err.splitlines()]
    assert said == ["search: 10 of 25", "search: 20 of 25", "search: 25 of 25", "finalists: 1 of 1"]


def test_the_time_left_counts_what_passes_between_trials_and_not_replayed_ones(clock, capsys):
    with SearchProgress({"baseline": 25, "trials": 25}) as show:
        for trial in _trials(25)[:20]:
            clock[0] += 12  # 6 of them to draw the next candidate
            show("baseline", trial)
        for trial in _trials(25)[:11]:
            clock[0] += 1
            show("trials", trial)
    said = dict(line.split(", ", 1) for line in capsys.readouterr().err.splitlines())
    assert said["random baseline: 20 of 25"].startswith("5.0 a minute, 60 s left")
    assert said["search: 10 of 25"].startswith("10.0 a minute, 2 min left")


def test_every_epoch_of_a_training_is_said_and_steps_of_long_ones(clock, capsys):
    with TrainingProgress() as show:
        for step in range(1, 21):
            clock[0] += 1
            show.show(Progress(step, 40, 1, epochs=2))
        show.show(Progress(20, 40, 1, EPOCH, epochs=2))
        show.show(Progress(21, 40, 2, epochs=2))
    assert capsys.readouterr().err.splitlines() == [
        "epoch 1 of 2: 25% of all steps",
        "epoch 1 of 2: 50% of all steps",
        "epoch   1 of 2: loss 0.500, validation accuracy 75.0%, 3 s",
    ]


def test_on_a_terminal_there_are_bars(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    with SearchProgress({"trials": 3, "finalists": 1}) as show:
        for trial in _trials(3):
            show("trials", trial)
    with TrainingProgress() as training:
        training.show(Progress(20, 40, 1, EPOCH, epochs=2))
    for text in ("search", "3/3", "0/1", "best #2: reward 0.2000", "epoch 1 of 2", "epoch   1 of 2: loss 0.500"):
        assert text in terminal.getvalue()
