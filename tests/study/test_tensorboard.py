import subprocess
import sys

import pytest

from mnas.arch.zoo import zoo
from mnas.study.tensorboard import ScalarLog
from mnas.trial import Measurement, Trial

pytest.importorskip("tensorboard", reason="tensorboard is not installed")


def _trial(number, reward):
    found = Measurement(0.9, (3.0, 4.0), 1000, 2000)
    return Trial(number, zoo("mnasnet-a1"), found, reward, (("accuracy", 0.9), ("latency_penalty", reward - 0.9)))


def _read(folder):
    """Tag to [(step, value)], by tensorboard's own reader, which runs where TensorFlow would not be loaded."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    found = {}
    for path in sorted(folder.glob("events*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                content = value.tensor.float_val[0] if value.HasField("tensor") else value.simple_value
                found.setdefault(value.tag, []).append((event.step, content))
    return found


def test_tensorboard_reads_what_was_written(tmp_path):
    with ScalarLog(tmp_path) as log:
        for number in range(3):
            log.on_trial("trials", _trial(number, 0.5 + 0.1 * number))
        log.on_update("trials", 3, {"entropy": 2.5})
        log.on_trial("baseline", Trial(0, zoo("mnasnet-a1"), error="out of memory"))
    scalars = _read(tmp_path / "trials")
    assert scalars["reward"] == [(0, pytest.approx(0.5)), (1, pytest.approx(0.6)), (2, pytest.approx(0.7))]
    assert scalars["latency_ms/table_2"][0] == (0, 4.0)
    assert scalars["terms/latency_penalty"][2] == (2, pytest.approx(-0.2))
    assert scalars["strategy/entropy"] == [(3, 2.5)]
    assert _read(tmp_path / "baseline") == {"failed": [(0, 1.0)]}


def test_writing_loads_no_tensorflow(tmp_path):
    code = (
        "import sys; from pathlib import Path; from mnas.study.tensorboard import ScalarLog\n"
        f"log = ScalarLog(Path({str(tmp_path)!r})); log.on_update('trials', 1, {{'entropy': 1.0}})\n"
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert list((tmp_path / "trials").iterdir())
