"""Unfinished work and what stands beside it, for `tools.fuzz`: trainings, grids, descriptions, options."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mnas.report.facts import _benches
from mnas.report.family import read_family
from mnas.search import grid
from mnas.search.contest_options import read_options
from mnas.space.files import load_space, tomllib
from tools.fuzz import valid_inputs as valid
from tools.fuzz.oracle import same_json
from tools.fuzz.scenario import Scenario

_PATHS = ("space", "table", "evaluator", "data")  # a comparison's, which are read as seen from its file's folder


def _read_progress(path: Path) -> Any:
    from mnas.train.fit import _read_progress

    return _read_progress(path.parent, valid.progress()["configuration"], resume=True)


def _predictor(path: Path) -> Any:
    from mnas.train.predictor import PredictorEvaluator, PredictorRecipe

    inner: Any = SimpleNamespace(describe=lambda: {"kind": "proxy"})
    return PredictorEvaluator(load_space("mnasnet-16"), inner, PredictorRecipe(), file=path)


def _samples(folder: Path) -> list[bytes]:
    """What a predictor keeps while it judges its samples."""
    evaluator = _predictor(folder / "predictor.json")
    most = [len(decision.choices) - 1 for decision in evaluator.space.decisions]
    evaluator._write([(tuple(most), 0.5), (tuple(0 for _ in most), None), (tuple(n // 2 for n in most), 0.75)])
    return [(folder / "predictor.json").read_bytes()]


def _read_samples(path: Path) -> Any:
    return [{"indices": list(indices), "accuracy": accuracy} for indices, accuracy in _predictor(path)._read()]


def _of(name: str) -> Callable[[bytes, Any], bool]:
    """Compares what was read with one field of the document; the others say that it is of this very work."""
    return lambda data, understood: same_json(json.dumps(json.loads(data)[name]).encode(), understood)


def _read_description(path: Path) -> Any:
    from mnas.cli.bench import _described_dtype
    from mnas.cli.common import resolve_architecture

    _described_dtype(path, path.with_suffix(".tflite"), valid.TFLITE)
    resolve_architecture(str(path))


def _read_contest(path: Path) -> Any:
    return asdict(read_options(path, {}))


def _same_contest(load: Callable[[str], Any]) -> Callable[[bytes, Any], bool]:
    def same(data: bytes, understood: dict[str, Any]) -> bool:
        said = {name: value for name, value in load(data.decode("utf-8")).items() if name not in _PATHS}
        return same_json(json.dumps(said).encode(), {name: understood[name] for name in said})

    return same


def _read_bench(path: Path) -> Any:
    study: Any = SimpleNamespace(folder=path.parent)
    return [[bench.quiet_ms, bench.median_ms, bench.ratio] for bench in _benches(study)]


def _read_family(path: Path) -> Any:
    return [[member.params, member.madds, member.accuracy] for member in read_family(path.parent.parent, None)]


WORK: dict[str, Scenario] = {
    "training under way": Scenario(
        lambda folder: valid.json_bytes(valid.progress()), _read_progress, _of("history"), "progress.json"
    ),
    "predictor's samples": Scenario(_samples, _read_samples, _of("samples"), "predictor.json"),
    "grid under way": Scenario(
        lambda folder: valid.json_bytes(valid.grid()), lambda path: grid._read(path, valid.GRID), _of("found")
    ),
    "description of a file": Scenario(
        lambda folder: valid.json_bytes(valid.description()), _read_description, name="network.json"
    ),
    "comparison (JSON)": Scenario(
        lambda folder: valid.json_bytes(valid.CONTEST), _read_contest, _same_contest(json.loads), "contest.json"
    ),
    "comparison (TOML)": Scenario(
        lambda folder: [valid.CONTEST_TOML], _read_contest, _same_contest(tomllib.loads), "contest.toml"
    ),
    "bench in a report": Scenario(lambda folder: valid.json_bytes(valid.bench()), _read_bench, name="bench.json"),
    "family in a report": Scenario(
        lambda folder: valid.json_bytes(valid.description()), _read_family, name="family/0.json"
    ),
}
