"""PyTorch's old file format, read without PyTorch. The files are made here with pickle alone."""

import io
import pickle
from collections import OrderedDict

import numpy as np
import pytest

from mnas.errors import MnasError
from mnas.train.torch_file import MAGIC, PROTOCOL, read_tensors


class Named:
    """Pickles as a global name, as PyTorch's classes and functions do."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class Call:
    """Pickles as a call."""

    def __init__(self, function: Named, arguments: tuple) -> None:
        self.function, self.arguments = function, arguments


class Storage:
    def __init__(self, key: str, values: np.ndarray) -> None:
        self.key, self.values = key, values


class Pickler(pickle._Pickler):
    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        kind = {"f": "FloatStorage", "i": "LongStorage"}[value.values.dtype.kind]
        return ("storage", Named("torch", kind), value.key, "cpu", len(value.values), None)

    def save(self, value, save_persistent_id=True):
        if isinstance(value, Named):
            self.write(f"c{value.module}\n{value.name}\n".encode())
        elif isinstance(value, Call):
            self.save(value.function)
            self.save(value.arguments)
            self.write(pickle.REDUCE)
        else:
            super().save(value, save_persistent_id)


def torch_file(tensors: dict, *, extra=None, little_endian=True) -> bytes:
    """A file as `torch.save(..., _use_new_zipfile_serialization=False)` writes it."""
    file, storages, rebuilt = io.BytesIO(), [], OrderedDict()
    for name, array in tensors.items():
        flat = np.ravel(array, order="K")
        storages.append(Storage(str(len(storages)), flat))
        strides = tuple(stride // array.itemsize for stride in array.strides)
        arguments = (storages[-1], 0, array.shape, strides, False, OrderedDict())
        rebuilt[name] = Call(Named("torch._utils", "_rebuild_tensor_v2"), arguments)
    if extra is not None:
        rebuilt["extra"] = extra
    sizes = {"protocol_version": PROTOCOL, "little_endian": little_endian}
    for each in (MAGIC, PROTOCOL, sizes, rebuilt, [storage.key for storage in storages]):
        Pickler(file, 2).dump(each)
    for storage in storages:
        file.write(len(storage.values).to_bytes(8, "little") + storage.values.tobytes())
    return file.getvalue()


TENSORS = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1),  # not contiguous
    "norm.count": np.array(7, np.int64),
    "fc.bias": np.float32([1.5, -2]),
}


def test_tensors_come_back_in_order_and_in_their_strides():
    found = read_tensors(torch_file(TENSORS), "x.pth")
    assert list(found) == list(TENSORS)
    for name, array in TENSORS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


@pytest.mark.parametrize("name", [("os", "system"), ("builtins", "eval"), ("torch", "load"), ("collections", "deque")])
def test_a_foreign_name_is_not_even_looked_up(name, tmp_path):
    call = Call(Named(*name), (f"touch {tmp_path}/called",))
    with pytest.raises(MnasError, match=rf"x\.pth: it names {name[0]}\.{name[1]}, and only tensors are read"):
        read_tensors(torch_file(TENSORS, extra=call), "x.pth")
    assert not list(tmp_path.iterdir())


def test_a_tensor_beyond_its_storage_is_refused():
    storage = Storage("0", np.float32([1, 2]))
    for offset, shape, strides in ((1, (2,), (1,)), (0, (2,), (9,)), (1, (2,), (-1,)), (0, (1000, 1000), (0, 0))):
        call = Call(Named("torch._utils", "_rebuild_tensor_v2"), (storage, offset, shape, strides, False, None))
        with pytest.raises(MnasError, match="larger than its storage"):
            read_tensors(torch_file({"a": storage.values}, extra=call), "x.pth")


def test_damaged_files_and_other_formats_are_refused():
    whole = torch_file(TENSORS)
    for data in (b"", b"PK\x03\x04", whole[:-1], whole[:200], pickle.dumps(3)):
        with pytest.raises(MnasError, match=r"cannot read the tensors in x\.pth"):
            read_tensors(data, "x.pth")
    with pytest.raises(MnasError, match=r"before PyTorch 1\.6"):
        read_tensors(torch_file(TENSORS, little_endian=False), "x.pth")
