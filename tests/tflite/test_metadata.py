"""What an app can read out of the file."""

import json
import zipfile

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from flatbuffers.table import Table

from mnas.errors import MnasError
from mnas.tflite.metadata import LABELS, add_metadata
from mnas.tflite.random_model import write_random_model
from tests.conftest import TINY
from tests.tflite.metadata_reader import read_labels, read_metadata

PLAIN = write_random_model(TINY)
WITH = add_metadata(
    PLAIN, name="tiny", description="for tests", labels=["red", "grün", "blue"], provenance={"made": "here"}
)


class Reader:
    """A flatbuffer table by field numbers, with nothing of what wrote it."""

    def __init__(self, data, place=None):
        self.data = data
        place = flatbuffers.encode.Get(flatbuffers.packer.uoffset, data, 0) if place is None else place
        self.table = Table(data, place)

    def _at(self, number):
        return self.table.Offset(4 + 2 * number)

    def text(self, number):
        return self.table.String(self.table.Pos + self._at(number)).decode()

    def byte(self, number):
        return self.table.Get(flatbuffers.number_types.Int8Flags, self.table.Pos + self._at(number))

    def inner(self, number):
        return Reader(self.data, self.table.Indirect(self.table.Pos + self._at(number)))

    def each(self, number):
        start = self.table.Vector(self._at(number))
        count = self.table.VectorLen(self._at(number))
        return [Reader(self.data, self.table.Indirect(start + 4 * index)) for index in range(count)]

    def floats(self, number):
        return list(self.table.GetVectorAsNumpy(flatbuffers.number_types.Float32Flags, self._at(number)))


def test_the_standard_entry_says_how_to_feed_the_network():
    data = read_metadata(WITH)["TFLITE_METADATA"]
    assert data[4:8] == b"M001"
    model = Reader(data)
    assert (model.text(0), model.text(1)) == ("tiny", "for tests")
    (graph,) = model.each(3)
    (image,), (probabilities,) = graph.each(2), graph.each(3)
    assert image.text(0) == "image"
    assert image.inner(3).byte(0) == 2  # ImageProperties
    assert image.inner(3).inner(1).byte(0) == 1  # RGB
    (unit,) = image.each(4)
    assert unit.byte(0) == 1  # NormalizationOptions
    assert (unit.inner(1).floats(0), unit.inner(1).floats(1)) == ([127.5], [127.5])
    assert (image.inner(5).floats(0), image.inner(5).floats(1)) == ([1.0], [-1.0])
    (labels,) = probabilities.each(6)
    assert (labels.text(0), labels.byte(2)) == (LABELS, 2)  # TENSOR_AXIS_LABELS


def test_labels_and_provenance_come_back(tmp_path):
    assert read_labels(WITH) == ["red", "grün", "blue"]
    assert json.loads(read_metadata(WITH)["mnas"]) == {"made": "here"}
    (tmp_path / "tiny.tflite").write_bytes(WITH)
    with zipfile.ZipFile(tmp_path / "tiny.tflite") as archive:
        assert archive.namelist() == [LABELS]
    assert read_labels(PLAIN) == []
    assert read_labels(add_metadata(PLAIN, name="", description="", labels=[], provenance={})) == []


def test_the_network_is_what_it_was():
    image = np.random.default_rng(0).uniform(-1, 1, (1, 12, 12, 3)).astype(np.float32)
    answers = []
    for content in (PLAIN, WITH):
        interpreter = Interpreter(model_content=content)
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
        interpreter.invoke()
        answers.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
        assert list(interpreter.get_signature_list()) == ["serving_default"]
    np.testing.assert_array_equal(*answers)


def test_every_buffer_begins_at_a_multiple_of_16():
    model = schema.Model.GetRootAs(WITH, 0)
    for index in range(model.BuffersLength()):
        buffer = model.Buffers(index)
        if not buffer.DataIsNone():
            data = buffer.DataAsNumpy()
            assert (data.ctypes.data - np.frombuffer(WITH, np.uint8).ctypes.data) % 16 == 0


def test_the_same_inputs_give_the_same_bytes_and_twice_is_once():
    again = add_metadata(PLAIN, name="tiny", description="for tests", labels=["red"], provenance={"made": "here"})
    twice = add_metadata(again, name="tiny", description="for tests", labels=["red"], provenance={"made": "here"})
    assert again == add_metadata(
        PLAIN, name="tiny", description="for tests", labels=["red"], provenance={"made": "here"}
    )
    assert len(read_metadata(twice)) == len(read_metadata(again)) == 2


def test_other_files_are_refused():
    with pytest.raises(MnasError, match="not a TFLite file"):
        add_metadata(b"nothing", name="", description="", labels=[], provenance={})
