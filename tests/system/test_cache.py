"""The cache folder: a variable, the home folder, or a temporary one."""

import tempfile
from pathlib import Path

import pytest

from mnas.system import cache
from mnas.system.cache import cache_folder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.delenv("MNAS_CACHE", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    cache._temporary.cache_clear()


def test_the_variable_goes_before_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder("data") == tmp_path / ".cache" / "mnas" / "data"
    monkeypatch.setenv("MNAS_CACHE", str(tmp_path / "own"))
    assert cache_folder("data") == tmp_path / "own" / "data"


def test_a_user_without_a_home_folder_gets_a_temporary_one(tmp_path, monkeypatch):
    def unknown():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    found = cache_folder("data")
    assert found.is_relative_to(tmp_path / "tmp")
    assert found == cache_folder("data")
    assert found.parent.stat().st_mode & 0o777 == 0o700


def test_a_home_folder_that_does_not_exist_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "nonexistent"))
    assert cache_folder("data").is_relative_to(tmp_path / "tmp")


def test_a_temporary_folder_of_another_user_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "nonexistent"))
    own = cache_folder("data").parent
    own.rmdir()
    own.symlink_to(tmp_path)  # others can make such links in a folder that all share
    cache._temporary.cache_clear()
    monkeypatch.setattr("os.getuid", lambda: 12345678)
    assert cache_folder("data").parent.name != own.name
