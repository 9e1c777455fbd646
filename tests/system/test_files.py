"""Files are written whole or not at all."""

import os
import tempfile
from unittest import mock

import pytest

from mnas.errors import InputError, MnasError
from mnas.system.files import read_json, write_atomically, write_json


def test_round_trip_makes_folders(tmp_path):
    path = tmp_path / "new" / "file.json"
    write_json(path, {"b": 1, "a": [0.1]})
    assert read_json(path, "a thing") == {"a": [0.1], "b": 1}
    assert os.listdir(path.parent) == ["file.json"]


def test_a_failing_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, "old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MnasError, match="No space left"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("text", ["", "{", '{"a": NaN}', '{"a": Infinity}', "\xff", "[" * 100_000])
def test_what_is_not_json_is_refused(tmp_path, text):
    path = tmp_path / "file.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match="a table"):
        read_json(path, "a table")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_files_of_windows_editors_are_read_or_named(tmp_path, encoding):
    path = tmp_path / "file.json"
    path.write_bytes('{"name": "grün"}'.encode("utf-8-sig"))
    assert read_json(path, "a table") == {"name": "grün"}
    path.write_bytes('{"name": "grün"}'.encode(encoding))
    with pytest.raises(InputError, match="is UTF-16 text: save it as UTF-8"):
        read_json(path, "a table")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.json"):
        read_json(tmp_path / "nowhere.json", "a table")


def test_nan_is_never_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", float("nan"))
    assert os.listdir(tmp_path) == []


def test_a_disk_that_stays_full_while_a_file_is_closed_is_named(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    write_atomically(tmp_path / "file", "old")
    real = tempfile.mkstemp

    def on_a_full_disk(**where):
        handle, name = real(**where)
        with open("/dev/full", "wb") as full:
            os.dup2(full.fileno(), handle)
        return handle, name

    with mock.patch("tempfile.mkstemp", on_a_full_disk), pytest.raises(MnasError, match=r"file: No space left"):
        write_atomically(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_text_that_names_a_path_which_is_not_utf_8_can_be_written(tmp_path):
    write_atomically(tmp_path / "card.md", f"trained on {os.fsdecode(b'caf' + bytes([0xE9]))}\n")
    assert (tmp_path / "card.md").read_text(encoding="utf-8") == "trained on caf\\udce9\n"
