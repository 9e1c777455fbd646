"""Measuring in a process of its own."""

import numpy as np
import pytest

from mnas.devices.local import Runtime
from mnas.errors import MnasError
from mnas.profiling.bench import bench_isolated
from mnas.space import load_space
from mnas.tflite.random_model import write_random_model

DATA = write_random_model(load_space("mnasnet-16").sample(np.random.default_rng(0)))


def test_a_file_is_measured_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = bench_isolated(DATA, Runtime(), seconds=0.05)
    assert 0 < found.quiet_ms < 1000
    assert 0 < found.median_ms < 1000


def test_nothing_of_the_current_folder_is_run(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    bench_isolated(DATA, Runtime(), seconds=0.05)
    assert not (tmp_path / "ran").exists()


def test_a_broken_file_is_said():
    with pytest.raises(MnasError, match=r"the file could not be measured: .*(\n.*)*litert cannot load this file"):
        bench_isolated(DATA[:200], Runtime(), seconds=0.05)
