"""The JSON file beside a `.tflite` file, and whether it is of that file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnas.errors import InputError

FORMAT = "mnas.tflite"
VERSION = 1


def check_description(document: Mapping[str, Any], file: Path, content: bytes) -> None:
    """Check that a description belongs to a file: an export may have been interrupted, or one of them replaced.

    A document without a SHA-256, such as an architecture alone, describes any file.

    Raises:
        InputError: if it describes another file.
    """
    if document.get("format") != FORMAT or "sha256" not in document:
        return
    if document["sha256"] != hashlib.sha256(content).hexdigest():
        raise InputError(
            f"{file.with_suffix('.json')} describes another file than {file}: one of them was replaced, or an export "
            "was interrupted. Export again, or remove the description"
        )
