"""What `mnas train` and `mnas export` do, the library does with one public call each, to the same files."""

import json
from pathlib import Path

import pytest

import mnas
from tests.commands import run

pytestmark = pytest.mark.tensorflow

TINY = mnas.Architecture(
    mnas.parse_stages("ds_r1_k3_s1_c8|ir_r1_k3_s2_e3_c12"),
    stem_filters=8,
    head_filters=32,
    resolution=8,
    num_classes=10,
    stem_stride=1,
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The same training by the command and by the library."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.json").write_text(mnas.architecture_to_json(TINY))
    line = ["train", folder / "tiny.json", "--data", "digits", "--out", folder / "command", "--seed", 3]
    run(*line, "--max-train-images", 300, "--epochs", 2, "--optimizer", "adam")
    source = mnas.DataSource("digits", seed=3, limit=300)
    mnas.train_network(TINY, source, folder / "library", seed=3, epochs=2, optimizer="adam")
    return folder


def _record(folder: Path):
    record = json.loads((folder / "training.json").read_text())
    for epoch in record["history"]:
        del epoch["seconds"]
    return record


def test_training_is_one_call(folders):
    command, library = folders / "command", folders / "library"
    assert _record(library) == _record(command)
    assert _record(library)["configuration"]["recipe"]["epochs"] == 2
    assert mnas.open_trained(library).architecture == TINY
    for name in ("architecture.json", "weights.safetensors"):
        assert (library / name).read_bytes() == (command / name).read_bytes()


def test_a_recipe_s_name_is_the_recipe_adapted_to_the_number_of_images(folders):
    recipe = mnas.recipe_for("digits", images=_record(folders / "library")["train_images"], epochs=2, optimizer="adam")
    assert _record(folders / "library")["configuration"]["recipe"] == recipe.to_dict()
    source = mnas.DataSource("digits", seed=3, limit=300)
    again = mnas.train_network(TINY, source, folders / "library", recipe=recipe, seed=3)  # finished: the same training
    assert again.training == mnas.open_trained(folders / "library").training


@pytest.mark.parametrize("options", [{"dtype": "int8", "io": "int8"}, {"prune": 0.5}])
def test_exporting_is_one_call(folders, options, tmp_path):
    line = [word for name, value in options.items() for word in (f"--{name}", value)]
    (tmp_path / "command").mkdir()
    shown = run(
        "export", folders / "library", "--out", tmp_path / "command/net.tflite", "--max-loss", 100, *line, "--json"
    )
    steps = []
    out = tmp_path / "library" / "net.tflite"
    document = mnas.export_network(folders / "library", out, max_loss=100, progress=steps.append, **options)
    assert {"file": str(tmp_path / "command/net.tflite"), **document} == json.loads(shown)
    for name in ("net.tflite", "net.json", "net.md", "labels.txt"):
        assert (tmp_path / "library" / name).read_bytes() == (tmp_path / "command" / name).read_bytes()
    assert steps == [
        "Loading TensorFlow and the data",
        "Converting",
        f"Checking against the Keras model on {document['check']['images']} images",
    ]


def test_an_architecture_is_exported_untrained_and_verified_on_a_device(folders, tmp_path, monkeypatch):
    monkeypatch.setattr("mnas.export.on_device.SECONDS", 0.5)
    with pytest.raises(mnas.InputError, match="architecture without weights"):
        mnas.export_network(folders / "tiny.json", tmp_path / "x.tflite")
    out = tmp_path / "net.tflite"
    document = mnas.export_network(folders / "tiny.json", out, untrained=True, seed=1, verify_on="local")
    assert document == json.loads(out.with_suffix(".json").read_text())
    assert not document["trained"]
    shown = run("export", folders / "tiny.json", "--out", tmp_path / "y.tflite", "--untrained", "--seed", 1, "--json")
    assert out.read_bytes() == (tmp_path / "y.tflite").read_bytes()
    assert set(document) - set(json.loads(shown)) == {"device_check"}
    assert all(document["device_check"][name] > 0 for name in ("latency_ms", "median_ms"))
