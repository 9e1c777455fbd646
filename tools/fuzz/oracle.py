"""What bytes mean, read without mnas's own readers: what `python -m tools.fuzz` holds the readers against."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any

from mnas.latency.table import FLOAT_REFERENCE, Configuration, Entry, LatencyTable
from mnas.space.files import tomllib

_DEFAULTS = {"r": 1.0, "e": 1.0, "se": 0.0}


def same_json(data: bytes, understood: Any) -> bool:
    """Whether what was read is the document, by Python's own JSON and without names that are there twice."""
    try:
        return _same(json.loads(data.decode("utf-8"), object_pairs_hook=_once), understood)
    except (ValueError, RecursionError):
        return False


def same_table(data: bytes, understood: dict[str, Any]) -> bool:
    """The same for a latency table, whose optional fields may be left out."""
    try:
        said = json.loads(data.decode("utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return False
    pairs = [(said, understood, LatencyTable), (said["configuration"], understood["configuration"], Configuration)]
    pairs += [(said["entries"].get(key, {}), entry, Entry) for key, entry in understood["entries"].items()]
    for document, _, kind in pairs:
        for each in fields(kind):
            if each.name not in document and each.default is not MISSING:
                document[each.name] = each.default
    for name, usual in (("resolutions", ()), ("report_cards", {}), ("reference", FLOAT_REFERENCE)):
        if not said.get(name) or said[name] == usual:  # not written then
            said.pop(name, None)
    return _same(said, understood)


def same_lines(data: bytes, understood: Any, same: Callable[[bytes, Any], bool] = same_json) -> bool:
    """The same for JSON lines; only the last one may be torn."""
    whole = data[: data.rfind(b"\n") + 1].splitlines()
    if len(understood) < len(whole):  # a last line of rubbish may have been dropped
        whole = whole[: len(understood)]
    return len(understood) == len(whole) and all(map(same, whole, understood))


def same_trials(data: bytes, understood: Any) -> bool:
    """The same for a log of trials, whose measurements may leave out the rungs that a training without any has not."""
    return same_lines(data, understood, _same_trial)


def _same_trial(line: bytes, understood: Any) -> bool:
    try:
        said = json.loads(line.decode("utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return False
    if isinstance(said.get("measurement"), dict):
        said["measurement"].setdefault("rungs", [])
    return _same(said, understood)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("twice")
    return dict(pairs)


def _same(said: Any, understood: Any) -> bool:
    if isinstance(said, str) and isinstance(understood, str):
        return said == understood or tokens(said) == tokens(understood) != []
    if isinstance(said, bool) or isinstance(understood, bool) or said is None or understood is None:
        return said is understood
    if isinstance(said, dict) and isinstance(understood, dict):
        return set(said) == set(understood) and all(_same(said[name], understood[name]) for name in said)
    if isinstance(said, list | tuple) and isinstance(understood, list | tuple):
        return len(said) == len(understood) and all(map(_same, said, understood))
    return type(said) in (int, float) and type(understood) in (int, float) and said == understood


def tokens(text: str) -> list[dict[str, Any]]:
    """Block strings taken apart by hand: letters and numbers, whatever their order and spelling; [] for other text."""
    found = []
    for stage in text.split("|"):
        op, *words = stage.strip().split("_")
        if op[:1] == "r":  # MnasNet's form
            op, words = "", [op, *words]
        one: dict[str, Any] = {**_DEFAULTS, "skip": {"": "skip", "ds": "skip", "ir": "skip"}.get(op, "noskip")}
        for word in words:
            match = re.fullmatch(r"([a-z]+)([0-9.]*)", word, re.ASCII)
            if match is None:
                return []
            if not match[2]:
                one["skip"] = word
            elif match[1] != "i":
                number = match[2] if match[1] != "s" or op else match[2][:1]
                one["c" if match[1] == "o" else match[1]] = float(number)
        # A sepconv is an mbconv that does not expand: told apart by e alone. MnasNet's default skip is an identity.
        one["op"] = "mb" if op in ("", "ds", "ir") else op
        found.append(one)
    return found


def same_toml(data: bytes, understood: dict[str, Any]) -> bool:
    """Whether a space is what the TOML file says, its shared choices put into every stage."""
    said = tomllib.loads(data.decode("utf-8"))
    shared = said.pop("choices", {})
    stages = [stage if "blocks" in stage else {**shared, **stage} for stage in said.pop("stages")]
    numbers = (_numbers(stages), _numbers(understood["stages"]))
    if sizes := sorted(said.pop("resolutions", []), reverse=True):
        said["resolution"] = sizes[0]
        if sizes != understood.get("resolutions", sizes[:1]):
            return False
    return all(_same(value, understood[name]) for name, value in said.items()) and _same(*numbers)


def _numbers(stages: list[dict[str, Any]]) -> list[Any]:
    return [{name: list(v) if isinstance(v, list | tuple) else v for name, v in stage.items()} for stage in stages]


def same_blocks(data: bytes, understood: str) -> bool:
    """Whether a block string still says the same after it was read and written."""
    return tokens(data.decode("utf-8", "replace")) == tokens(understood)


def same_profile(data: bytes, understood: Any) -> bool:
    """The same for the lines of a profile's log behind the first, without how long they took."""
    lines = data[: data.rfind(b"\n") + 1].splitlines()[1:]
    said = [{k: v for k, v in json.loads(line, object_pairs_hook=_once).items() if k != "seconds"} for line in lines]
    return _same(said, understood)


def finite_sums(data: bytes, understood: list[float]) -> bool:
    """Whether no array holds what is no number."""
    return all(map(math.isfinite, understood))


def same_macro(data: bytes, understood: list[float]) -> bool:
    """Whether the accuracies are those of NAS-Bench-Macro's file."""
    said = json.loads(data, object_pairs_hook=_once)
    return "format" not in said and understood == [entry["mean_acc"] / 100 for entry in said.values()]


def same_single_path(data: bytes, understood: dict[str, dict[str, Any]]) -> bool:
    """Whether Single-Path NAS's times are the file's: of each stage the first block, and the mean of the others."""
    said = json.loads(data, object_pairs_hook=_once)
    first, rest = ([[1], [5], [9], [13], [17]], [[2, 3, 4], [6, 7, 8], [10, 11, 12], [14, 15, 16], [18, 19, 20]])
    times = [[said[str(block)][choice] for block in blocks] for choice in "0123" for blocks in (*first, *rest)]
    means = sorted(math.fsum(own) / len(own) for own in times)
    return means == sorted(entry["latency_ms"] for entry in understood.values() if entry["source"] == "imported")


def as_many(rows: Callable[[bytes], int]) -> Callable[[bytes, Any], bool]:
    """An imported table has an entry for every row, and every one of its times is in the file."""
    return lambda data, entries: len(entries) == rows(data)


def same_coefficients(data: bytes, understood: dict[str, float]) -> bool:
    """Whether the three numbers are the file's; how they were found is for people."""
    said = json.loads(data, object_pairs_hook=_once)
    return _same({name: said[name] for name in understood}, understood)


def sound_updates(data: bytes, understood: list[dict[str, Any]]) -> bool:
    """Whether what is plotted are lines of the file, and numbers; lines that say nothing are left out."""
    numbers = [value for update in understood for value in update["diagnostics"].values()]
    return len(understood) <= data.count(b"\n") and all(map(math.isfinite, numbers))
