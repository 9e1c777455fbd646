"""What Windows lacks is missed only where it is needed: no fcntl, no CPU affinity, no polling of pipes."""

import subprocess
import sys

import pytest

from mnas.system.child import python_path

_LIKE_WINDOWS = """
import os, selectors, sys
sys.modules["fcntl"] = None
for name in ("sched_setaffinity", "sched_getaffinity", "getuid", "fchmod", "posix_fallocate", "sysconf"):
    delattr(os, name)
del selectors.PollSelector
from mnas.cli.main import run
run()
"""


def _mnas(*line, folder):
    command = [sys.executable, "-c", _LIKE_WINDOWS, *map(str, line)]
    environment = {
        "PYTHONPATH": python_path(),
        "HOME": str(folder),
        "PATH": "/usr/bin:/bin",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("line", [["zoo"], ["sample", "--space", "mnasnet-32"], ["cost", "mnasnet-a1"]])
def test_what_computes_works(tmp_path, line):
    done = _mnas(*line, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.tensorflow
def test_a_search_and_an_export_work(tmp_path):
    data = ["--space", "mnasnet-32", "--data", "digits", "--max-train-images", 200]
    short = ["--proxy-steps", 2, "--trials", 2, "--finalists", 1, "--final-steps", 2, "--no-baseline"]
    done = _mnas("search", *data, "--evaluator", "proxy", *short, "--study", "study", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "has no locks" in done.stderr
    done = _mnas("export", "study", "--untrained", "--out", "net.tflite", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "net.tflite").stat().st_size


def test_what_cannot_work_is_refused_in_one_line(monkeypatch):
    import selectors

    from mnas.errors import MnasError
    from mnas.system.child import Child

    monkeypatch.delattr(selectors, "PollSelector")
    with pytest.raises(MnasError, match=r"cannot run mnas's worker processes.*Linux or macOS"):
        Child("mnas.search.executors.worker")
