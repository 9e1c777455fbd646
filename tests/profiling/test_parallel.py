"""Several devices at a time: every table as if its device had been alone, whatever happens to the others."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mnas.cli.main import app
from mnas.devices.benchmark_binary import BenchmarkBinary
from mnas.errors import InputError, MnasError
from mnas.latency.table import LatencyTable
from mnas.profiling import parallel
from mnas.profiling.job import ProfileJob
from mnas.profiling.parallel import run_profiles, table_names
from tests.cli.test_search import SPACE
from tests.devices.phone_double import BENCHMARK_MODEL
from tests.latency.tables import make_table
from tests.spaces import small_space

OPEN = "tests.profiling.fakes:open_fake"


@pytest.fixture(autouse=True)
def path(monkeypatch):
    """Workers find the tests."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


@pytest.fixture
def binary(tmp_path):
    """What stands for benchmark_model."""
    path = tmp_path / "benchmark_model"
    path.write_text(BENCHMARK_MODEL)
    return path


def jobs(folder, *devices, minutes=10):  # enough for every network's bursts: then tables are equal to the last bit
    names = [f"{number}.json" for number in range(len(devices))]
    return [
        ProfileJob(device, str(folder / name), small_space().to_dict(), {"minutes": minutes}, {}, OPEN)
        for device, name in zip(devices, names, strict=True)
    ]


def test_one_fails_one_is_killed_and_the_tables_are_as_if_nothing_had_happened(tmp_path):
    wanted = jobs(tmp_path / "all", "fake:a", "fake:bad", f"fake:{tmp_path}/flag")
    heard = []
    found = {
        outcome.job.device: outcome
        for outcome in run_profiles(wanted, progress=lambda share, what: heard.append((share, what)))
    }
    assert (tmp_path / "flag").exists(), "its process ended itself"
    undisturbed, killed = found["fake:a"], found[f"fake:{tmp_path}/flag"]
    assert undisturbed.table == killed.table is not None
    for outcome in (undisturbed, killed):
        assert LatencyTable.load(outcome.job.out) == outcome.table
    assert found["fake:bad"].error == "it is unplugged"
    assert sorted(path.name for path in (tmp_path / "all").glob("*.json")) == ["0.json", "2.json"]
    shares = [share for share, _ in heard]
    assert 0 <= min(shares) <= max(shares) <= 1
    assert any("fake:bad 0%" in what for _, what in heard)
    before = os.stat(wanted[0].out).st_mtime_ns
    again = {outcome.job.device: outcome for outcome in run_profiles(wanted)}
    assert again["fake:a"].kept
    assert again["fake:a"].table == undisturbed.table
    assert not again["fake:bad"].kept
    assert os.stat(wanted[0].out).st_mtime_ns == before


def test_a_table_of_other_resolutions_is_not_kept(tmp_path):
    (job,) = jobs(tmp_path, "fake:a")
    sizes = small_space(resolutions=(16, 8))
    make_table(sizes).save(job.out)
    (outcome,) = run_profiles([replace(job, space=sizes.to_dict())])
    assert outcome.kept
    with pytest.raises(InputError, match="is a table of small \\(16 and 8 px, float32\\)"):
        list(run_profiles([job]))


@pytest.mark.parametrize("how", [signal.default_int_handler, signal.SIG_IGN])
def test_interrupted_every_worker_tidies_up_and_ends(tmp_path, how):
    """Also where mnas ignores interrupts from the terminal, as in the background of a script."""
    before = signal.signal(signal.SIGINT, how)
    try:
        _interrupt_and_look(tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupt_and_look(tmp_path):
    def interrupt(share, what):
        if share > 0:
            raise KeyboardInterrupt

    wanted = jobs(
        tmp_path, "fake:hangs", "fake:hangs"
    )  # none ends before the interrupt comes, on a busy machine either
    with pytest.raises(KeyboardInterrupt):
        list(run_profiles(wanted, progress=interrupt))
    left = {path.name for path in tmp_path.iterdir()}
    assert left & {"0.json.log", "1.json.log"}, "what was measured is kept"
    assert not left & {".0.json.lock", ".1.json.lock"}, "no worker holds anything any more"


def test_a_table_of_another_space_is_not_kept_for_this_one(tmp_path):
    make_table(small_space()).save(tmp_path / "0.json")
    (same,) = run_profiles(jobs(tmp_path, "fake:a"))
    assert same.kept
    other = replace(jobs(tmp_path, "fake:a")[0], space=small_space().with_data(resolution=32).to_dict())
    with pytest.raises(InputError, match="is a table of small \\(16 px, float32\\): move it away"):
        list(run_profiles([other]))


@pytest.mark.parametrize(
    ("made_with", "message"),
    [
        ({"delegate": "none"}, "was made with delegate none, not xnnpack: move it away"),
        ({"threads": 2}, "was made with threads 2, not 1"),
        ({"runtime": "tflite-runtime"}, "was made with runtime tflite-runtime, not litert"),
        ({"affinity": "big: 4,5"}, "was made with cores big, not none"),
    ],
)
def test_a_table_made_in_another_way_is_not_kept_for_this_one(tmp_path, made_with, message):
    table = make_table(small_space())
    replace(table, configuration=replace(table.configuration, **made_with)).save(tmp_path / "0.json")
    opening = {"runtime": "litert", "threads": 1, "delegate": "xnnpack", "cores": "", "benchmark_binary": None}
    with pytest.raises(InputError, match=message):
        list(run_profiles([replace(jobs(tmp_path, "local")[0], opening=opening)]))


def test_a_table_of_another_benchmark_binary_is_not_kept_for_this_one(tmp_path, binary):
    table = make_table(small_space())
    of_a_phone = replace(table.configuration, device="adb", runtime="benchmark_model")
    opening = {"runtime": "litert", "threads": 1, "delegate": "xnnpack", "benchmark_binary": str(binary)}
    job = replace(jobs(tmp_path, "adb:A")[0], opening=opening)
    replace(table, configuration=of_a_phone).save(tmp_path / "0.json")
    with pytest.raises(InputError, match=r"was made with binary_sha256 none, not [0-9a-f]{64}"):
        list(run_profiles([job]))
    same = replace(of_a_phone, binary_sha256=BenchmarkBinary.read(binary).sha256)
    replace(table, configuration=same).save(tmp_path / "0.json")
    assert [outcome.kept for outcome in run_profiles([job])] == [True]


def test_a_table_that_lacks_blocks_of_the_space_is_not_kept(tmp_path):
    table = make_table(small_space())
    block = small_space().placed_blocks()[0].key
    replace(table, entries={key: e for key, e in table.entries.items() if key != block}).save(tmp_path / "0.json")
    with pytest.raises(InputError, match=r"lacks 1 of the .* blocks of this small, such as"):
        list(run_profiles(jobs(tmp_path, "fake:a")))


def test_this_machine_is_measured_while_nothing_else_runs(tmp_path, monkeypatch):
    together = []

    class Crew:
        def __init__(self, shown):
            pass

        def run(self, some):
            together.append([job.device for job in some])
            return iter(())

    monkeypatch.setattr(parallel, "LocalProfiles", Crew)
    list(run_profiles(jobs(tmp_path, "ssh:a", "local", "adb:B")))
    assert together == [["local"], ["ssh:a", "adb:B"]]


def test_names_of_tables_stay_in_their_folder():
    devices = ["local", "adb:10.0.0.7:5555", "ssh:pi:/opt/python", "adb:../../x; rm -rf ~"]
    assert table_names(devices) == ["local.json", "adb-10.0.0.7-5555.json", "ssh-pi.json", "adb-..-..-x-rm--rf.json"]


@pytest.mark.parametrize(
    ("devices", "message"),
    [
        (["local", "local"], "local is given twice"),
        (["ssh:pi", "ssh:pi:/opt/python"], "is given twice"),
        (["adb", "adb:X"], "name each of several"),
    ],
)
def test_one_device_is_not_measured_by_two(devices, message):
    with pytest.raises(InputError, match=message):
        table_names(devices)


def test_on_the_command_line(tmp_path, monkeypatch):
    def run(wanted, **how):
        return run_profiles([replace(job, open_with=OPEN) for job in wanted], **how)

    monkeypatch.setattr("mnas.profiling.parallel.run_profiles", run)
    (tmp_path / "tiny.toml").write_text(SPACE)
    line = ["profile", "--space", f"{tmp_path}/tiny.toml", "--minutes", "0.05", "--out", f"{tmp_path}/tables", "--json"]
    done = CliRunner().invoke(app, [*line, "--device", "fake:a", "--device", "fake:bad"])
    assert isinstance(done.exception, MnasError)
    assert "1 of 2 devices failed; the same command continues with them:\n  fake:bad: it is unplugged" in str(
        done.exception
    )
    document = json.loads(done.stdout)
    assert document["failed"] == {"fake:bad": "it is unplugged"}
    assert document["tables"]["fake:a"]["num_entries"] > 10
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == ["fake-a.json", "fake-a.json.log"]
    wrong = CliRunner().invoke(app, [*line[:6], f"{tmp_path}/t.json", "--device", "fake:a", "--device", "fake:b"])
    assert "several devices need a folder" in str(wrong.exception)


def test_the_benchmark_binary_is_for_phones(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("mnas.profiling.parallel.run_profiles", lambda wanted, **how: iter(asked.extend(wanted) or []))
    line = ["profile", "--space", "mnasnet-16", "--out", str(tmp_path), "--benchmark-binary", "b"]
    assert CliRunner().invoke(app, [*line, "--device", "adb:A", "--device", "ssh:pi"]).exception is None
    binaries = {job.device: job.opening["benchmark_binary"] for job in asked}
    assert binaries == {"adb:A": str(Path("b").absolute()), "ssh:pi": None}
