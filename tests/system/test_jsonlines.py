"""JSON lines in a file: what was appended is there, whatever happened to the last line."""

import errno
import os

import pytest

from mnas.errors import InputError, MnasError
from mnas.system.jsonlines import JsonLines

WHOLE = b'{"a": 1}\n[2]\n'


@pytest.fixture
def lines(tmp_path):
    return JsonLines(tmp_path / "some.jsonl", "things")


def test_what_is_appended_is_read_with_its_line_number(lines):
    lines.repair()
    assert lines.read() == []
    lines.append({"a": 1})
    lines.append([2])
    assert lines.read() == [(1, b'{"a": 1}'), (2, b"[2]")]
    assert lines.path.read_bytes() == WHOLE


@pytest.mark.parametrize("before", [WHOLE, b""])
@pytest.mark.parametrize("tail", [b"\0\0\0\0\n", b"\0\0\0\0", b'{"a"', b'{"a": 3}', b"\0\0}\n"])
def test_what_a_crash_leaves_behind_is_left_out_and_cut_off(lines, caplog, before, tail):
    lines.path.write_bytes(before + tail)
    number = before.count(b"\n")
    with caplog.at_level("WARNING"):
        assert len(lines.read()) == number
        assert lines.path.read_bytes() == before + tail, "reading changes nothing"
        lines.repair()
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        f"the last line is torn ({len(tail)} bytes) and is {what}" for what in ("skipped", "removed")
    ]
    lines.append([3])
    assert lines.path.read_bytes() == before + b"[3]\n"
    assert lines.read()[-1] == (number + 1, b"[3]")


def test_rubbish_behind_whole_lines_is_torn_and_text_of_another_file_is_not(lines):
    lines.path.write_bytes(WHOLE + b"rubbish\n")
    assert len(lines.read()) == 2
    lines.path.write_bytes(b"somebody's notes\n")
    lines.repair()
    assert lines.read() == [(1, b"somebody's notes")]


def test_a_full_disk_leaves_earlier_lines(lines, monkeypatch):
    lines.append({"a": 1})

    def full(number):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MnasError, match=r"cannot write .*some.jsonl: No space left .*; earlier things are kept"):
        lines.append([2])
    assert lines.read()[0] == (1, b'{"a": 1}')


def test_a_file_that_cannot_be_cut_off_is_said(lines, monkeypatch):
    lines.path.write_bytes(WHOLE + b"{")

    def refuse(path, length):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "truncate", refuse)
    with pytest.raises(MnasError, match=r"cannot write .*some.jsonl: Permission denied"):
        lines.repair()


def test_a_folder_is_no_log(tmp_path):
    with pytest.raises(InputError, match=r"cannot read a log of things from .*: Is a directory"):
        JsonLines(tmp_path, "things").read()


def test_what_json_does_not_know_is_not_written(lines):
    with pytest.raises(ValueError, match="JSON"):
        lines.append({"a": float("nan")})
    assert lines.read() == []
