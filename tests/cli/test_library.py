"""`mnas library build` and `mnas library show`."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from mnas.errors import InputError, MnasError
from mnas.library.library import open_library
from mnas.space.around import space_around
from mnas.space.files import load_space, save_space
from tests.commands import run
from tests.latency.tables import make_table
from tests.libraries import OPTIONS, TEACHER, tiny_space

pytestmark = pytest.mark.tensorflow
ROOT = Path(__file__).parents[2]


@pytest.fixture
def line(tiny_teacher, tmp_path):
    """The command that builds the tiny library."""
    save_space(tiny_space(), tmp_path / "space.toml")
    sizes = ["--steps", OPTIONS.steps, "--batch-size", OPTIONS.batch_size]
    return ["library", "build", tiny_teacher.folder, "--space", tmp_path / "space.toml", *sizes]


def losses(folder):
    return [list(row) for row in open_library(folder).losses]


def test_a_teacher_that_is_not_trained_is_trained_first(line, tiny_teacher, tmp_path, monkeypatch):
    asked = {}

    def prepare_teacher(name, out, **options):
        asked.update(options, name=name, out=out)
        return tiny_teacher

    monkeypatch.setattr("mnas.search.teacher.prepare_teacher", prepare_teacher)
    line[2] = "efficientnet-lite0"
    run(*line, "--data", tiny_teacher.data.name, "--seed", 3, "--out", tmp_path / "library")
    del asked["on_progress"]
    assert asked == {
        "name": "efficientnet-lite0", "out": tmp_path / "library" / "teacher", "data": tiny_teacher.data.name,
        "resolution": TEACHER.resolution, "seed": 3, "augment": None,
    }  # fmt: skip
    assert load_space(str(tmp_path / "library" / "space.toml")) == open_library(tmp_path / "library").space


def files(folder):
    return {path.name: path.read_bytes() for path in (folder / "blocks").iterdir()}


def interrupted(line, out):
    """Build until the first alternative is there, then Ctrl-C; gives the process, what it said, and how it ended."""
    whole = [sys.executable, "-m", "mnas", *map(str, line), "--out", str(out), "--workers", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def prepare():
        os.nice(5)  # so that a busy machine gives this test its turn before the library is finished
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a test run in the background of a shell ignores it

    process = subprocess.Popen(
        whole, stderr=subprocess.PIPE, env=environment, start_new_session=True, cwd=out.parent, preexec_fn=prepare
    )
    while process.poll() is None and not list(out.glob("blocks/*.safetensors")):
        time.sleep(0.01)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)  # as the terminal does: the workers get it too
    said = process.communicate()[1].decode()
    return process, said


def test_ctrl_c_leaves_nothing_behind_and_the_same_command_goes_on(line, tiny_library, tmp_path):
    out = tmp_path / "library"
    for _ in range(3):  # on a busy machine it may be finished before the signal comes
        process, said = interrupted(line, out)
        if process.returncode != 0:
            break
        shutil.rmtree(out)
    assert process.returncode == 130, said
    assert "Interrupted: the same command resumes" in said
    assert "Traceback" not in said
    with pytest.raises(ProcessLookupError):  # no worker is left in the session
        os.killpg(process.pid, 0)
    assert sorted(path.name for path in out.iterdir()) == ["blocks", "library.json", "space.toml", "teacher"]
    kept = files(out)
    assert 0 < len(kept) < 16
    with pytest.raises(InputError, match=r"is not finished, \d+ alternatives are missing"):
        run("library", "show", out)
    document = json.loads(run(*line, "--out", out, "--workers", "1", "--json"))
    assert document["num_alternatives"] == 16
    assert files(out) == files(tiny_library.folder)
    assert kept.items() <= files(out).items()
    assert losses(out) == losses(tiny_library.folder)


def test_a_finished_library_is_shown_at_once(line, tiny_library):
    shown = run(*line, "--out", tiny_library.folder)
    assert f"Written to {tiny_library.folder}: 16 alternatives for 3 blocks, 240 networks." in shown
    assert f"Next: mnas library show {tiny_library.folder}, or mnas search --library" in shown


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'mnas[ray]'")
def test_a_cluster_trains_the_same(line, tiny_library, tmp_path, monkeypatch):
    """Only what is missing is trained there."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    out = tmp_path / "library"
    shutil.copytree(tiny_library.folder, out)
    for name in ("stage02-choice03.safetensors", "stage03-choice01.safetensors"):
        (out / "blocks" / name).unlink()
    run(*line, "--out", out, "--executor", "ray", "--workers", "1")
    assert files(out) == files(tiny_library.folder)
    assert losses(out) == losses(tiny_library.folder)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--resolutions", "8,6"], "--space has its own resolutions: leave out --resolutions"),
        (["--learning-rate", "7"], "learning_rate"),
        (["--executor", "cloud"], "--executor is 'cloud': expected"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_bad_options_are_one_message(line, tmp_path, more, said):
    with pytest.raises(MnasError, match=said):
        run(*line, "--out", tmp_path / "library", *more)
    assert not (tmp_path / "library" / "blocks").exists()


def test_a_folder_without_a_teacher_or_a_space_of_another_is_refused(line, tmp_path):
    with pytest.raises(InputError, match="holds no finished training"):
        run("library", "build", tmp_path, "--out", tmp_path / "library")
    save_space(space_around(TEACHER, kernel_sizes=(3,), resolutions=(2000,)), tmp_path / "space.toml")
    (tmp_path / "space.toml").write_text((tmp_path / "space.toml").read_text().replace("_c12", "_c16"))
    with pytest.raises(InputError, match="is not a space around this teacher"):
        run(*line, "--out", tmp_path / "library")


def test_losses_are_shown_beside_latencies(tiny_library, tmp_path):
    folder = tiny_library.folder
    make_table(tiny_library.space).save(tmp_path / "table.json")
    table = ["--table", tmp_path / "table.json"]
    shown = run("library", "show", folder)
    assert "16 alternatives for 3 blocks of a teacher on digits" in shown
    assert "against the first" not in shown
    assert "Where milliseconds are cheap" not in shown
    shown = run("library", "show", folder, *table)
    assert "against the first" in shown
    assert "Where milliseconds are cheap" in shown
    document = json.loads(run("library", "show", folder, *table, "--json"))
    assert document["resolutions"] == [8, 6]
    assert document["fingerprint"] == tiny_library.fingerprint
    assert document["options"]["steps"] == OPTIONS.steps
    large, small = (
        [row for block in json.loads(shown)["blocks"] for row in block["alternatives"]]
        for shown in (
            run("library", "show", folder, *table, "--json"),
            run("library", "show", folder, *table, "--resolution", "6", "--json"),
        )
    )
    assert [row["loss"] for row in large] == [loss for row in tiny_library.losses for loss in row]
    assert all(a["latency_ms"] > b["latency_ms"] for a, b in zip(large, small, strict=True) if a["latency_ms"])
    page = tmp_path / "library.html"
    run("library", "show", folder, *table, "--html", page)
    assert "Loss against saved latency for 3 blocks" in page.read_text()


def test_what_cannot_be_shown_is_one_message(tiny_library, tmp_path):
    folder = tiny_library.folder
    with pytest.raises(InputError, match="--resolution is 7: the library has 8, 6 px"):
        run("library", "show", folder, "--resolution", "7")
    with pytest.raises(InputError, match="--html draws loss against latency: add --table"):
        run("library", "show", folder, "--html", tmp_path / "a.html")
    make_table(space_around(TEACHER, kernel_sizes=(7,), expansion_shares=(2,))).save(tmp_path / "table.json")
    with pytest.raises(InputError, match="has no entry"):
        run("library", "show", folder, "--table", tmp_path / "table.json")
    with pytest.raises(InputError, match="is not a block library"):
        run("library", "show", tmp_path)


def test_a_dry_run_estimates_every_stage_and_writes_nothing(tiny_library, tmp_path):
    make_table(tiny_library.space).save(tmp_path / "table.json")
    line = ["search", "--table", tmp_path / "table.json", "--budget-ms", 1, "--measure-finalists", "none"]
    line += ["--threads", 0, "--dry-run"]
    before = sorted(tmp_path.iterdir())
    document = json.loads(run(*line, "--library", tiny_library.folder, "--final-epochs", "3", "--json"))
    assert document["num_finalists"] == 1, "those of the baseline are not trained"
    assert document["num_trials"] == 4000
    assert document["seconds_per_finalist"] > 0
    assert sorted(tmp_path.iterdir()) == before
    with pytest.raises(InputError, match="this needs a finished block library: make one with mnas library build"):
        run(*line, "--teacher", tiny_library.teacher.folder)
