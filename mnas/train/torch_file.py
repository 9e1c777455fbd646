"""Tensors in PyTorch's file format before 1.6, read without PyTorch.

Such a file is a series of pickles: a magic number, the protocol, the byte order, the tensors, and the keys of the
storages; then each storage's length and numbers. A pickle can name any function to call. This reader knows four names,
each by something of its own, and refuses every other one.
"""

from __future__ import annotations

import io
import math
import pickle
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.errors import MnasError
from mnas.system.files import shorten

Arrays = dict[str, npt.NDArray[Any]]
MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: np.dtype[Any]
    count: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Unpickler(pickle.Unpickler):
    """Knows ordered dictionaries, tensors and two kinds of storages."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise ValueError(f"it names {module}.{name}, and only tensors are read")

    def persistent_load(self, description: Any) -> _Storage:
        kind, dtype, key, _, count, view = description
        if kind != "storage" or view is not None or dtype not in _DTYPES.values():
            raise ValueError("it refers to something other than a storage")
        return _Storage(key, dtype, count)


def _rebuild(storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> _Tensor:
    return _Tensor(storage, offset, shape, strides)


def read_tensors(data: bytes, name: str) -> Arrays:
    """Read a file of named tensors, such as a model's `state_dict`.

    Args:
        data: the file's content.
        name: the file, for messages.

    Returns:
        The tensors by name, in the order of the file.

    Raises:
        MnasError: if it is not such a file, is damaged, or names anything but tensors in its pickles.
    """
    try:
        file = io.BytesIO(data)
        if [_load(file) for _ in range(2)] != [MAGIC, PROTOCOL] or not _load(file)["little_endian"]:
            raise ValueError("it is not of the format before PyTorch 1.6")
        tensors: dict[str, _Tensor] = _load(file)
        used = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
        storages = {key: _read_storage(file, used[key]) for key in _load(file)}
        return {label: _view(tensor, storages[tensor.storage.key]) for label, tensor in tensors.items()}
    # A damaged pickle raises any kind of error.
    except Exception as error:
        reason = shorten(str(error) or type(error).__name__)
        raise MnasError(f"cannot read the tensors in {name}: {reason}") from None


def _load(file: io.BytesIO) -> Any:
    return _Unpickler(file, encoding="utf-8").load()


def _read_storage(file: io.BytesIO, storage: _Storage) -> npt.NDArray[Any]:
    count = int.from_bytes(file.read(8), "little")
    values = file.read(count * storage.dtype.itemsize) if count == storage.count else b""
    if len(values) != storage.count * storage.dtype.itemsize:
        raise ValueError("it is truncated")
    return np.frombuffer(values, storage.dtype)


def _view(tensor: _Tensor, storage: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a tensor's numbers, which may stand in any order in their storage."""
    last = tensor.offset + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True))
    inside = 0 <= tensor.offset <= last < len(storage) >= math.prod(tensor.shape) > 0
    if not inside or min(tensor.strides, default=0) < 0:
        raise ValueError("a tensor is larger than its storage")
    strides = [stride * storage.itemsize for stride in tensor.strides]
    return np.array(np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides))
