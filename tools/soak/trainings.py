"""What `tools.soak` kills: trainings, exports. TensorFlow starts in the killed process."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from mnas.system.files import read_json
from tests.spaces import small_space
from tools.soak.kind import Kind, note


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
