"""Valid inputs of every kind that mnas reads, small: what `python -m tools.fuzz` mutates."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from mnas.arch.codec import architecture_to_dict
from mnas.latency.table import Entry
from mnas.search.options import SearchOptions
from mnas.space.files import load_space, space_to_toml
from mnas.study.study import Study
from mnas.trial import Measurement, Trial
from tests.latency.tables import make_table

TFLITE = b"\0\0\0\0TFL3"
TFLITE_SHA256 = hashlib.sha256(TFLITE).hexdigest()
CONTEST = {"evaluator": "tabular:t.json", "strategies": ["random", "ppo"], "trials": [50], "budget_madds": 1e6}
CONTEST_TOML = b'evaluator = "tabular:t.json"\nstrategies = ["random", "ppo"]\ntrials = [50, 300]\nbudget_madds = 1e6\n'
SINGLE_PATH = {str(n): {str(c): 0.5 + n / 10 + c for c in range(4)} for n in range(22)}
BLOCKS = ("ir_r3_k5_s2_e3_c40_se0.25", "ds_r1_k3_s1_c16_noskip|ir_r2_k3_s2_e6_c24_pool", "r3_k5_s22_e3_i24_o40_se0.25")


def json_bytes(document: Any) -> list[bytes]:
    """One document."""
    return [json.dumps(document).encode()]


def json_lines(documents: list[Any]) -> list[bytes]:
    """Several, one a line."""
    return ["".join(json.dumps(document) + "\n" for document in documents).encode()]


def trials(count: int = 6) -> list[Trial]:
    """Of a search, one of them failed."""
    space, rng = load_space("mnasnet-16"), np.random.default_rng(0)
    found = []
    for number in range(count):
        measured = None if number == 3 else Measurement(0.5 + number / 100, (1.25,), 1000, 10**6)
        reward = None if measured is None else 0.5
        error = "it diverged" if measured is None else None
        found.append(Trial(number, space.sample(rng), measured, reward, (("accuracy", 0.5),), error, 1.5))
    return found


def table() -> dict[str, Any]:
    """A latency table as plain data."""
    space = load_space("nas-bench-macro")
    entries = {placed.key: Entry(0.25, 0.01, 5) for placed in space.placed_blocks()[:12]}
    return make_table(space, entries=entries, params_curve=((1e5, 0.9), (1e6, 1.1))).to_dict()


def table_of_sizes() -> dict[str, Any]:
    """The same for two resolutions, with a report card for each."""
    card = {name: value for name, value in table()["report_card"].items() if name != "pairs_ms"}
    return {**table(), "resolution": 32, "resolutions": [32, 16], "report_cards": {"32": card, "16": card}}


def space_of_sizes() -> bytes:
    """A space of two resolutions as TOML."""
    return space_to_toml(load_space("nas-bench-macro").with_data(resolutions=(32, 64))).encode()


def table_rows(spread: str, tail: str) -> list[bytes]:
    """ProxylessNAS's table, or with a tail Once-for-All's."""
    first, second = ("96", "72") if tail else ("3", "3")
    names = [
        "Conv-input:224x224x3-output:112x112x32",
        f"expanded_conv-input:112x112x32-output:56x56x24-expand:{first}-kernel:3-stride:2-idskip:0{tail}",
        f"expanded_conv-input:56x56x24-output:56x56x24-expand:{second}-kernel:5-stride:1-idskip:1{tail}",
        "Conv_1-input:7x7x320-output:7x7x1280",
        "Logits-input:7x7x1280-output:1000" if not tail else "Logits-input:1x1x1280-output:1000",
    ]
    return ["".join(f"{name}:\n  count: 10\n  mean: 1.25\n  {spread}: 0.01\n" for name in names).encode()]


def study_folder(folder: Path) -> Path:
    """A finished study, once; the file that is mutated is written over afterwards."""
    space = load_space("mnasnet-16")
    if not (folder / "study.json").exists():
        options = SearchOptions(evaluator="tabular:t.json", table=["t.json"], budget_ms=[2.0])
        config = {"space": space.to_dict(), "strategy": {"name": "random"}, "tables": [{"budget_ms": 2.0}], "seed": 0}
        study = Study.create(folder / "study", config, options.to_dict())
        for name in ("trials", "baseline"):
            for trial in trials():
                study.log(name).append(trial)
        for name in ("best", "baseline_best"):
            (study.folder / f"{name}.json").write_bytes(winner())
    return folder / "study"


def winner() -> bytes:
    """What best.json says."""
    found = {"accuracy": 0.5, "latency_ms": 1.25, "latencies_ms": [1.25], "params": 1000, "madds": 10**6}
    more = {"number": 2, "reward": 0.5, "trained_longer": False}
    return json_bytes({**found, **more, "architecture": architecture_to_dict(trials()[2].architecture)})[0]


def profile_lines() -> list[bytes]:
    """The log of an unfinished profile."""
    times = {"quiet_ms": 1.0, "median_ms": 1.1, "p90_ms": 1.2, "min_ms": 0.9, "median_all_ms": 1.1}
    times |= {"halves_ms": [1.0, 1.01], "num_runs": 48, "num_bursts": 6, "num_quiet": 4, "slowdown": 1.02}
    record = {"seconds": 0.5, "time": {**times, "reference_ms": 0.2}}
    return json_lines([{"profile": {"space": "ab"}}, *({"network": number, **record} for number in range(5))])


def training() -> dict[str, Any]:
    """The record of a finished training."""
    data = {"name": "digits", "seed": 0, "limit": None, "validation_share": 0.15, "fingerprint": "ab"}
    architecture = architecture_to_dict(trials()[0].architecture)
    names = [str(number) for number in range(architecture["num_classes"])]
    figures = {"test_accuracy": 0.9, "validation_accuracy": 0.9, "history": [{"loss": 1.5}], "train_images": 100}
    configuration = {"architecture": architecture, "data": data, "recipe": {"epochs": 2}, "seed": 0}
    document = {"format": "mnas.training", "version": 1, "configuration": configuration, "class_names": names}
    return {**document, **figures, "made_with": {}}


def arrays(folder: Path) -> list[bytes]:
    """Files of weights, as they are written and as they were before."""
    from mnas.system.arrays import write_arrays

    rng = np.random.default_rng(0)
    numbers: dict[str, Any] = {f"{n:04d}": rng.random((3, n + 1)).astype(np.float32) for n in range(4)}
    write_arrays(folder / "arrays.safetensors", numbers)
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **numbers)
    return [(folder / "arrays.safetensors").read_bytes(), file.getvalue()]


def images() -> list[bytes]:
    """One of every format, and one that may not be read."""
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


def idx() -> list[bytes]:
    """MNIST's format."""
    shape = np.array([5, 4, 4], ">u4").tobytes()
    return [gzip.compress(b"\0\0\x08\x03" + shape + bytes(range(80)), mtime=0)]


def image_folder(folder: Path) -> list[bytes]:
    """A folder with two classes, whose first image is mutated."""
    seeds = images()
    for number, name in enumerate(("cat", "cat", "cat", "cat", "dog", "dog", "dog")):
        (folder / "images" / name).mkdir(parents=True, exist_ok=True)
        (folder / "images" / name / f"{number}.png").write_bytes(seeds[0])
    return seeds


def accuracies() -> dict[str, Any]:
    """A table of accuracies in mnas's own form."""
    names = ("ds_r1_k3_s1_c16|ir_r2_k3_s2_e6_c24", "ds_r1_k5_s1_c16|ir_r3_k3_s2_e6_c24_se0.25")
    return {"format": "mnas.accuracies", "version": 1, "accuracies": dict.fromkeys(names, 0.5)}


def macro_accuracies() -> dict[str, Any]:
    """NAS-Bench-Macro's."""
    return {f"{n:08d}": {"test_acc": [90, 91, 92], "mean_acc": 91.0 + n / 10, "std": 0.1} for n in (0, 1, 2, 10, 11)}


def measurements() -> dict[str, Any]:
    """Measurements of whole networks."""
    found = [{"architecture": architecture_to_dict(t.architecture), "latency_ms": 1.5} for t in trials(3)]
    return {"format": "mnas.measurements", "version": 1, "measurements": found}


def updates() -> list[dict[str, Any]]:
    """What a controller says of itself."""
    return [{"phase": "trials", "num_trials": 10 * n, "diagnostics": {"entropy": 12.5 / n}} for n in range(1, 4)]


def coefficients() -> dict[str, Any]:
    """What a grid has found."""
    return {"format": "mnas.coefficients", "version": 1, "alpha": 1.2, "beta": 1.1, "gamma": 1.15, "found": {}}


def progress() -> dict[str, Any]:
    """The record of a training that was interrupted."""
    said = training()
    return {"configuration": {**said["configuration"], "recipe": {"epochs": 5}}, "history": [{"loss": 1.5}] * 2}


def description() -> dict[str, Any]:
    """What is written beside a `.tflite` file."""
    architecture = architecture_to_dict(trials()[0].architecture)
    return {
        "format": "mnas.tflite",
        "version": 1,
        "sha256": TFLITE_SHA256,
        "dtype": "int8",
        "architecture": architecture,
    }


def bench() -> dict[str, Any]:
    """What `mnas bench --json` says, in part."""
    return {"file": "models/winner.tflite", "quiet_ms": 0.5, "median_ms": 0.55, "predicted_ms": 0.52}
