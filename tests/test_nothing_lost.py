"""Kills, full disks, folders that cannot be written, two processes, clocks that jump. More kills: tools/soak."""

import errno
import json
import os
import resource
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import pytest

from mnas.errors import MnasError
from mnas.profiling.log import read_log
from mnas.profiling.profile import ProfileOptions, profile
from mnas.reward import make_reward
from mnas.search.build import Prepared
from mnas.search.objective import Objective
from mnas.search.options import SearchOptions
from mnas.search.run import Search, run_search
from mnas.search.session import run_study
from mnas.strategies.registry import make_strategy
from mnas.study.study import Study, locked
from mnas.study.trial_log import TrialLog
from mnas.system.files import write_atomically
from mnas.system.lock import hold
from mnas.trial import Measurement, Trial
from tests.conftest import FakeEvaluator
from tests.profiling.fakes import FakeDevice
from tests.profiling.test_parallel import jobs
from tests.spaces import small_space

ROOT = Path(__file__).parent.parent


def test_killed_at_any_moment_it_ends_as_if_nothing_had_happened():
    command = [sys.executable, "-m", "tools.soak", "--kills", "5", "--kinds", "evolution,profile", "--seed", "5"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("lost   0") == 2


_PROFILE_KILLED = """
import os
import signal
import tempfile
from dataclasses import replace
from pathlib import Path

from mnas.profiling.log import ProfileLog
from tools.soak.runner import run_in_fork
from tools.soak.searches import profile_kind

append = ProfileLog.append


def work(folder):
    def appended(log, *measurement, **how):
        append(log, *measurement, **how)
        if len(log.times) == most:
            os.kill(os.getpid(), signal.SIGKILL)

    ProfileLog.append = appended
    kind.work(folder)


kind, lost, found, ends = profile_kind(), [], [], []
for moments in ([], [3, 10, 17]):
    folder = Path(tempfile.mkdtemp(dir="."))
    for most in [*moments, -1]:
        run_in_fork(replace(kind, work=work), folder, lost)
        found.append(len(kind.finished(folder)))
    ends.append(kind.end(folder))
print(lost, found, ends[0] == ends[1])
"""


def test_a_killed_profile_goes_on_from_what_it_has_measured(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", _PROFILE_KILLED],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[] [24, 3, 10, 17, 24] True\n"  # nothing twice, every life from there, the same table


@pytest.fixture(scope="module")
def accuracies(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "accuracies.json"
    names = ["".join(digits) for digits in product("012", repeat=8)]
    path.write_text(json.dumps({name: {"mean_acc": 50 + int(name, 3) % 997 / 20} for name in names}))
    return path


def _search(accuracies, study, *more, most_bytes=None):
    command = [sys.executable, "-m", "mnas", "search", "--space", "nas-bench-macro", "--evaluator"]
    command += [f"tabular:{accuracies}", "--strategy", "evolution", "--trials", "60", "--study", str(study), *more]

    def limit():
        if most_bytes:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))

    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, preexec_fn=limit)


def _log(study):
    return [{**json.loads(line), "seconds": 0} for line in (study / "trials.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(accuracies, tmp_path_factory):
    """The same search, undisturbed."""
    folder = tmp_path_factory.mktemp("studies") / "whole"
    done = _search(accuracies, folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_full_disk_costs_nothing_that_was_finished(accuracies, whole, tmp_path):
    stopped = _search(accuracies, tmp_path / "full", most_bytes=15_000)
    assert stopped.returncode == 1
    assert "cannot write" in stopped.stderr
    assert "earlier trials are kept" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert 0 < len(TrialLog(tmp_path / "full" / "trials.jsonl").read()) < 60
    resumed = _search(accuracies, tmp_path / "full", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert _log(tmp_path / "full") == _log(whole)
    assert (tmp_path / "full" / "best.json").read_bytes() == (whole / "best.json").read_bytes()
    again = [sys.executable, "-m", "mnas", "reproduce", str(tmp_path / "full"), "--json"]
    found = json.loads(subprocess.run(again, cwd=ROOT, capture_output=True, text=True, timeout=120).stdout)
    assert found["same"]
    assert found["compared"]["trials"] == 60


def test_two_workers_find_what_one_finds(accuracies, whole, tmp_path):
    done = _search(accuracies, tmp_path / "two", "--workers", "2")
    assert done.returncode == 0, done.stderr
    alone, together = (sorted(_log(study), key=lambda trial: trial["number"]) for study in (whole, tmp_path / "two"))
    assert together == alone
    assert (tmp_path / "two" / "best.json").read_bytes() == (whole / "best.json").read_bytes()


def test_a_folder_that_cannot_be_written_is_said_in_one_line(accuracies):
    done = _search(accuracies, "/proc/mnas-study")
    assert done.returncode == 1
    assert "cannot write /proc/mnas-study/study.json" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_disk_that_is_full_when_a_file_is_replaced_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "table.json"
    write_atomically(path, "old")

    def full(number):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MnasError, match=r"cannot write .*table.json: No space left on device"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["table.json"]
    log = TrialLog(tmp_path / "trials.jsonl")
    with pytest.raises(MnasError, match="No space left on device"):
        log.append(Trial(0, small_space().decode([0] * 12), Measurement(0.5, (), 1, 1), 0.5))


def test_what_a_killed_writer_left_behind_goes_away_and_a_living_ones_stays(tmp_path):
    (tmp_path / ".table.json.dead.mnas-tmp").write_text("half")
    (tmp_path / ".other.json.dead.mnas-tmp").write_text("half")
    with open(tmp_path / ".table.json.alive.mnas-tmp", "w") as file:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)
        write_atomically(tmp_path / "table.json", "{}")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [".other.json.dead.mnas-tmp", ".table.json.alive.mnas-tmp", "table.json"]


def test_a_study_that_was_killed_before_it_began_can_begin(tmp_path):
    (tmp_path / ".study.json.dead.mnas-tmp").write_text("half")
    Study.create(tmp_path, {"seed": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["study.json"]


def test_a_second_profile_of_the_same_table_is_told_who_makes_it(tmp_path):
    out = tmp_path / "table.json"
    with (
        hold(out.with_name(".table.json.lock"), "the profile"),
        pytest.raises(MnasError, match=f"is being worked on by process {os.getpid()} on"),
    ):
        profile(small_space(), FakeDevice(), out, ProfileOptions(minutes=0.05))


def _profile(job, most_bytes=None):
    """A profile in a process of its own; its last word."""

    def limit():
        if most_bytes:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))

    command = [sys.executable, "-m", "mnas.profiling.job"]
    line = json.dumps(job.to_dict()) + "\n"
    done = subprocess.run(command, cwd=ROOT, input=line, capture_output=True, text=True, timeout=120, preexec_fn=limit)
    return json.loads(done.stdout.splitlines()[-1])


def test_a_full_disk_ends_a_profile_and_the_same_table_comes_out_later(tmp_path):
    (job,) = jobs(tmp_path, "fake:a")
    said = _profile(job, most_bytes=4000)
    assert "cannot write" in said["failed"]
    log = tmp_path / "0.json.log"
    finished = log.read_bytes().count(b"\n") - 1
    assert 0 < finished < 24
    table = _profile(job)["table"]
    assert read_log(log).table
    (other,) = jobs(tmp_path / "undisturbed", "fake:a")
    assert _profile(other)["table"] == table


def test_a_clock_that_jumps_changes_nothing(tmp_path, monkeypatch):
    from tools.soak.searches import SlowEvaluator, search_kind

    kind = search_kind("evolution")
    monkeypatch.setattr(
        SlowEvaluator, "accuracy", lambda self, architecture: 0.9 * self.function(architecture) + self.bonus
    )
    for name in ("steady", "jumping"):
        (tmp_path / name).mkdir()
        if name == "jumping":
            clock = iter(range(10**9, 0, -(10**4)))
            monkeypatch.setattr(time, "time", lambda clock=clock: float(next(clock)))
        kind.work(tmp_path / name)
    assert kind.end(tmp_path / "steady") == kind.end(tmp_path / "jumping")


def test_two_studies_begun_at_one_moment_do_not_mix(tmp_path):

    first = Study.create(tmp_path, {"seed": 1})
    (tmp_path / "study.json").unlink()
    (tmp_path / "lock").unlink(missing_ok=True)
    Study.create(tmp_path, {"seed": 2})
    with pytest.raises(MnasError, match=r"begun another study in .* meanwhile: seed was 1 and is 2 now"):
        run_search(first, Search(make_strategy("random", small_space()), Objective(None, make_reward("absolute")), 10))


def test_a_second_process_is_told_before_anything_is_trained(tmp_path):
    space = small_space()
    evaluator = FakeEvaluator(space)
    evaluator.prepare = lambda on_progress: pytest.fail("the evaluator would be prepared by two")
    search = Search(make_strategy("random", space), Objective(evaluator, make_reward("absolute")), 10)
    study = Study.create(tmp_path / "study", {"seed": 1})
    options = SearchOptions(evaluator="tabular:accuracies.json")
    with locked(study.folder), pytest.raises(MnasError, match=f"is being worked on by process {os.getpid()} on"):
        run_study(options, study.folder, resume=True, prepared=Prepared(search, study.config, space))
