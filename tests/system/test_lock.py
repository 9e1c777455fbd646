"""Locks, and file systems without them."""

import errno
import fcntl
import os

import pytest

from mnas.errors import MnasError
from mnas.system.files import write_atomically
from mnas.system.jsonlines import JsonLines
from mnas.system.lock import hold, is_held

CODES = ["ENOSYS", "ENOTSUP", "ENOLCK", "EINVAL", "EPERM"]


def _fails(code):
    def fail(*arguments):
        raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))

    return fail


@pytest.mark.parametrize("code", CODES)
def test_a_file_system_without_locks_modes_and_fsync_is_written_to(tmp_path, monkeypatch, caplog, code):
    for module, name in ((fcntl, "flock"), (os, "fsync"), (os, "fchmod")):
        monkeypatch.setattr(module, name, _fails(code))
    for text in ("old", "new"):
        write_atomically(tmp_path / "file", text)
    assert (tmp_path / "file").read_text() == "new"
    log = JsonLines(tmp_path / "log.jsonl", "lines")
    log.append({"a": 1})
    assert [line for _, line in log.read()] == [b'{"a": 1}']
    for _ in range(2):
        with hold(tmp_path / "lock", "the study"):
            assert not is_held(tmp_path / "lock")
    assert caplog.text.count("has no locks") == 1
    assert sorted(os.listdir(tmp_path)) == ["file", "lock", "log.jsonl"]


def test_other_errors_of_a_lock_are_said(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", _fails("EIO"))
    with pytest.raises(MnasError, match=r"cannot lock .* for the study: "), hold(tmp_path / "lock", "the study"):
        pass
    with pytest.raises(MnasError, match="cannot write"):
        write_atomically(tmp_path / "file", "x")


def test_a_lock_is_held_by_one(tmp_path):
    with hold(tmp_path / "lock", "the study", remove=True):
        assert is_held(tmp_path / "lock")
        with pytest.raises(MnasError, match=f"the study is being worked on by process {os.getpid()}"):
            hold(tmp_path / "lock", "the study").__enter__()
    assert not (tmp_path / "lock").exists()
