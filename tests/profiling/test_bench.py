"""Measuring files: in a process of its own, and on a device that is never quiet."""

import json

import numpy as np
import pytest

from mnas.arch.codec import architecture_to_dict
from mnas.devices.local import Runtime
from mnas.errors import MnasError
from mnas.profiling.bench import LIGHT, bench_file, bench_isolated, measure_files
from mnas.space import load_space
from mnas.tflite.random_model import write_random_model
from tests.latency.tables import make_table
from tests.profiling.fakes import FakeDevice, true_latency_ms

SPACE = load_space("mnasnet-16")
NETWORK = SPACE.sample(np.random.default_rng(0))
DATA = write_random_model(NETWORK)


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


def test_a_latency_without_a_quiet_burst_is_said_and_not_kept(tmp_path, caplog):
    """As beside a table of a machine whose reference network is faster: the latency is below every run."""
    file, table, kept = tmp_path / "net.tflite", tmp_path / "table.json", tmp_path / "measured.json"
    file.write_bytes(DATA)
    file.with_suffix(".json").write_text(
        json.dumps({"architecture": architecture_to_dict(NETWORK), "dtype": "float32"})
    )
    faster_ms = true_latency_ms(write_random_model(LIGHT)) / 1.3
    make_table(SPACE, reference_ms=faster_ms).save(table)
    found = bench_file(file, FakeDevice(), table=table, seconds=0.05)
    assert found.time.quiet_ms < found.time.min_ms
    assert f"{file} never ran undisturbed: the latency is the measured one over 1.3" in caplog.text
    assert f"{found.time.quiet_ms:.3f} ms, where the fastest run took {found.time.min_ms:.3f} ms" in caplog.text
    with pytest.raises(MnasError, match=r"is not added to .*, or leave out --table"):
        bench_file(file, FakeDevice(), table=table, append=kept, seconds=0.05)
    assert not kept.exists()
    caplog.clear()
    measure_files(FakeDevice(), [DATA, DATA], seconds=0.05, quiet_bursts=[3, 3], reference_ms=faster_ms)
    assert "network 1 of 2 and 1 more never ran undisturbed" in caplog.text
    caplog.clear()
    assert bench_file(file, FakeDevice(), append=kept, seconds=0.05).num_kept == 1
    assert not caplog.text
