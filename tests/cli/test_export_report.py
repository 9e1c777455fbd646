"""What `mnas export` prints. Needs no TensorFlow."""

from pathlib import Path

import pytest

from mnas.cli.export import show_export

DOCUMENT = {
    "labels_file": None,
    "dtype": "float32",
    "size_bytes": 2_000_000,
    "trained": True,
    "test_accuracy": 0.7623,
    "check_data": "digits",
    "training": {"data": {"name": "digits"}},
    "check": {
        "images": 10,
        "agreement": 1.0,
        "max_difference": 1e-6,
        "accuracy_tflite": 0.5368,
        "accuracy_keras": 0.5368,
    },
}


@pytest.mark.parametrize(("change", "said"), [
    ({"compression": {"kind": "prune"}}, "Before prune it was 76.23%: 22.5 points lost: more --fine-tune-epochs may"),
    ({"compression": {"kind": "qat"}, "test_accuracy": 0.54}, "Before qat it was 54.00%: 0.3 points lost.\n"),
    ({}, ""),
    ({"compression": {"kind": "prune"}, "check_data": "photos"}, ""),
])  # fmt: skip
def test_what_compression_cost_is_said(change, said, capsys):
    show_export(Path("x.tflite"), {**DOCUMENT, **change})
    printed = capsys.readouterr().out
    assert said in printed
    assert ("Before" in printed) == bool(said)
