"""Unfinished work and what stands beside it, for `tools.fuzz`: trainings, grids, descriptions, options."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from mnas.arch.spec import Architecture
from mnas.errors import MnasError
from mnas.experiments.comparison_options import read_options
from mnas.report.facts import load_report_data
from mnas.scaling.coefficients import different
from mnas.scaling.compound import Coefficients
from mnas.scaling.family import read_family
from mnas.scaling.grid_search import run_grid
from mnas.space.files import load_space, tomllib
from mnas.study.study import Study
from mnas.system.files import read_json
from mnas.tflite.description import check_description
from tools.fuzz import valid_inputs as valid
from tools.fuzz.oracle import same_json
from tools.fuzz.scenario import Scenario

_PATHS = ("space", "table", "evaluator", "data")  # a comparison's, which are read as seen from its file's folder

_NEW = 0.123456789  # the accuracy of what is evaluated once the work has been resumed


def _read_progress(path: Path) -> Any:
    from mnas.train.history import read_progress

    return read_progress(path.parent, valid.progress()["configuration"], resume=True)


class _Outcomes:
    """Evaluations that give one accuracy after the other, fail for None, and interrupt the work at the end."""

    def __init__(self, *accuracies: float | None) -> None:
        self._left = iter(accuracies)

    def accuracy(self, architecture: Architecture) -> float:
        """The next one."""
        try:
            accuracy = next(self._left)
        except StopIteration:
            raise KeyboardInterrupt from None
        if accuracy is None:
            raise MnasError("it diverged")
        return accuracy

    def describe(self) -> dict[str, Any]:
        """What the unfinished work says of its evaluator."""
        return {"kind": "proxy"}


def _predict(path: Path, *accuracies: float | None) -> list[dict[str, Any]]:
    """What a predictor keeps once it has judged further samples and is interrupted."""
    from mnas.evaluators.predictor import PredictorEvaluator, PredictorRecipe

    inner: Any = _Outcomes(*accuracies)
    with suppress(KeyboardInterrupt):
        PredictorEvaluator(load_space("mnasnet-16"), inner, PredictorRecipe(), file=path).prepare()
    samples: list[dict[str, Any]] = json.loads(path.read_bytes())["samples"]
    return samples


def _samples(folder: Path) -> list[bytes]:
    path = folder / "predictor.json"
    _predict(path, 0.5, None, 0.75)
    return [path.read_bytes()]


@cache
def _grid_networks() -> tuple[Architecture, dict[Architecture, Coefficients]]:
    space = load_space("mnasnet-16")
    base = space.decode([0] * len(space.decisions))
    return base, different(base, [Coefficients(1, 1, 1 + number / 5) for number in range(1, 6)])


def _search_grid(path: Path, *accuracies: float | None) -> dict[str, Any]:
    """What a grid keeps once it has evaluated further networks and is interrupted; without the new ones."""
    base, networks = _grid_networks()
    outcomes = _Outcomes(*accuracies)
    with suppress(KeyboardInterrupt):
        run_grid(base, networks, outcomes.accuracy, outcomes.describe(), path.with_suffix(""))
    found: dict[str, Any] = json.loads(path.read_bytes())["found"]
    return {name: one for name, one in found.items() if one != {"accuracy": _NEW}}


def _grid(folder: Path) -> list[bytes]:
    path = folder / "coefficients.json.partial"
    _search_grid(path, 0.5, None)
    return [path.read_bytes()]


def _of(name: str) -> Callable[[bytes, Any], bool]:
    """Compares what was read with one field of the document; the others say that it is of this very work."""
    return lambda data, understood: same_json(json.dumps(json.loads(data)[name]).encode(), understood)


def _read_description(path: Path) -> Any:
    from mnas.study.references import resolve_architecture

    description = read_json(path, "the description of a network")
    if isinstance(description, dict):
        check_description(description, path.with_suffix(".tflite"), valid.TFLITE)
    resolve_architecture(str(path))


def _read_contest(path: Path) -> Any:
    return asdict(read_options(path, {}))


def _same_contest(load: Callable[[str], Any]) -> Callable[[bytes, Any], bool]:
    def same(data: bytes, understood: dict[str, Any]) -> bool:
        said = {name: value for name, value in load(data.decode("utf-8")).items() if name not in _PATHS}
        return same_json(json.dumps(said).encode(), {name: understood[name] for name in said})

    return same


def _read_bench(path: Path) -> Any:
    return [
        [bench.quiet_ms, bench.median_ms, bench.ratio] for bench in load_report_data(Study.open(path.parent)).benches
    ]


def _bench(folder: Path) -> list[bytes]:
    valid.study_folder(folder)
    return valid.json_bytes(valid.bench())


def _read_family(path: Path) -> Any:
    return [[member.params, member.madds, member.accuracy] for member in read_family(path.parent.parent, None)]


WORK: dict[str, Scenario] = {
    "training under way": Scenario(
        lambda folder: valid.json_bytes(valid.progress()), _read_progress, _of("history"), "progress.json"
    ),
    "predictor's samples": Scenario(_samples, lambda path: _predict(path, _NEW)[:-1], _of("samples"), "predictor.json"),
    "grid under way": Scenario(_grid, lambda path: _search_grid(path, _NEW), _of("found"), "coefficients.json.partial"),
    "description of a file": Scenario(
        lambda folder: valid.json_bytes(valid.description()), _read_description, name="network.json"
    ),
    "comparison (JSON)": Scenario(
        lambda folder: valid.json_bytes(valid.CONTEST), _read_contest, _same_contest(json.loads), "contest.json"
    ),
    "comparison (TOML)": Scenario(
        lambda folder: [valid.CONTEST_TOML], _read_contest, _same_contest(tomllib.loads), "contest.toml"
    ),
    "bench in a report": Scenario(_bench, _read_bench, name="study/bench.json"),
    "family in a report": Scenario(
        lambda folder: valid.json_bytes(valid.description()), _read_family, name="family/0.json"
    ),
}
