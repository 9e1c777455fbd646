"""The record of a training that is not finished: its configuration, and the metrics of every epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from mnas.checks import check_integer, convert
from mnas.errors import InputError
from mnas.system.files import read_json

PROGRESS = "progress.json"
History = list[dict[str, float]]
_Metric = Annotated[float, Meta(ge=-1e308, le=1e308)]


def recorded(path: Path, part: str) -> dict[str, Any]:
    """Return a part of the configuration in a training's record, as it is there; empty for a record that has none.

    Args:
        path: progress.json or training.json.
        part: such as `recipe` or `data`.

    Raises:
        InputError: if it cannot be read.
    """
    record: Any = read_json(path, "a training's record")
    for name in ("configuration", part):
        record = record.get(name) if isinstance(record, dict) else None
    return record if isinstance(record, dict) else {}


def refuse_another(path: Path, configuration: dict[str, Any]) -> dict[str, Any]:
    """Read a training's record.

    Args:
        path: progress.json or training.json.
        configuration: everything that determines the result of the training.

    Raises:
        InputError: if its configuration differs; the message names what differs.
    """
    record: dict[str, Any] = read_json(path, "a training's record")
    found = record.get("configuration") if isinstance(record, dict) else None
    if not isinstance(found, dict):
        raise InputError(f"{path} is not a training's record; use another --out")
    differing = [key for key in {**configuration, **found} if _compared(found, key) != _compared(configuration, key)]
    if differing:
        raise InputError(
            f"{path.parent} belongs to another training (its {', '.join(differing)} differ); "
            "use another --out, or delete that folder"
        )
    return record


def _compared(configuration: dict[str, Any], key: str) -> Any:
    """A part of a configuration without the path of the data, which may have moved: their fingerprint counts."""
    part = configuration.get(key)
    return {name: part[name] for name in part if name != "name"} if key == "data" and isinstance(part, dict) else part


def read_progress(out: Path, configuration: dict[str, Any], *, resume: bool) -> History:
    """Return the metrics of every finished epoch, by name; empty for a new training.

    Args:
        out: the folder of the training.
        configuration: everything that determines the result of the training.
        resume: whether an interrupted training may be resumed.

    Raises:
        InputError: if the folder belongs to another training, its record is damaged, or it holds an interrupted
            training and `resume` is False.
    """
    path = out / PROGRESS
    if not path.is_file():
        return []
    history = _checked_history(path, refuse_another(path, configuration), configuration["recipe"])
    if not resume:
        done = f"{len(history)} of {configuration['recipe']['epochs']} epochs"
        raise InputError(
            f"{out} holds this training, interrupted after {done}; continue with --resume, or use another --out"
        )
    return history


def best_epoch(history: History) -> int:
    """Return the epoch with the highest validation accuracy, from 1: the later one of equals."""
    return max(range(1, len(history) + 1), key=lambda epoch: (history[epoch - 1]["validation_accuracy"], epoch))


def _checked_history(path: Path, record: dict[str, Any], recipe: dict[str, Any]) -> History:
    history: History = record.get("history", [])
    try:
        convert(history, list[dict[str, _Metric]], "history")
        check_integer("the number of epochs in history", len(history), 1, recipe["epochs"])
        if recipe.get("keep_best") and not all("validation_accuracy" in epoch for epoch in history):
            raise InputError("an epoch has no validation_accuracy")
    except InputError as error:
        raise InputError(f"{path} is damaged ({error}): delete {path.parent} to train again") from None
    return history
