r"""What `python -m tools.fuzz` mutates: every kind of file that mnas reads. A new kind is one entry of `SCENARIOS`.

"coefficients": Scenario(lambda folder: [b'{"alpha": 1.2}'], lambda path: asdict(read_coefficients(str(path)))),
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs

from mnas.arch.codec import architecture_from_json, architecture_to_dict, format_stage, parse_stages
from mnas.arch.spec import Architecture
from mnas.arch.zoo import ZOO
from mnas.evaluators.tabular import TabularEvaluator
from mnas.latency.calibration import read_measurements
from mnas.latency.importers.importer import import_table
from mnas.latency.table import LatencyTable
from mnas.profiling.log import ProfileLog
from mnas.scaling.coefficients import read_coefficients
from mnas.search.options import SearchOptions
from mnas.space.files import load_space
from mnas.study.diagnostics_log import UpdateLog
from mnas.study.study import Study
from mnas.study.summary import report
from mnas.study.trial_log import TrialLog
from tools.fuzz import valid_inputs as valid
from tools.fuzz.devices import DEVICES
from tools.fuzz.folders import FOLDERS
from tools.fuzz.oracle import (
    as_many,
    finite_sums,
    same_blocks,
    same_coefficients,
    same_json,
    same_macro,
    same_profile,
    same_single_path,
    same_table,
    same_toml,
    same_trials,
    sound_updates,
)
from tools.fuzz.scenario import Scenario
from tools.fuzz.unfinished_work import WORK

_SPACES = Path(__file__).parents[2] / "mnas" / "space"


def _block_strings(path: Path) -> str:
    return "|".join(map(format_stage, parse_stages(path.read_bytes().decode("utf-8", "replace"))))


def _read_architecture(path: Path) -> Any:
    return architecture_to_dict(architecture_from_json(path.read_bytes().decode("utf-8", "replace")))


def _read_log(path: Path) -> Any:
    return [trial.to_dict() for trial in TrialLog(path).read()]


def _read_study(path: Path) -> Any:
    study = Study.open(path.parent)
    report(study)
    options = SearchOptions.from_dict(study.arguments).to_dict() if study.arguments else {}
    said = {name: options.get(name, value) for name, value in study.arguments.items()}
    return {
        "format": "mnas.study",
        "version": 1,
        "config": study.config,
        "arguments": said,
        "made_with": study.made_with,
    }


def _read_best(path: Path) -> Any:
    study = Study.open(path.parent)
    report(study)
    return study.best()


def _read_profile_log(path: Path) -> Any:
    log = ProfileLog(path, {"space": "ab"})
    return [{"network": number, "time": asdict(time)} for number, time in log.times.items()]


def _read_training(path: Path) -> Any:
    from mnas.train.trained_network import open_trained

    return open_trained(path.parent).training


def _read_weights(path: Path) -> Any:
    from mnas.system.arrays import read_arrays

    arrays = read_arrays(path)
    return [float(array.sum()) if array.dtype.kind == "f" else 0.0 for array in arrays.values()]


def _read_folder(path: Path) -> Any:
    from mnas.data.dataset import load_dataset

    split = load_dataset(str(path.parent.parent), resolution=8).train
    return split.images.shape[1:] == (8, 8, 3) and len(split.images) == len(split) and split.images.dtype == np.uint8


def _read_idx_file(path: Path) -> Any:
    from mnas.data.dataset import read_idx

    return read_idx(path).size


def _read_tabular(path: Path) -> Any:
    evaluator = TabularEvaluator(path)
    names = json.loads(path.read_bytes()).get("accuracies", {})
    found = {name: evaluator.accuracy(Architecture(parse_stages(name))) for name in names}
    return {"format": "mnas.accuracies", "version": 1, "accuracies": found}


def _read_macro(path: Path) -> list[float]:
    evaluator, space = TabularEvaluator(path), load_space("nas-bench-macro")
    return [evaluator.accuracy(space.decode([int(digit) for digit in name])) for name in json.loads(path.read_bytes())]


def _measurements(path: Path) -> Any:
    found = [{"architecture": architecture_to_dict(a), "latency_ms": ms} for a, ms in read_measurements(path)]
    return {"format": "mnas.measurements", "version": 1, "measurements": found}


def _import(format_name: str) -> Callable[[Path], Any]:
    return lambda path: import_table(path, format_name).to_dict()["entries"]


def _read_updates(path: Path) -> Any:
    return [structs.asdict(update) for update in UpdateLog(path).read()]


def _space(path: Path) -> Any:
    return load_space(str(path)).to_dict()


def _toml(name: str) -> bytes:
    return (_SPACES / f"{name}.toml").read_bytes()


SCENARIOS: dict[str, Scenario] = {
    "block strings": Scenario(lambda folder: [text.encode() for text in valid.BLOCKS], _block_strings, same_blocks),
    "architecture JSON": Scenario(
        lambda folder: [
            json.dumps(architecture_to_dict(ZOO[name])).encode() for name in ("mnasnet-a1", "mobilenet-v2")
        ],
        _read_architecture,
        same_json,
    ),
    "space TOML": Scenario(
        lambda folder: [*map(_toml, ("mnasnet-16", "nas-bench-macro")), valid.space_of_sizes()],
        _space,
        same_toml,
        name="space.toml",
    ),
    "latency table": Scenario(
        lambda folder: [*valid.json_bytes(valid.table()), *valid.json_bytes(valid.table_of_sizes())],
        lambda path: LatencyTable.load(path).to_dict(),
        same_table,
    ),
    "table of ProxylessNAS": Scenario(
        lambda folder: valid.table_rows("var", ""), _import("proxylessnas"), as_many(lambda data: data.count(b"mean:"))
    ),
    "table of Once-for-All": Scenario(
        lambda folder: valid.table_rows("std", "-se:0-hs:1"),
        _import("once-for-all"),
        as_many(lambda data: data.count(b"mean:")),
    ),
    "table of Single-Path NAS": Scenario(
        lambda folder: valid.json_bytes(valid.SINGLE_PATH),
        _import("single-path"),
        same_single_path,
    ),
    "calibration measurements": Scenario(
        lambda folder: valid.json_bytes(valid.measurements()), _measurements, same_json
    ),
    "study.json": Scenario(
        lambda folder: [(valid.study_folder(folder) / "study.json").read_bytes()],
        _read_study,
        same_json,
        name="study/study.json",
    ),
    "study's log": Scenario(
        lambda folder: valid.json_lines([t.to_dict() for t in valid.trials()]), _read_log, same_trials
    ),
    "study's winner": Scenario(
        lambda folder: [(valid.study_folder(folder) / "best.json").read_bytes()],
        _read_best,
        same_json,
        name="study/best.json",
    ),
    "profile's log": Scenario(lambda folder: valid.profile_lines(), _read_profile_log, same_profile),
    "tabular accuracies": Scenario(lambda folder: valid.json_bytes(valid.accuracies()), _read_tabular, same_json),
    "NAS-Bench-Macro": Scenario(lambda folder: valid.json_bytes(valid.macro_accuracies()), _read_macro, same_macro),
    "trained folder's record": Scenario(
        lambda folder: valid.json_bytes(valid.training()), _read_training, same_json, "training.json"
    ),
    "trained folder's weights": Scenario(valid.arrays, _read_weights, finite_sums),
    "what a strategy said": Scenario(
        lambda folder: valid.json_lines(valid.updates()), _read_updates, sound_updates, name="updates.jsonl"
    ),
    "coefficients of scaling": Scenario(
        lambda folder: valid.json_bytes(valid.coefficients()),
        lambda path: asdict(read_coefficients(str(path))),
        same_coefficients,
    ),
    "image folder": Scenario(valid.image_folder, _read_folder, lambda data, fine: fine, name="images/cat/0.png"),
    "image file (IDX)": Scenario(lambda folder: valid.idx(), _read_idx_file),
    **FOLDERS,
    **WORK,
    **DEVICES,
}
