r"""What `tools/fuzz.py` mutates: every kind of file that mnas reads. A new kind is one entry of `SCENARIOS`.

"adb getprop": Scenario(lambda folder: [b"[ro.product.model]: [Pixel 4]\n"], lambda path: parse(path.read_text())),
"""

from __future__ import annotations

import gzip
import io
import json
import math
import re
from collections.abc import Callable
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from mnas.arch.codec import architecture_from_json, architecture_to_dict, format_stage, parse_stages
from mnas.arch.zoo import ZOO
from mnas.devices.benchmark_log import parse_benchmark_log
from mnas.latency.calibration import read_measurements
from mnas.latency.importers import single_path
from mnas.latency.importers.importer import import_table
from mnas.latency.table import Configuration, Entry, LatencyTable, ReportCard
from mnas.profiling.log import ProfileLog
from mnas.search.log import TrialLog
from mnas.search.report import report
from mnas.search.setup import SearchOptions
from mnas.search.study import Study
from mnas.space.files import load_space, tomllib
from mnas.train.tabular import TabularEvaluator
from mnas.trial import Measurement, Trial
from tools.fuzz import Scenario

_SPACES = Path(__file__).parent.parent / "mnas" / "space"
_DEFAULTS = {"r": 1.0, "e": 1.0, "se": 0.0}


# ---- independent readings: what bytes mean, without mnas's own readers ----


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
    return _same(said, understood)


def same_lines(data: bytes, understood: Any) -> bool:
    """The same for JSON lines; only the last one may be torn."""
    whole = data[: data.rfind(b"\n") + 1].splitlines()
    if len(understood) < len(whole):  # a last line of rubbish may have been dropped
        whole = whole[: len(understood)]
    return len(understood) == len(whole) and all(map(same_json, whole, understood))


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
    return all(_same(value, understood[name]) for name, value in said.items()) and _same(*numbers)


def _numbers(stages: list[dict[str, Any]]) -> list[Any]:
    return [{name: list(v) if isinstance(v, list | tuple) else v for name, v in stage.items()} for stage in stages]


# ---- valid inputs ----


def _json(document: Any) -> list[bytes]:
    return [json.dumps(document).encode()]


def _lines(documents: list[Any]) -> list[bytes]:
    return ["".join(json.dumps(document) + "\n" for document in documents).encode()]


def _trials(count: int = 6) -> list[Trial]:
    space, rng = load_space("mnasnet-16"), np.random.default_rng(0)
    found = []
    for number in range(count):
        measured = None if number == 3 else Measurement(0.5 + number / 100, (1.25,), 1000, 10**6)
        reward = None if measured is None else 0.5
        error = "it diverged" if measured is None else None
        found.append(Trial(number, space.sample(rng), measured, reward, (("accuracy", 0.5),), error, 1.5))
    return found


def _table() -> dict[str, Any]:
    space = load_space("nas-bench-macro")
    configuration = Configuration("local", "x86_64", "a CPU", "Linux", "litert", "2.3", "xnnpack", "float32", 1)
    entries = {placed.key: Entry(0.25, 0.01, 5) for placed in space.placed_blocks()[:12]}
    card = ReportCard(40, 0.02, 0.95, 1.0, 0.9, 0.97, 0.01, 0.05)
    return LatencyTable(
        configuration=configuration,
        space=space.name,
        resolution=space.resolution,
        date="2026-01-31",
        method="by arithmetic",
        mnas_version="0.1.0",
        overhead_ms=0.002,
        relative_error=0.02,
        entries=entries,
        report_card=card,
        params_curve=((1e5, 0.9), (1e6, 1.1)),
    ).to_dict()


def _rows(spread: str, tail: str) -> list[bytes]:
    first, second = ("96", "72") if tail else ("3", "3")
    names = [
        "Conv-input:224x224x3-output:112x112x32",
        f"expanded_conv-input:112x112x32-output:56x56x24-expand:{first}-kernel:3-stride:2-idskip:0{tail}",
        f"expanded_conv-input:56x56x24-output:56x56x24-expand:{second}-kernel:5-stride:1-idskip:1{tail}",
        "Conv_1-input:7x7x320-output:7x7x1280",
        "Logits-input:7x7x1280-output:1000" if not tail else "Logits-input:1x1x1280-output:1000",
    ]
    return ["".join(f"{name}:\n  count: 10\n  mean: 1.25\n  {spread}: 0.01\n" for name in names).encode()]


def _study(folder: Path) -> Path:
    """A finished study, once; the file that is mutated is written over afterwards."""
    space = load_space("mnasnet-16")
    if not (folder / "study.json").exists():
        options = SearchOptions(evaluator="tabular:t.json", table=["t.json"], budget_ms=[2.0])
        config = {"space": space.to_dict(), "strategy": {"name": "random"}, "tables": [{"budget_ms": 2.0}], "seed": 0}
        study = Study.create(folder / "study", config, options.to_dict())
        for name in ("trials", "baseline"):
            for trial in _trials():
                study.log(name).append(trial)
        for name in ("best", "baseline_best"):
            (study.folder / f"{name}.json").write_bytes(_winner())
    return folder / "study"


def _winner() -> bytes:
    found = {"accuracy": 0.5, "latency_ms": 1.25, "latencies_ms": [1.25], "params": 1000, "madds": 10**6}
    more = {"number": 2, "reward": 0.5, "trained_longer": False}
    return _json({**found, **more, "architecture": architecture_to_dict(_trials()[2].architecture)})[0]


def _profile_lines() -> list[bytes]:
    times = {"quiet_ms": 1.0, "median_ms": 1.1, "p90_ms": 1.2, "min_ms": 0.9, "median_all_ms": 1.1}
    times |= {"halves_ms": [1.0, 1.01], "num_runs": 48, "num_bursts": 6, "num_quiet": 4, "slowdown": 1.02}
    record = {"seconds": 0.5, "time": {**times, "reference_ms": 0.2}}
    return _lines([{"profile": {"space": "ab"}}, *({"network": number, **record} for number in range(5))])


def _training() -> dict[str, Any]:
    data = {"name": "digits", "seed": 0, "limit": None, "validation_share": 0.15, "fingerprint": "ab"}
    architecture = architecture_to_dict(_trials()[0].architecture)
    names = [str(number) for number in range(architecture["num_classes"])]
    figures = {"test_accuracy": 0.9, "validation_accuracy": 0.9, "history": [{"loss": 1.5}], "train_images": 100}
    configuration = {"architecture": architecture, "data": data, "recipe": {"epochs": 2}, "seed": 0}
    document = {"format": "mnas.training", "version": 1, "configuration": configuration, "class_names": names}
    return {**document, **figures, "made_with": {}}


def _arrays() -> list[bytes]:
    file = io.BytesIO()
    rng = np.random.default_rng(0)
    np.savez(file, **{f"{n:04d}": rng.random((3, n + 1)).astype(np.float32) for n in range(4)})  # type: ignore[arg-type]
    return [file.getvalue()]


def _images() -> list[bytes]:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 255, (12, 10, 3)).astype(np.uint8)
    found = []
    for kind, mode in (("PNG", "RGB"), ("PNG", "P"), ("JPEG", "RGB"), ("GIF", "P"), ("BMP", "RGB"), ("TIFF", "I;16")):
        file = io.BytesIO()
        image = Image.fromarray(pixels.astype(np.uint16)[..., 0] * 200) if mode == "I;16" else None
        (image or Image.fromarray(pixels).convert(mode)).save(file, kind)
        found.append(file.getvalue())
    found.append(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/tmp/outside) (w) file\n")
    return found


def _idx() -> list[bytes]:
    shape = np.array([5, 4, 4], ">u4").tobytes()
    return [gzip.compress(b"\0\0\x08\x03" + shape + bytes(range(80)), mtime=0)]


# ---- readers ----


def _block_strings(path: Path) -> str:
    return "|".join(map(format_stage, parse_stages(path.read_bytes().decode("utf-8", "replace"))))


def _same_blocks(data: bytes, understood: str) -> bool:
    return tokens(data.decode("utf-8", "replace")) == tokens(understood)


def _read_architecture(path: Path) -> Any:
    return architecture_to_dict(architecture_from_json(path.read_bytes().decode("utf-8", "replace")))


def _read_log(path: Path) -> Any:
    return [trial.to_dict() for trial in TrialLog(path).read()]


def _read_study(path: Path) -> Any:
    study = Study.open(path.parent)
    report(study)
    known = {name: value for name, value in study.arguments.items() if name in SearchOptions.__dataclass_fields__}
    options = SearchOptions(**known).to_dict() if known else {}
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


def _same_profile(data: bytes, understood: Any) -> bool:
    lines = data[: data.rfind(b"\n") + 1].splitlines()[1:]
    said = [{k: v for k, v in json.loads(line, object_pairs_hook=_once).items() if k != "seconds"} for line in lines]
    return _same(said, understood)


def _read_training(path: Path) -> Any:
    from mnas.train.trained import open_trained

    return open_trained(path.parent).training


def _read_weights(path: Path) -> Any:
    from mnas.train.trained import read_arrays

    arrays = read_arrays(path)
    return [float(array.sum()) if array.dtype.kind == "f" else 0.0 for array in arrays.values()]


def _finite_sums(data: bytes, understood: list[float]) -> bool:
    return all(map(math.isfinite, understood))


def _read_folder(path: Path) -> Any:
    from mnas.train.folder import load_folder

    images, labels, *_ = load_folder(str(path.parent.parent), 8)
    return images.shape[1:] == (8, 8, 3) and len(images) == len(labels) and images.dtype == np.uint8


def _image_folder(folder: Path) -> list[bytes]:
    seeds = _images()
    for number, name in enumerate(("cat", "cat", "cat", "dog", "dog")):
        (folder / "images" / name).mkdir(parents=True, exist_ok=True)
        (folder / "images" / name / f"{number}.png").write_bytes(seeds[0])
    return seeds


def _read_idx_file(path: Path) -> Any:
    from mnas.train.data import _read_idx

    return _read_idx(path).size


def _read_tabular(path: Path) -> Any:
    evaluator = TabularEvaluator(path)
    return {"format": "mnas.accuracies", "version": 1, "accuracies": evaluator._table}


def _accuracies() -> dict[str, Any]:
    names = ("ds_r1_k3_s1_c16|ir_r2_k3_s2_e6_c24", "ds_r1_k5_s1_c16|ir_r3_k3_s2_e6_c24_se0.25")
    return {"format": "mnas.accuracies", "version": 1, "accuracies": dict.fromkeys(names, 0.5)}


def _macro() -> dict[str, Any]:
    return {f"{n:08d}": {"test_acc": [90, 91, 92], "mean_acc": 91.0 + n / 10, "std": 0.1} for n in (0, 1, 2, 10, 11)}


def _same_macro(data: bytes, understood: Any) -> bool:
    said = json.loads(data, object_pairs_hook=_once)
    if "format" in said:
        return False
    names = sorted(entry["mean_acc"] / 100 for entry in said.values())
    return names == sorted(understood["accuracies"].values())


def _measurements(path: Path) -> Any:
    found = [{"architecture": architecture_to_dict(a), "latency_ms": ms} for a, ms in read_measurements(path)]
    return {"format": "mnas.measurements", "version": 1, "measurements": found}


def _measured() -> dict[str, Any]:
    found = [{"architecture": architecture_to_dict(t.architecture), "latency_ms": 1.5} for t in _trials(3)]
    return {"format": "mnas.measurements", "version": 1, "measurements": found}


def _import(format_name: str) -> Callable[[Path], Any]:
    return lambda path: import_table(path, format_name).to_dict()["entries"]


def _as_many(rows: Callable[[bytes], int]) -> Callable[[bytes, Any], bool]:
    """An imported table has an entry for every row, and every one of its times is in the file."""
    return lambda data, entries: len(entries) == rows(data)


def _space(path: Path) -> Any:
    return load_space(str(path)).to_dict()


def _toml(name: str) -> bytes:
    return (_SPACES / f"{name}.toml").read_bytes()


_SINGLE_PATH = {str(n): {str(c): 0.5 + n / 10 + c for c in range(4)} for n in range(22)}
_BLOCKS = ("ir_r3_k5_s2_e3_c40_se0.25", "ds_r1_k3_s1_c16_noskip|ir_r2_k3_s2_e6_c24_pool", "r3_k5_s22_e3_i24_o40_se0.25")

_BENCHMARK_LOG = b"""STARTING!
Num threads: [1]
Initialized session in 47.967ms
count=10 first=101052 curr=81956 min=79700 max=101052 avg=83496.6 std=5957

count=100 first=80068 curr=81025 min=79589 max=83607 avg=80670.2 std=871

Inference timings in us: Init: 47967, First inference: 101052, Warmup (avg): 83496.6, Inference (avg): 80670.2
Memory footprint delta from the start of the tool (MB): init=12.5 overall=18.25
"""

SCENARIOS: dict[str, Scenario] = {
    "block strings": Scenario(lambda folder: [text.encode() for text in _BLOCKS], _block_strings, _same_blocks),
    "architecture JSON": Scenario(
        lambda folder: [
            json.dumps(architecture_to_dict(ZOO[name])).encode() for name in ("mnasnet-a1", "mobilenet-v2")
        ],
        _read_architecture,
        same_json,
    ),
    "space TOML": Scenario(
        lambda folder: [_toml(name) for name in ("mnasnet-16", "nas-bench-macro")], _space, same_toml, name="space.toml"
    ),
    "latency table": Scenario(
        lambda folder: _json(_table()), lambda path: LatencyTable.load(path).to_dict(), same_table
    ),
    "table of ProxylessNAS": Scenario(
        lambda folder: _rows("var", ""), _import("proxylessnas"), _as_many(lambda data: data.count(b"mean:"))
    ),
    "table of Once-for-All": Scenario(
        lambda folder: _rows("std", "-se:0-hs:1"), _import("once-for-all"), _as_many(lambda data: data.count(b"mean:"))
    ),
    "table of Single-Path NAS": Scenario(
        lambda folder: _json(_SINGLE_PATH),
        lambda path: single_path._rows(path.read_bytes().decode("utf-8", "replace")),
        lambda data, rows: same_json(data, {str(n): {str(c): v for c, v in enumerate(r)} for n, r in enumerate(rows)}),
    ),
    "calibration measurements": Scenario(lambda folder: _json(_measured()), _measurements, same_json),
    "study.json": Scenario(
        lambda folder: [(_study(folder) / "study.json").read_bytes()], _read_study, same_json, name="study/study.json"
    ),
    "study's log": Scenario(lambda folder: _lines([t.to_dict() for t in _trials()]), _read_log, same_lines),
    "study's winner": Scenario(
        lambda folder: [(_study(folder) / "best.json").read_bytes()], _read_best, same_json, name="study/best.json"
    ),
    "profile's log": Scenario(lambda folder: _profile_lines(), _read_profile_log, _same_profile),
    "tabular accuracies": Scenario(lambda folder: _json(_accuracies()), _read_tabular, same_json),
    "NAS-Bench-Macro": Scenario(lambda folder: _json(_macro()), _read_tabular, _same_macro),
    "trained folder's record": Scenario(lambda folder: _json(_training()), _read_training, same_json, "training.json"),
    "trained folder's weights": Scenario(lambda folder: _arrays(), _read_weights, _finite_sums),
    "image folder": Scenario(_image_folder, _read_folder, lambda data, fine: fine, name="images/cat/0.png"),
    "benchmark_model's log": Scenario(
        lambda folder: [_BENCHMARK_LOG], lambda path: asdict(parse_benchmark_log(path.read_text(errors="replace")))
    ),
    "image file (IDX)": Scenario(lambda folder: _idx(), _read_idx_file),
}
