"""From a trained model to a file: every dtype, both files or neither, the same bytes again."""

import errno
import hashlib
import json
import os

import pytest

from mnas.arch.codec import architecture_from_dict
from mnas.errors import InputError, MnasError
from mnas.export.pipeline import check_target, export_model, images_to_check
from mnas.tflite.operators import check_integers
from tests.conftest import TINY
from tests.tflite.metadata_reader import read_labels, read_metadata

tensorflow = pytest.mark.tensorflow


def run(model, images, out, **overrides):
    return export_model(model, TINY, out, batches=[images], calibration=images[0][:32], **overrides)


@tensorflow
@pytest.mark.parametrize("dtype", ["float32", "float16", "dynamic", "int8"])
def test_every_dtype_is_written_with_a_file_that_says_what_it_is(dtype, tiny_model, tiny_images, tmp_path):
    out = tmp_path / "new" / "tiny.tflite"
    document = run(tiny_model, tiny_images, out, dtype=dtype, about={"class_names": ["r", "g", "b"]})
    assert json.loads(out.with_suffix(".json").read_text()) == document
    content = out.read_bytes()
    assert document["sha256"] == hashlib.sha256(content).hexdigest()
    assert document["size_bytes"] == len(content)
    assert architecture_from_dict(document["architecture"]) == TINY
    assert (document["dtype"], document["trained"], document["class_names"]) == (dtype, True, ["r", "g", "b"])
    assert document["check"]["images"] == 96
    assert document["check"]["accuracy_tflite"] > 0.9
    assert document["calibration_images"] == (32 if dtype == "int8" else None)
    names = ["labels.txt", "tiny.json", "tiny.md", "tiny.tflite"]
    assert sorted(path.name for path in out.parent.iterdir()) == names
    assert (out.parent / document["labels_file"]).read_text() == "r\ng\nb\n"
    assert read_labels(content) == ["r", "g", "b"]
    assert json.loads(read_metadata(content)["mnas"])["architecture"] == document["architecture"]
    card = out.with_suffix(".md").read_text()
    assert document["sha256"] in card
    assert "0 r, 1 g, 2 b" in card


@tensorflow
def test_the_labels_of_another_network_in_the_same_folder_are_kept(tiny_model, tiny_images, tmp_path):
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    about = {"class_names": ["r", "g", "b"]}
    document = run(tiny_model, tiny_images, tmp_path / "tiny.tflite", about=about)
    assert (tmp_path / "labels.txt").read_text() == "cat\ndog\n"
    assert document["labels_file"] == "tiny.labels.txt"
    assert (tmp_path / "tiny.labels.txt").read_text() == "r\ng\nb\n"
    (tmp_path / "labels.txt").write_text("r\ng\nb\n")
    assert run(tiny_model, tiny_images, tmp_path / "tiny.tflite", about=about)["labels_file"] == "labels.txt"


@tensorflow
def test_an_integer_file_is_integer_to_its_ends(tiny_model, tiny_images, tmp_path):
    document = run(tiny_model, tiny_images, tmp_path / "tiny.tflite", dtype="int8", io="int8")
    assert "DEQUANTIZE" not in document["operators"]
    assert document["input"]["dtype"] == "int8"
    content = (tmp_path / "tiny.tflite").read_bytes()
    check_integers(content, "int8")


@tensorflow
def test_the_same_inputs_give_the_same_bytes(tiny_model, tiny_images, tmp_path):
    first, second = (run(tiny_model, tiny_images, tmp_path / f"{n}.tflite", dtype="int8") for n in (1, 2))
    assert first == second


@tensorflow
def test_a_file_that_fails_the_check_is_not_written(tiny_model, tiny_images, tmp_path, monkeypatch):
    import mnas.export.pipeline as pipeline

    def other_weights(model, configure):
        import keras

        from mnas.export.convert import to_tflite

        return to_tflite(keras.models.clone_model(model), configure)

    monkeypatch.setattr(pipeline, "to_tflite", other_weights)
    with pytest.raises(MnasError, match="does not do what the Keras model does"):
        run(tiny_model, tiny_images, tmp_path / "tiny.tflite")
    assert list(tmp_path.iterdir()) == []


@tensorflow
@pytest.mark.parametrize("failing", [1, 2, 3, 4])
def test_a_full_disk_leaves_what_was_there(failing, tiny_model, tiny_images, tmp_path, monkeypatch):
    (tmp_path / "tiny.tflite").write_bytes(b"old")
    (tmp_path / "tiny.json").write_text("old")
    calls = []

    def fsync(handle):
        calls.append(handle)
        if len(calls) == failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(MnasError, match=r"cannot write .*(tiny|labels).*: No space left on device"):
        run(tiny_model, tiny_images, tmp_path / "tiny.tflite", about={"class_names": ["r", "g", "b"]})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"tiny.tflite": b"old", "tiny.json": b"old"}


@tensorflow
def test_calibration_out_of_range_is_refused_before_any_work(tiny_images, tmp_path):
    images, labels = tiny_images
    with pytest.raises(InputError, match=r"expected \[-1, 1\]"):
        export_model(
            None, TINY, tmp_path / "tiny.tflite", dtype="int8", batches=[(images, labels)], calibration=images * 255
        )


def test_impossible_targets_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"ends in \.tflite"):
        check_target(tmp_path / "model.onnx")
    (tmp_path / "folder.tflite").mkdir()
    with pytest.raises(InputError, match="which is a folder"):
        check_target(tmp_path / "folder.tflite")


def test_large_networks_are_checked_on_fewer_images():
    assert images_to_check(1_000_000, 10_000) == 10_000
    assert images_to_check(300_000_000, 10_000) == 1000
    assert images_to_check(10**12, 10_000) == 256
    assert images_to_check(10**12, 100) == 100
