"""What `tools.soak` kills: searches with a supernet, trainings, exports. TensorFlow starts in the killed process."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mnas.evaluators.base import Evaluator
from mnas.search.run import run_search
from mnas.study.study import Study
from mnas.system.files import is_leftover, read_json
from tests.spaces import small_space
from tools.soak.kind import Kind, note
from tools.soak.searches import finished_trials, found_trials

_TINY = """
name = "tiny"
resolution = 8
num_classes = 10
stem_filters = 8
stem_stride = 1
head_filters = 16

[[stages]]
op = ["sepconv", "mbconv3"]
kernel_size = [3, 5]
se_ratio = [0]
skip = ["identity"]
filters = [8, 12]
repeats = [1, 2]
stride = 1
"""
_SUPERNET: dict[str, Any] = {
    "evaluator": "supernet",
    "data": "digits",
    "limit": 300,
    "supernet_steps": 16,
    "supernet_batch": 16,
    "trials": 8,
    "batch": 4,
    "finalists": 1,
    "final_steps": 2,
    "proxy_batch": 16,
    "retrain_seeds": 0,
}


class _Noting(Evaluator):
    """Another evaluator; notes every evaluation."""

    def __init__(self, inner: Evaluator, folder: Path, name: str) -> None:
        self.inner, self.folder, self.name = inner, folder, name

    def accuracy(self, architecture: Any) -> float:
        note(self.folder, f"{self.name} {architecture.stages}")
        return self.inner.accuracy(architecture)

    def describe(self) -> dict[str, Any]:
        return self.inner.describe()


def supernet_kind(strategy: str) -> Kind:
    """A search as the command line makes it, its supernet's checkpoint written after every step of the training."""

    def work(folder: Path) -> None:
        from mnas.oneshot import evaluator
        from mnas.oneshot.trainer import SupernetTrainer
        from mnas.search.build import prepare
        from mnas.search.options import SearchOptions

        advance = SupernetTrainer.advance

        def noted(trainer: Any) -> float:
            note(folder, f"step {trainer.step}")
            return advance(trainer)

        evaluator.SAVE_SECONDS, SupernetTrainer.advance = 0.0, noted
        (folder / "tiny.toml").write_text(_TINY, encoding="utf-8")
        options = SearchOptions(space=str(folder / "tiny.toml"), strategy=strategy, **_SUPERNET)
        prepared = prepare(options, folder / "study")
        study = Study.resume(folder / "study", prepared.config, options.to_dict())
        found = prepared.search
        noting = {
            "objective": replace(found.objective, evaluator=_Noting(found.objective.evaluator, folder, "trials")),
            "finals": replace(found.finals, evaluator=_Noting(found.finals.evaluator, folder, "finalists")),
        }
        found.objective.evaluator.prepare()
        run_search(study, replace(found, **noting))

    def end(folder: Path) -> Any:
        names = sorted(path.name for path in (folder / "study").iterdir() if not is_leftover(path))
        return (
            found_trials(folder),
            hashlib.sha256((folder / "study/supernet.safetensors").read_bytes()).hexdigest(),
            names,
        )

    def finished(folder: Path) -> set[str]:
        from mnas.system.arrays import read_arrays

        path = folder / "study" / "supernet.safetensors"
        steps = int(read_arrays(path)["step"]) if path.exists() else 0
        return {f"step {number}" for number in range(steps)} | finished_trials(folder)

    return Kind(work, end, finished)


def train_kind() -> Kind:
    """A training of three epochs."""

    def work(folder: Path) -> None:
        from mnas.data.dataset import DataSource
        from mnas.train.recipe import recipe_for
        from mnas.train.trainer import train_network

        architecture = small_space().decode([0] * len(small_space().decisions))
        source = DataSource("digits", limit=400)
        recipe = recipe_for("digits", epochs=4, batch_size=32)
        seen: list[int] = []

        def progress(state: Any) -> None:
            if state.epoch_ended is None and state.epoch not in seen:
                seen.append(state.epoch)
                note(folder, f"epoch {state.epoch}")

        train_network(architecture, source, folder / "out", recipe=recipe, resume=True, progress=progress)

    def end(folder: Path) -> Any:
        record = read_json(folder / "out" / "training.json", "a record")
        for epoch in record["history"]:
            epoch.pop("seconds")
        weights = hashlib.sha256((folder / "out" / "weights.safetensors").read_bytes()).hexdigest()
        return record, weights, sorted(path.name for path in (folder / "out").iterdir())

    def finished(folder: Path) -> set[str]:
        path = folder / "out" / "progress.json"
        count = len(read_json(path, "progress")["history"]) if path.exists() else 0
        return {f"epoch {number}" for number in range(1, count + 1)}

    return Kind(work, end, finished)


def export_kind() -> Kind:
    """A conversion to TFLite with its check."""

    def work(folder: Path) -> None:
        from mnas.export.pipeline import export_model
        from mnas.nn.build import build_model

        architecture = small_space().decode([0] * len(small_space().decisions))
        images = np.random.default_rng(0).uniform(-1, 1, (32, architecture.resolution, architecture.resolution, 3))
        model = build_model(architecture, probabilities=True, seed=0)
        batches = [(images.astype(np.float32), None)]
        export_model(model, architecture, folder / "net.tflite", batches=batches, trained=False)

    def end(folder: Path) -> Any:
        content = (folder / "net.tflite").read_bytes()
        return (
            hashlib.sha256(content).hexdigest(),
            (folder / "net.json").read_text(encoding="utf-8"),
            sorted(path.name for path in folder.iterdir()),
        )

    return Kind(work, end, lambda folder: set())
