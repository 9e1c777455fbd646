"""What `mnas profile` does, by calls of the library."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import mnas
from mnas.cli.main import app
from tests.cli.test_search import SPACE
from tests.profiling.fakes import FakeDevice

OPEN = "tests.profiling.fakes:open_fake"
OPTIONS = mnas.ProfileOptions(minutes=0.05)


@pytest.fixture
def space(tmp_path):
    (tmp_path / "tiny.toml").write_text(SPACE)
    return mnas.load_space(str(tmp_path / "tiny.toml"))


@pytest.fixture
def workers_find_the_tests(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))


def test_one_device(tmp_path, space):
    told = []
    table = mnas.profile(
        space, FakeDevice(), tmp_path / "t.json", OPTIONS, progress=lambda share, what: told.append(share)
    )
    assert mnas.LatencyTable.load(tmp_path / "t.json") == table
    assert table.report_card is not None
    assert told[-1] == 1.0
    assert mnas.LatencyEstimator(table).predict(space.sample(np.random.default_rng(0))).latency_ms > 0


@pytest.mark.usefixtures("workers_find_the_tests")
def test_several_devices(tmp_path, space):
    shares = []
    outcomes = mnas.profile_devices(
        space,
        ["fake:a", "fake:b", "fake:bad"],
        tmp_path / "tables",
        OPTIONS,
        opening={"threads": 1},
        open_with=OPEN,
        progress=lambda share, what: shares.append(share),
    )
    found = {outcome.job.device: outcome for outcome in outcomes}
    assert found["fake:bad"].error == "it is unplugged"
    for name in ("a", "b"):
        assert mnas.LatencyTable.load(tmp_path / "tables" / f"fake-{name}.json") == found[f"fake:{name}"].table
    assert 0 <= min(shares) <= max(shares) <= 1
    again = mnas.profile_devices(space, ["fake:a", "fake:b"], tmp_path / "tables", OPTIONS, open_with=OPEN)
    assert [outcome.kept for outcome in again] == [True, True]


@pytest.mark.usefixtures("workers_find_the_tests")
def test_a_single_device_by_a_worker_gets_the_named_file(tmp_path, space):
    (outcome,) = mnas.profile_devices(space, ["fake:a"], str(tmp_path / "a.json"), OPTIONS, open_with=OPEN)
    assert mnas.LatencyTable.load(tmp_path / "a.json") == outcome.table


def test_arguments_are_checked_before_anything_is_measured(tmp_path, space):
    with pytest.raises(mnas.InputError, match="several devices need a folder"):
        mnas.profile_devices(space, ["fake:a", "fake:b"], tmp_path / "t.json", open_with=OPEN)
    with pytest.raises(mnas.InputError, match="fake:a is given twice"):
        mnas.profile_devices(space, ["fake:a", "fake:a"], tmp_path, open_with=OPEN)
    with pytest.raises(mnas.InputError, match="--executor is 'cloud'"):
        mnas.profile_devices(space, ["fake:a"], tmp_path / "t.json", executor="cloud", open_with=OPEN)


def test_the_command_is_this_call(tmp_path, space, monkeypatch):
    calls = []

    def profile_devices(*arguments, progress, **named):
        calls.append((*arguments, named))
        return []

    monkeypatch.setattr("mnas.profiling.parallel.profile_devices", profile_devices)
    line = ["profile", "--space", f"{tmp_path}/tiny.toml", "--out", f"{tmp_path}/tables", "--minutes", "0.05"]
    done = CliRunner().invoke(app, [*line, "--device", "adb:A", "--device", "ssh:pi", "--threads", "2", "--json"])
    assert done.exception is None
    assert json.loads(done.stdout) == {"tables": {}, "failed": {}}
    opening = {"runtime": "litert", "threads": 2, "delegate": "xnnpack", "benchmark_binary": None}
    opening |= {"cores": "", "wait_minutes": 0.0}
    named = {"opening": opening, "executor": "local", "address": None}
    assert calls == [(space, ["adb:A", "ssh:pi"], tmp_path / "tables", OPTIONS, named)]
