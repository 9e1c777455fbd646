"""The description beside a file, and whether it is of that file."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from mnas.errors import InputError
from mnas.system.files import write_together
from mnas.tflite.description import check_description

FILE = Path("models/net.tflite")


def test_a_description_of_this_file_and_one_of_any_are_taken():
    check_description({"format": "mnas.tflite", "sha256": hashlib.sha256(b"content").hexdigest()}, FILE, b"content")
    check_description({"format": "mnas.architecture", "version": 1}, FILE, b"content")


def _written(content):
    return {"format": "mnas.tflite", "sha256": hashlib.sha256(content).hexdigest()}


@pytest.mark.parametrize("survived", [1, 2])
def test_a_kill_between_the_files_of_an_export_is_noticed(survived, tmp_path, monkeypatch):
    model, said = tmp_path / "net.tflite", tmp_path / "net.json"
    write_together({model: b"old", said: json.dumps(_written(b"old")), tmp_path / "net.md": "old"})
    replace, moved = os.replace, []

    def killed(source, target):
        if len(moved) == survived:
            raise KeyboardInterrupt
        moved.append(target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_together({model: b"new", said: json.dumps(_written(b"new")), tmp_path / "net.md": "new"})
    description = json.loads(said.read_text())
    if survived == 2:  # only the card is old, and it names the file's hash for whoever reads it
        check_description(description, model, model.read_bytes())
        return
    with pytest.raises(InputError, match=r"net\.json describes another file than .*net\.tflite.*Export again"):
        check_description(description, model, model.read_bytes())
