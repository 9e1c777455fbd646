"""Metadata for apps inside the `.tflite` file: labels, normalization, provenance.

Two entries of the file's metadata, and a label file:

- `TFLITE_METADATA`: TFLite's own model metadata (metadata_schema.fbs of tensorflow/tflite-support, identifier M001),
  which Android Studio, ML Kit and MediaPipe read. The package that wrote it is no longer maintained, so the few tables
  are written here.
- `mnas`: the same information and more, as JSON.
- `labels.txt`, one class per line, appended as a ZIP archive as TFLite's metadata requires: `unzip model.tflite`.

Runtimes ignore the metadata. The same inputs give the same bytes.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mnas.tflite.flatbuffer import read_model

STANDARD = "TFLITE_METADATA"
OWN = "mnas"
LABELS = "labels.txt"
MEAN = STD = 127.5
_MOST_LABEL_BYTES = 1 << 24
_ALIGNMENT = 16  # of buffers, required by TFLite's schema
_IMAGE_PROPERTIES, _FEATURE_PROPERTIES, _NORMALISATION = 2, 1, 1  # in the schema's unions
_RGB, _AXIS_LABELS = 1, 2


def add_metadata(
    content: bytes,
    *,
    name: str,
    description: str,
    labels: Sequence[str],
    provenance: Mapping[str, Any],
    image: str = "RGB image",
) -> bytes:
    """Return the file with metadata added, in place of what it had under the same names.

    Args:
        content: a TFLite file from the converter.
        name: of the model.
        description: of the model, one sentence.
        labels: of the classes in the order of the output; without labels there is no label file.
        provenance: plain data for the entry `mnas`.
        image: of the input, one sentence.

    Raises:
        MnasError: if the content is not a TFLite file.
    """
    model = read_model(content)
    text = json.dumps(provenance, sort_keys=True, allow_nan=False).encode()
    entries = {STANDARD: _standard(name, description, image, bool(labels)), OWN: text}
    replaced = {*entries, *(name.encode() for name in entries)}
    kept = [entry for entry in model.metadata or [] if entry.name not in replaced]
    for key, data in entries.items():
        kept.append(schema.MetadataT(name=key, buffer=len(model.buffers)))
        model.buffers.append(schema.BufferT(data=np.frombuffer(data, np.uint8)))
    model.metadata = kept
    packed = _pack(model)
    return _with_labels(packed, labels) if labels else packed


def labels_text(labels: Sequence[str]) -> str:
    """Return the content of a label file: one class a line, in the order of the output."""
    return "".join(f"{' '.join(label.splitlines())}\n" for label in labels)


def read_labels(content: bytes) -> list[str]:
    """Return the labels that a TFLite file contains, in the order of its output; empty if there are none.

    Files of other tools may name the label file otherwise: it is the only text file then.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            texts = [entry for entry in archive.infolist() if entry.filename.endswith(".txt")]
            chosen = [entry for entry in texts if entry.filename == LABELS] or texts
            if len(chosen) != 1 or chosen[0].file_size > _MOST_LABEL_BYTES:
                return []
            return archive.read(chosen[0]).decode().splitlines()
    except (zipfile.BadZipFile, zlib.error, UnicodeDecodeError, NotImplementedError, RuntimeError, OSError):
        return []


def has_own_metadata(content: bytes) -> bool:
    """Whether mnas wrote a TFLite file's metadata, so that its input is known to be `byte / 127.5 - 1`.

    Raises:
        MnasError: if the content is not a TFLite file.
    """
    return any(entry.name in (OWN, OWN.encode()) for entry in read_model(content).metadata or [])


def _pack(model: Any) -> bytes:
    """Pack a model with aligned buffers: runtimes rely on the alignment, and the generated code ignores it."""
    sizes = [0 if buffer.data is None else len(buffer.data) for buffer in model.buffers]
    for buffer in model.buffers:
        data = None if buffer.data is None else np.asarray(buffer.data, np.uint8).tobytes()
        buffer.Pack = partial(_pack_buffer, data)
    builder = flatbuffers.Builder(sum(sizes) + _ALIGNMENT * len(sizes) + (1 << 16))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _pack_buffer(data: bytes | None, builder: Any) -> int:
    """Pack a buffer so that its data start at a multiple of 16."""
    if data is not None:
        builder.StartVector(1, len(data), _ALIGNMENT)
        builder.head = builder.Head() - len(data)
        builder.Bytes[builder.Head() : builder.Head() + len(data)] = data
        place = builder.EndVector()
    builder.StartObject(3)
    if data is not None:
        builder.PrependUOffsetTRelativeSlot(0, place, 0)
    return int(builder.EndObject())


def _with_labels(content: bytes, labels: Sequence[str]) -> bytes:
    file = io.BytesIO(content)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
        # A fixed time, so that the same labels give the same bytes.
        archive.writestr(zipfile.ZipInfo(LABELS, (1980, 1, 1, 0, 0, 0)), labels_text(labels))
    return file.getvalue()


def _standard(name: str, description: str, image_text: str, labels: bool) -> bytes:
    """Write ModelMetadata for an image as input and a row of probabilities as output."""
    fb = _Tables(flatbuffers.Builder(1024))
    options = fb.table({0: fb.floats([MEAN]), 1: fb.floats([STD])})
    unit = fb.table({0: np.uint8(_NORMALISATION), 1: options})
    image = fb.table({0: np.uint8(_IMAGE_PROPERTIES), 1: fb.table({0: np.int8(_RGB)})})
    stats = fb.table({0: fb.floats([1.0]), 1: fb.floats([-1.0])})
    taken = fb.table(
        {0: fb.text("image"), 1: fb.text(image_text), 3: image, 4: fb.vector([unit]), 5: stats},
    )
    given = fb.table(
        {
            0: fb.text("probabilities"),
            1: fb.text("one probability a class"),
            3: fb.table({0: np.uint8(_FEATURE_PROPERTIES), 1: fb.table({})}),
            5: fb.table({0: fb.floats([1.0]), 1: fb.floats([0.0])}),
            6: fb.vector([fb.table({0: fb.text(LABELS), 2: np.int8(_AXIS_LABELS)})]) if labels else None,
        }
    )
    graph = fb.table({2: fb.vector([taken]), 3: fb.vector([given])})
    root = fb.table(
        {0: fb.text(name), 1: fb.text(description), 2: fb.text("1"), 3: fb.vector([graph]), 7: fb.text("1.0.0")}
    )
    fb.builder.Finish(root, b"M001")
    return bytes(fb.builder.Output())


class _Tables:
    """Writes tables from fields by their number in the schema; nested values are written first."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder

    def text(self, value: str) -> int:
        return int(self.builder.CreateString(value))

    def floats(self, values: Sequence[float]) -> int:
        return int(self.builder.CreateNumpyVector(np.array(values, np.float32)))

    def vector(self, tables: Sequence[int]) -> int:
        self.builder.StartVector(4, len(tables), 4)
        for table in reversed(tables):
            self.builder.PrependUOffsetTRelative(table)
        return int(self.builder.EndVector())

    def table(self, fields: Mapping[int, Any]) -> int:
        """Write a table: numpy's small integers are values, other numbers are offsets of what was written before."""
        self.builder.StartObject(max(fields, default=-1) + 1)
        for slot, value in fields.items():
            if isinstance(value, np.int8):
                self.builder.PrependInt8Slot(slot, int(value), 0)
            elif isinstance(value, np.uint8):
                self.builder.PrependUint8Slot(slot, int(value), 0)
            elif value is not None:
                self.builder.PrependUOffsetTRelativeSlot(slot, value, 0)
        return int(self.builder.EndObject())
