"""The description beside a file, and whether it is of that file."""

import hashlib
from pathlib import Path

import pytest

from mnas.errors import InputError
from mnas.export.description import check_description

FILE = Path("models/net.tflite")


def test_a_description_of_this_file_and_one_of_any_are_taken():
    check_description({"format": "mnas.tflite", "sha256": hashlib.sha256(b"content").hexdigest()}, FILE, b"content")
    check_description({"format": "mnas.architecture", "version": 1}, FILE, b"content")


def test_a_description_of_another_file_is_refused():
    """As a kill between the three files of an export would leave it."""
    before = {"format": "mnas.tflite", "sha256": hashlib.sha256(b"old").hexdigest()}
    with pytest.raises(InputError, match=r"models/net\.json describes another file than models/net\.tflite"):
        check_description(before, FILE, b"new")
