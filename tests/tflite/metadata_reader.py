"""Reads what `mnas.tflite.metadata` writes, as an app would."""

from __future__ import annotations

import io
import zipfile

from ai_edge_litert import schema_py_generated as schema

from mnas.tflite.metadata import LABELS


def read_metadata(content: bytes) -> dict[str, bytes]:
    """Every entry of a file's metadata by its name."""
    model = schema.Model.GetRootAs(content, 0)
    entries = [model.Metadata(index) for index in range(model.MetadataLength())]
    return {entry.Name().decode(): model.Buffers(entry.Buffer()).DataAsNumpy().tobytes() for entry in entries}


def read_labels(content: bytes) -> list[str]:
    """The labels in a file; an empty list if there are none."""
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return []
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(LABELS).decode().splitlines()
