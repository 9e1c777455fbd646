"""What `mnas bench` does, the library does with one public call."""

import json

import pytest

import mnas
from mnas.arch.codec import architecture_to_dict
from mnas.tflite.random_model import write_random_model
from tests.commands import run

TINY = mnas.Architecture(
    mnas.parse_stages("ds_r1_k3_s1_c8"), stem_filters=8, head_filters=32, resolution=32, num_classes=10
)


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "net.tflite"
    file.write_bytes(write_random_model(TINY))
    description = {
        "format": "mnas.tflite",
        "version": 1,
        "architecture": architecture_to_dict(TINY),
        "dtype": "float32",
    }
    file.with_suffix(".json").write_text(json.dumps(description))
    return file


def test_a_file_is_measured_and_kept_by_one_call(file, tmp_path):
    document = tmp_path / "measured.json"
    found = mnas.bench_file(file, mnas.open_device("local"), append=document, seconds=0.2)
    assert found.num_kept == 1
    assert found.to_dict()["quiet_ms"] == found.time.quiet_ms > 0
    shown = json.loads(run("bench", file, "--append", document, "--seconds", 0.2, "--json"))
    assert shown.keys() == found.to_dict().keys()
    assert shown["num_kept"] == 2


def test_arguments_are_checked_before_the_device_is_opened(file, tmp_path):
    def never():
        pytest.fail("the device was opened")

    for options, message in [
        ({"arch": "mnasnet-a1"}, "add --table"),
        ({"table": tmp_path / "nowhere.json"}, "nowhere.json"),
        ({"append": tmp_path / "measured.json", "arch": "mnasnet-a3"}, "mnasnet-a1"),
    ]:
        with pytest.raises(mnas.InputError, match=message):
            mnas.bench_file(file, never, **options)
    file.with_suffix(".json").unlink()
    with pytest.raises(mnas.InputError, match=r"does not state: make .* with mnas export"):
        mnas.bench_file(file, never, append=tmp_path / "measured.json", arch="mnasnet-a1")
    with pytest.raises(mnas.InputError, match=r"need the network of .*: add --arch ARCH"):
        mnas.bench_file(file, never, append=tmp_path / "measured.json")
    file.write_text("text")
    with pytest.raises(mnas.InputError, match=r"is not a \.tflite file"):
        mnas.bench_file(file, never)
