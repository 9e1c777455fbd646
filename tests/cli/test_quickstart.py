"""The quickstart, made even smaller: every step runs, the files are there, the table at the end can be read."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.tensorflow

TINY = """
import sys
import mnas.cli.quickstart as q
q.PROFILE_MINUTES = 0.05
q.TRIALS, q.BATCH, q.PROXY_STEPS, q.FINALISTS, q.FINAL_STEPS, q.EPOCHS = 2, 2, 2, 1, 3, 1
q.BUDGET_SHARE = 1.0
import mnas.cli.main as m
m.run()
"""


def run(folder, *args):
    command = [sys.executable, "-c", TINY, "quickstart", *args]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_quickstart_from_nothing_and_again(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    for number in range(1, 6):
        assert f"{number} of 5" in done.stderr
    for said in ("test accuracy", "predicted ms", "measured ms", "random baseline", "mnas report", "Files in"):
        assert said in done.stdout
    assert "WARNING" not in done.stderr
    folder = tmp_path / "quickstart"
    made = {path.name for path in folder.iterdir()}
    assert {"winner.tflite", "winner.json", "scaled.tflite", "this_machine.json", "study", "summary.json"} <= made
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["winner"]["predicted_ms"] <= summary["budget_ms"]
    assert summary["search"]["num_trials"] == 2

    # An interrupted run goes on where it stopped: nothing that is finished is done again.
    (folder / "summary.json").unlink()
    before = (folder / "study" / "trials.jsonl").read_bytes()
    again = run(tmp_path, "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["search"] == summary["search"]
    assert (folder / "study" / "trials.jsonl").read_bytes() == before
    assert not (tmp_path / "quickstart-2").exists()
