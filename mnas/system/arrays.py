"""Numeric arrays in files: safetensors with a description in the header; older `.npz` files are read too."""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load, save

from mnas.errors import InputError, MnasError
from mnas.system.files import parse_json, read_bytes, shorten, write_atomically

Arrays = Mapping[str, npt.NDArray[Any]]
VERSION = 2  # 1: NumPy's .npz, with the description as the array `made_of`
_HEADER = "mnas.arrays"
_MOST_BYTES = 1 << 32


def write_arrays(path: Path, arrays: Arrays, description: Mapping[str, Any] | None = None) -> None:
    """Write arrays and a description of them as a safetensors file: numbers and JSON, nothing executable.

    Args:
        path: the file.
        arrays: arrays of integers, floats or booleans, by name.
        description: plain data for JSON.

    Raises:
        MnasError: if it cannot be written; an earlier file is kept.
    """
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    described = dict(description or {})
    header = {"version": VERSION, "crc32": _checksum(contiguous, described), "description": described}
    # One entry only: safetensors does not keep the order of several, and equal arrays must give equal files.
    write_atomically(path, save(contiguous, {_HEADER: json.dumps(header, sort_keys=True, allow_nan=False)}))


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read the arrays of a safetensors or `.npz` file, sorted by name; raises as `read_described_arrays`."""
    return read_described_arrays(path)[0]


def read_described_arrays(path: Path) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Read arrays as `read_arrays`, and their description, empty if there is none.

    Raises:
        MnasError: if the file is missing or damaged, or holds anything but finite numbers.
    """
    try:
        data = read_bytes(path, "weights", most=_MOST_BYTES)
        arrays, description = _from_npz(data) if data.startswith(b"PK") else _from_safetensors(data)
        for name, array in arrays.items():
            if array.dtype.kind not in "fiub":
                raise ValueError(f"{name} does not hold numbers")
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise ValueError(f"{name} holds NaN or infinity")
        return {name: arrays[name] for name in sorted(arrays)}, description
    except InputError as error:
        raise MnasError(f"{error}; train again") from None
    # safetensors, zipfile and NumPy raise many kinds of errors for damaged bytes; SafetensorError is a bare Exception
    except Exception as error:
        raise MnasError(
            f"cannot read the weights in {path}: missing or damaged ({shorten(str(error))}); train again"
        ) from None


def stored(path: Path) -> Path:
    """Return `path`, or the older `.npz` file of the same name if only that exists."""
    older = path.with_suffix(".npz")
    return older if older.is_file() and not path.exists() else path


def _from_safetensors(data: bytes) -> tuple[Arrays, dict[str, Any]]:
    arrays = load(data)
    size = int.from_bytes(data[:8], "little")
    header = parse_json(parse_json(data[8 : 8 + size])["__metadata__"][_HEADER])
    description = _checked(header["description"])
    if header["version"] != VERSION:
        raise ValueError(f"it is of version {header['version']}, and this mnas reads {VERSION}")
    if header["crc32"] != _checksum(arrays, description):
        raise ValueError("its checksum does not match its arrays")
    return arrays, description


def _checked(description: Any) -> dict[str, Any]:
    if not isinstance(description, dict):
        raise ValueError("its description is not an object")
    return description


def _checksum(arrays: Arrays, description: Mapping[str, Any]) -> int:
    layout = {name: (array.dtype.str, array.shape) for name, array in arrays.items()}
    total = zlib.crc32(json.dumps([description, layout], sort_keys=True).encode())
    for name in sorted(arrays):
        total = zlib.crc32(arrays[name].tobytes(), total)
    return total


def _from_npz(data: bytes) -> tuple[Arrays, dict[str, Any]]:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        members = {info.filename.removesuffix(".npy"): info for info in file.infolist()}
        if len(members) != len(file.infolist()):
            raise ValueError("an array appears twice")
        arrays = {name: _from_npy(file, info) for name, info in members.items()}
    made_of = arrays.pop("made_of", None)
    return arrays, {} if made_of is None else _checked(parse_json(made_of.tobytes()))


def _from_npy(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> npt.NDArray[Any]:
    """Read one array of NumPy's `savez`: no objects, and no allocation larger than the file."""
    if info.compress_type != zipfile.ZIP_STORED:  # mnas never compressed; a small file could unpack to a huge one
        raise ValueError(f"{info.filename} is compressed")
    content = io.BytesIO(file.read(info))
    if np.lib.format.read_magic(content) != (1, 0):
        raise ValueError(f"{info.filename} is of another format")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(content)
    values = content.read()
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(values):
        raise ValueError(f"{info.filename} does not hold the numbers that its header states")
    return np.frombuffer(values, dtype).reshape(shape, order="F" if fortran else "C")
