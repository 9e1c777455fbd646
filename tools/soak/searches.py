"""What `python -m tools.soak` kills: searches and profiles. The rest is in tools/soak/trainings.py."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from mnas.arch.complexity import complexity
from mnas.evaluators.base import Evaluator
from mnas.reward import make_reward
from mnas.scaling.coefficients import different, grid
from mnas.scaling.grid_search import run_grid
from mnas.search.executors.process_pool import ProcessExecutor
from mnas.search.executors.worker import Job
from mnas.search.objective import Objective
from mnas.search.run import Search, run_search
from mnas.space.space import SearchSpace
from mnas.strategies.registry import make_strategy
from mnas.study.study import LOGS, Study
from mnas.study.trial_log import TrialLog
from mnas.system.files import read_json, write_json
from tests.spaces import separable, small_space
from tools.soak.kind import Kind, note


class SlowEvaluator(Evaluator):
    """Separable accuracies, a few milliseconds each; notes every evaluation."""

    def __init__(self, folder: Path, space: SearchSpace, name: str, bonus: float) -> None:
        self.folder, self.name, self.bonus, self.function = folder, name, bonus, separable(space)

    def accuracy(self, architecture: Any) -> float:
        """Of the separable function, scaled, and a bonus."""
        note(self.folder, f"{self.name} {architecture.stages}")
        time.sleep(0.004)
        return 0.9 * self.function(architecture) + self.bonus

    def describe(self) -> dict[str, Any]:
        """The name alone."""
        return {"name": self.name}


def make_objectives(arguments: dict[str, Any]) -> tuple[dict[str, Objective], Any]:
    """Those of the search and of its finalists; workers make them too."""
    folder, space, reward = Path(arguments["folder"]), small_space(), make_reward("absolute")
    slow = {"search": ("trials", 0.0), "finals": ("finalists", 0.05)}
    return {name: Objective(SlowEvaluator(folder, space, *how), reward) for name, how in slow.items()}, "soak"


def search_kind(strategy: str, *, workers: int = 0) -> Kind:
    """A search with finalists and its random baseline, in this process or with workers."""

    def work(folder: Path) -> None:
        space = small_space()
        config = {"space": space.to_dict(), "strategy": {"name": strategy}, "seed": 0}
        study = Study.resume(folder / "study", config)
        objectives, fingerprint = make_objectives({"folder": str(folder)})
        search = Search(
            make_strategy(strategy, space, seed=1),
            objectives["search"],
            60,
            10,
            None if strategy == "random" else make_strategy("random", space, seed=1),
            objectives["finals"],
            num_finalists=3,
        )
        if not workers:
            run_search(study, search)
            return
        job = Job("tools.soak.searches:make_objectives", {"folder": str(folder)}, fingerprint)
        with ProcessExecutor(job, objectives, num_workers=workers) as executor:
            run_search(study, search, executor=executor)

    return Kind(work, found_trials, finished_trials)


def found_trials(folder: Path) -> Any:
    """All trials of a study, without times, and its winner."""
    study = Study.open(folder / "study")
    logs = [sorted(study.log(name).read(), key=lambda trial: trial.number) for name in LOGS]
    return [[_timeless(trial.to_dict()) for trial in log] for log in logs], study.best()


def finished_trials(folder: Path) -> set[str]:
    """What is in a study's logs, as it is noted when it is begun."""
    found = set()
    for name in LOGS:
        kind = "finalists" if name.endswith("finalists") else "trials"
        log = folder / "study" / f"{name}.jsonl"
        found |= {f"{kind} {t.architecture.stages}" for t in TrialLog(log).read()} if log.exists() else set()
    return found


def _timeless(plain: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in plain.items() if name != "seconds"}


def profile_kind() -> Kind:
    """A profile on a device that works by arithmetic, so that its table can be compared to the last bit."""
    from mnas.profiling import collect
    from mnas.profiling.profile import ProfileOptions, profile
    from tests.profiling.fakes import FakeDevice

    collect.LEAST = collect.MOST = 24
    FakeDevice.pace = replace(FakeDevice.pace, wave_networks=6)  # so that a life may begin with some of them measured
    write = collect.write_random_model

    def work(folder: Path) -> None:
        def noted(architecture: Any, *, dtype: str, seed: int) -> bytes:
            note(folder, f"network {seed}")
            return write(architecture, dtype=dtype, seed=seed)

        collect.write_random_model = noted
        device = FakeDevice(noise=0.0)
        if (folder / "table.json").exists():  # killed before it could say that it was done
            return
        # Time for every burst, however often it is killed: then tables are equal to the last bit.
        profile(small_space(), device, folder / "table.json", ProfileOptions(minutes=0.5))

    def end(folder: Path) -> Any:
        left = sorted(path.name for path in folder.iterdir() if path.name != "begun")
        return read_json(folder / "table.json", "a table"), left

    def finished(folder: Path) -> set[str]:
        lines = (folder / "table.json.log").read_bytes().split(b"\n")[1:-1] if _begun(folder) else []
        records = map(json.loads, lines)
        return {f"network {record['network']}" for record in records if "network" in record}

    def _begun(folder: Path) -> bool:
        return (folder / "table.json.log").exists()

    return Kind(work, end, finished)


def predictor_kind() -> Kind:
    """The samples that teach a predictor, and what it predicts then."""

    def work(folder: Path) -> None:
        from mnas.evaluators.predictor import PredictorEvaluator, PredictorRecipe

        space = small_space()
        inner, recipe = SlowEvaluator(folder, space, "sample", 0.0), PredictorRecipe(samples=40)
        predictor = PredictorEvaluator(space, inner, recipe, file=folder / "predictor.json")
        candidates = make_strategy("random", space, seed=1).ask(20)
        write_json(folder / "predicted.json", [predictor.accuracy(candidate) for candidate in candidates])

    def end(folder: Path) -> Any:
        return [read_json(folder / name, "what came out") for name in ("predictor.json", "predicted.json")]

    def finished(folder: Path) -> set[str]:
        path, space = folder / "predictor.json", small_space()
        entries = read_json(path, "samples")["samples"] if path.exists() else []
        return {f"sample {space.decode(entry['indices']).stages}" for entry in entries}

    return Kind(work, end, finished)


def grid_kind() -> Kind:
    """The grid of `mnas scale --grid`, with accuracies by arithmetic."""
    base = small_space().decode([0] * len(small_space().decisions))
    networks = different(base, grid(step=0.1))

    def work(folder: Path) -> None:
        def accuracy(network: Any) -> float:
            note(folder, f"network {networks[network]}")
            time.sleep(0.01)
            return 1e6 / (1e6 + complexity(network).madds)

        run_grid(base, networks, accuracy, {"kind": "soak"}, folder / "coefficients.json")

    def end(folder: Path) -> Any:
        left = sorted(path.name for path in folder.iterdir() if path.name != "begun")
        return read_json(folder / "coefficients.json", "coefficients"), left

    def finished(folder: Path) -> set[str]:
        path = folder / "coefficients.json.partial"
        done = read_json(path, "a grid")["found"] if path.exists() else {}
        return {f"network {p}" for p in networks.values() if f"{p.alpha:g},{p.beta:g},{p.gamma:g}" in done}

    return Kind(work, end, finished)
