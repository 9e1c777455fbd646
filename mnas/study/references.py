"""Architectures by reference: a zoo name, a JSON file, a study, or one of its trials."""

from __future__ import annotations

from pathlib import Path

from mnas.arch.codec import architecture_from_dict
from mnas.arch.spec import Architecture
from mnas.arch.zoo import ZOO
from mnas.errors import InputError
from mnas.system.files import read_json
from mnas.system.permissions import names_what_is_not_permitted


@names_what_is_not_permitted
def resolve_architecture(text: str) -> Architecture:
    """Read an architecture argument: a zoo name, a JSON file, a study directory, or `STUDY_DIR#12`.

    Raises:
        InputError: if it is none of them.
    """
    if text in ZOO:
        return ZOO[text]
    folder, _, number = text.partition("#")
    if Path(folder).is_dir():
        return _from_folder(Path(folder), number)
    if Path(text).is_file():
        document = read_json(text, "an architecture")
        if isinstance(document, dict) and "architecture" in document:  # a file with more facts about a network
            document = document["architecture"]
        return architecture_from_dict(document)
    raise InputError(
        f"{text!r} is not an architecture: expected a zoo name ({', '.join(ZOO)}), a JSON file, or a study directory"
    )


def _from_folder(folder: Path, number: str) -> Architecture:
    if (folder / "architecture.json").is_file() and not number:
        return architecture_from_dict(read_json(folder / "architecture.json", "an architecture"))
    if not (folder / "study.json").is_file():
        raise InputError(f"{folder} is neither a study nor a trained network: it has no study.json")
    from mnas.study.study import Study

    return Study.open(folder).architecture(number or None)
