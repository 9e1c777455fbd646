"""`mnas train` and `mnas export` as a person types them."""

import json
import subprocess
import sys

import pytest

from mnas.cli.main import run
from tests.commands import run as in_process

pytestmark = pytest.mark.tensorflow

ARCHITECTURE = {
    "format": "mnas.architecture",
    "version": 1,
    "stages": ["ds_r1_k3_s1_c8", "ir_r1_k3_s2_e3_c16_se0.25"],
    "stem_filters": 8,
    "head_filters": 32,
    "resolution": 8,
    "num_classes": 1000,
    "activation": "relu",
    "dropout": 0.1,
    "stem_stride": 1,
    "stochastic_depth": 0,
}


def mnas(*arguments):
    command = [sys.executable, "-m", "mnas", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    (folder / "arch.json").write_text(json.dumps(ARCHITECTURE))
    done = mnas(
        "train",
        folder / "arch.json",
        "--data",
        "digits",
        "--out",
        folder / "run",
        "--epochs",
        2,
        "--batch-size",
        32,
        "--mirror",
        f"file://{folder}/bucket/run",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    here, there = ({path.name for path in where.iterdir()} for where in (folder / "run", folder / "bucket/run"))
    assert here - {"lock"} == there
    assert "classifier was set to the 10 classes" in " ".join(done.stderr.split())
    assert "epoch   2 of 2" in done.stderr
    assert json.loads(done.stdout)["test_accuracy"] > 0.3
    return folder


def test_export_writes_both_files_and_prints_one_document(folder):
    out = folder / "models" / "tiny.tflite"
    done = mnas("export", folder / "run", "--dtype", "int8", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document == {"file": str(out), **json.loads(out.with_suffix(".json").read_text())}
    assert document["class_names"] == [str(number) for number in range(10)]
    assert document["check"]["images"] == 360
    assert out.stat().st_size == document["size_bytes"]
    again = in_process("export", folder / "run", "--dtype", "int8", "--out", folder / "again" / "tiny.tflite", "--json")
    assert {**json.loads(again), "file": ""} == {**document, "file": ""}  # in another process
    assert (folder / "again" / "tiny.tflite").read_bytes() == out.read_bytes()


def test_untrained_networks_need_to_be_asked_for(folder):
    done = mnas("export", folder / "arch.json", "--out", folder / "x.tflite")
    assert done.returncode == 2
    assert "train it first" in done.stderr
    assert "--untrained" in done.stderr
    done = mnas("export", folder / "arch.json", "--untrained", "--dtype", "float16", "--out", folder / "x.tflite")
    assert done.returncode == 0, done.stderr
    assert "The weights are random" in done.stdout
    assert json.loads((folder / "x.json").read_text())["trained"] is False


@pytest.fixture(scope="module")
def two_classes(folder):
    """Images by class, but not the ten classes that the network was trained for."""
    from PIL import Image

    for split, count in (("train", 12), ("test", 4)):
        for number, name in enumerate(("cats", "dogs")):
            (folder / "pets" / split / name).mkdir(parents=True)
            for index in range(count):
                image = Image.new("RGB", (8, 8), (20 * index, 100 * number, 50))
                image.save(folder / "pets" / split / name / f"{index}.png")


@pytest.fixture(scope="module")
def damaged(folder):
    """Weights of another network, images that are all black, a network that strides on at one pixel."""
    import shutil

    from PIL import Image

    from mnas.system.arrays import read_arrays, write_arrays

    shutil.copytree(folder / "run", folder / "swapped")
    arrays = read_arrays(folder / "run" / "weights.safetensors")
    write_arrays(folder / "swapped" / "weights.safetensors", {name: arrays[name][..., :4] for name in arrays})
    for split in ("train", "test"):
        for number in range(10):
            (folder / "black" / split / str(number)).mkdir(parents=True)
            for index in range(3):
                Image.new("RGB", (8, 8)).save(folder / "black" / split / str(number) / f"{index}.png")
    deep = {**ARCHITECTURE, "stages": ["ds_r1_k3_s2_c8"] * 5}
    (folder / "deep.json").write_text(json.dumps(deep))


def test_a_file_is_verified_where_it_is_asked_to_be(folder, monkeypatch):
    monkeypatch.setattr("mnas.export.on_device.SECONDS", 0.5)
    out = folder / "models" / "verified.tflite"
    said = in_process("export", folder / "run", "--out", out, "--verify-on", "local")
    assert "On local (" in said
    assert "100.00% of the predictions on 16 images are those of this machine" in said
    check = json.loads(out.with_suffix(".json").read_text())["device_check"]
    assert (check["device"], check["images"], check["agreement"]) == ("local", 16, 1.0)
    assert check["latency_ms"] > 0
    assert "| on a device (" in out.with_suffix(".md").read_text()


@pytest.mark.usefixtures("two_classes", "damaged")
@pytest.mark.parametrize(("arguments", "code", "message"), [
    (["export", "run", "--data", "pets", "--out", "y.tflite"], 2, "run 10, and they are not the same: cats, dogs"),
    (["train", "arch.json", "--data", "digits", "--out", "z", "--weights", "imagenet"], 2, "published weights (mobile"),
    (["train", "arch.json", "--data", "digits", "--out", "z", "--recipe", "long"], 2, "short, finetune, mnasnet"),
    (["train", "arch.json", "--data", "digits", "--out", "z", "--distill", "0.5"], 2, "its folder with --teacher"),
    (["train", "arch.json", "--data", "digits", "--out", "z", "--class-weights", "1"], 2, "one of none, balanced"),
    (["train", "arch.json", "--data", "digits", "--out", "z", "--freeze"], 2, "with --weights"),
    (["train", "arch.json", "--data", "pets", "--out", "z", "--teacher", "run"], 2, "--teacher run 10, and they"),
    (["export", "run", "--out", "model.onnx"], 2, "ends in .tflite"),
    (["export", "run", "--dtype", "int4", "--out", "y.tflite"], 2, "expected one of float32, float16, dynamic, int8"),
    (["export", "run", "--qat", "--prune", "0.5", "--out", "y.tflite"], 2, "--qat and --prune cannot be combined"),
    (["export", "arch.json", "--untrained", "--qat", "--out", "y.tflite"], 2, "--untrained"),
    (["export", "run", "--prune", "1.5", "--out", "y.tflite"], 2, "--prune is 1.5"),
    (["export", "nothing", "--out", "y.tflite"], 2, "is not an architecture"),
    (["export", "run", "--prune", "0", "--out", "y.tflite"], 2, "--prune is 0"),
    (["export", ".", "--out", "y.tflite"], 2, "holds no finished training"),
    (["export", "run", "--out", "/dev/full/y.tflite"], 1, "cannot write"),
    (["train", "arch.json", "--data", "digits", "--out", "run", "--epochs", "3"], 2, "belongs to another training"),
    (["train", "arch.json", "--data", "missing", "--out", "z"], 2, "missing"),
    (["export", "swapped", "--out", "y.tflite"], 1, "swapped/weights.safetensors are of another network"),
    (["export", "run", "--data", "black", "--dtype", "int8", "--out", "y.tflite"], 2, "range only from -1 to -1"),
    (["export", "deep.json", "--untrained", "--out", "y.tflite"], 2, "it needs at least 17 px"),
    (["train", "deep.json", "--data", "digits", "--out", "z"], 2, "it needs at least 17 px"),
    (["train", "arch.json", "--data", "digits", "--out", "/dev/full/z"], 1, "cannot write /dev/full/z"),
    (["export", "run", "--table", "t.json", "--out", "y.tflite"], 2, "need --verify-on"),
    (["export", "run", "--verify-on", "phone", "--out", "y.tflite"], 2, "expected local, adb, adb:SERIAL or ssh:HOST"),
    (["export", "run", "--verify-on", "adb", "--out", "y.tflite"], 2, "add --benchmark-binary PATH"),
])  # fmt: skip
def test_bad_input_is_one_message_and_no_file(arguments, code, message, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["mnas", *arguments])
    with pytest.raises(SystemExit) as ended:
        run()
    said = " ".join(capsys.readouterr().err.split())
    assert ended.value.code == code, said
    assert message in said
    assert not list(folder.glob("y.*"))
    assert not list(folder.glob("z*"))
