"""Files of arrays: what is written comes back, damage is refused, `.npz` files are still read."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mnas.errors import MnasError
from mnas.system.arrays import read_arrays, read_described_arrays, stored, write_arrays

ARRAYS = {
    "0001": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "0000": np.array(7),
    "0002": np.array([1, 2], np.uint32),
    "0003": np.zeros((0, 3), np.float64),
    "0004": np.array([True, False]),
}
DESCRIPTION = {"recipe": {"rate": 0.1, "steps": [1, 2]}, "name": "é"}


@pytest.fixture
def path(tmp_path):
    write_arrays(tmp_path / "a.safetensors", ARRAYS, DESCRIPTION)
    return tmp_path / "a.safetensors"


def same(found):
    assert list(found) == sorted(ARRAYS)
    for name, array in found.items():
        assert (array.dtype, array.shape) == (ARRAYS[name].dtype, ARRAYS[name].shape)
        np.testing.assert_array_equal(array, ARRAYS[name])


def test_arrays_come_back_as_they_were_and_any_reader_of_safetensors_reads_them(path):
    arrays, description = read_described_arrays(path)
    same(arrays)
    same(read_arrays(path))
    assert description == DESCRIPTION
    same(dict(sorted(load_file(path).items())))


def test_equal_arrays_make_equal_files(path, tmp_path):
    write_arrays(tmp_path / "b.safetensors", dict(reversed(ARRAYS.items())), dict(reversed(DESCRIPTION.items())))
    assert (tmp_path / "b.safetensors").read_bytes() == path.read_bytes()


def test_npz_files_of_before_are_read_and_found(tmp_path):
    made_of = np.frombuffer(json.dumps(DESCRIPTION).encode(), np.uint8)
    np.savez(tmp_path / "a.npz", allow_pickle=False, made_of=made_of, **ARRAYS)
    assert stored(tmp_path / "a.safetensors") == tmp_path / "a.npz"
    arrays, description = read_described_arrays(tmp_path / "a.npz")
    same(arrays)
    assert description == DESCRIPTION
    np.savez(tmp_path / "plain.npz", allow_pickle=False, **ARRAYS)
    assert read_described_arrays(tmp_path / "plain.npz")[1] == {}
    write_arrays(tmp_path / "a.safetensors", ARRAYS)
    assert stored(tmp_path / "a.safetensors") == tmp_path / "a.safetensors"


def test_every_byte_that_is_missing_or_another_is_noticed(path):
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        for damaged in (whole[:place], whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :]):
            path.write_bytes(damaged)
            with pytest.raises(MnasError, match=r"a\.safetensors: missing or damaged"):
                read_arrays(path)


def test_what_is_no_finite_number_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    write_arrays(path, {"x": np.array([1.0, np.nan])})
    with pytest.raises(MnasError, match="x holds NaN or infinity"):
        read_arrays(path)
    for array in (np.array(["a"]), np.array([1j])):
        np.savez(path.with_suffix(".npz"), x=array)
        with pytest.raises(MnasError, match="x does not hold numbers"):
            read_arrays(path.with_suffix(".npz"))


def test_files_of_others_of_a_later_version_and_bombs_are_refused(path, tmp_path):
    save_file({"x": np.zeros(3)}, path)
    with pytest.raises(MnasError, match="missing or damaged"):
        read_arrays(path)
    save_file({"x": np.zeros(3)}, path, {"mnas.arrays": json.dumps({"version": 3, "description": {}})})
    with pytest.raises(MnasError, match="of version 3, and this mnas reads 2"):
        read_arrays(path)
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros(1_000_000))
    with pytest.raises(MnasError, match="is compressed"):
        read_arrays(tmp_path / "bomb.npz")
    with pytest.raises(MnasError, match="cannot read weights from"):
        read_arrays(tmp_path / "missing.safetensors")
