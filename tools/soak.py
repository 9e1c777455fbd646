"""Kill it at any moment, go on, and find everything as if nothing had happened. One line a kind: tried, survived, lost.

Run: python tools/soak.py [--kills 100] [--kinds random,evolution,...] [--seed 0]      kill -9 at random moments
     python tools/soak.py --memory 500 [--evaluator tabular|proxy]                       memory over trials, as a curve

A kill is survived if the work can be gone on with, and lost if it cannot, if the end differs from that of undisturbed
work in one bit (times apart), or if something that was finished is done again.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import hashlib
import json
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

from mnas.files import read_json
from mnas.reward import make_reward
from mnas.search.log import TrialLog
from mnas.search.objective import Objective
from mnas.search.processes import ProcessExecutor
from mnas.search.run import Search, run_search
from mnas.search.study import LOGS, Study
from mnas.search.worker import Job
from mnas.space.space import SearchSpace
from mnas.strategies.registry import STRATEGIES, make_strategy
from mnas.train.base import Evaluator
from tests.spaces import separable, small_space

_NEEDS_A_SUPERNET = ("differentiable",)
ALL_KINDS = (*(name for name in STRATEGIES if name not in _NEEDS_A_SUPERNET), "workers", "profile", "train", "export")
LIGHT = ("random", "evolution", "workers", "profile")
_MOST_KILLS = 6  # in one life: after so many the work is let be until its end


# ---- the work: each kind goes on in a folder, and says what came out and what it had finished ----


@dataclass(frozen=True)
class Kind:
    """Something that may be killed.

    Attributes:
        work: does it, or goes on with it, in a folder.
        end: what came out, without times.
        finished: what is finished already, by name; `done` files name what each life has begun.
    """

    work: Callable[[Path], None]
    end: Callable[[Path], Any]
    finished: Callable[[Path], set[str]]


class _Slow(Evaluator):
    """Separable accuracies, a few milliseconds each; notes every evaluation."""

    def __init__(self, folder: Path, space: SearchSpace, name: str, bonus: float) -> None:
        self.folder, self.name, self.bonus, self.function = folder, name, bonus, separable(space)

    def accuracy(self, architecture: Any) -> float:
        _note(self.folder, f"{self.name} {architecture.stages}")
        time.sleep(0.004)
        return 0.9 * self.function(architecture) + self.bonus

    def describe(self) -> dict[str, Any]:
        return {"name": self.name}


def _note(folder: Path, what: str) -> None:
    with open(folder / "begun", "a", encoding="utf-8") as file:
        file.write(what + "\n")


def make_objectives(arguments: dict[str, Any]) -> tuple[dict[str, Objective], Any]:
    """Those of the search and of its finalists; workers make them too."""
    folder, space, reward = Path(arguments["folder"]), small_space(), make_reward("absolute", [])
    slow = {"search": ("trials", 0.0), "finals": ("finalists", 0.05)}
    return {name: Objective(_Slow(folder, space, *how), reward) for name, how in slow.items()}, "soak"


def search_kind(strategy: str, *, workers: int = 0) -> Kind:
    """A search with finalists and its random baseline, in this process or with workers."""

    def work(folder: Path) -> None:
        space = small_space()
        config = {"space": space.to_dict(), "strategy": {"name": strategy}, "seed": 0}
        study = Study.resume(folder / "study", config)
        objectives, made_from = make_objectives({"folder": str(folder)})
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
        job = Job("tools.soak:make_objectives", {"folder": str(folder)}, made_from)
        with ProcessExecutor(job, objectives, num_workers=workers) as executor:
            run_search(study, search, executor=executor)

    def end(folder: Path) -> Any:
        study = Study.open(folder / "study")
        logs = [sorted(study.log(name).read(), key=lambda trial: trial.number) for name in LOGS]
        return [[_timeless(trial.to_dict()) for trial in log] for log in logs], study.best()

    def finished(folder: Path) -> set[str]:
        found = set()
        for name in LOGS:
            kind = "finalists" if name.endswith("finalists") else "trials"
            log = folder / "study" / f"{name}.jsonl"
            found |= {f"{kind} {t.architecture.stages}" for t in TrialLog(log).read()} if log.exists() else set()
        return found

    return Kind(work, end, finished)


def _timeless(plain: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in plain.items() if name != "seconds"}


def profile_kind() -> Kind:
    """A profile on a device that works by arithmetic, so that its table can be compared to the last bit."""
    from mnas.profiling import collect
    from mnas.profiling.profile import ProfileOptions, profile
    from tests.profiling.fakes import FakeDevice

    collect.LEAST = collect.MOST = 24
    collect._WAVE_NETWORKS = 6
    write = collect.write_skeleton

    def work(folder: Path) -> None:
        def noted(architecture: Any, *, dtype: str, seed: int) -> bytes:
            _note(folder, f"network {seed}")
            return write(architecture, dtype=dtype, seed=seed)

        collect.write_skeleton = noted
        device = FakeDevice(noise=0.0)
        profile(small_space(), device, folder / "table.json", ProfileOptions(minutes=0.05))

    def end(folder: Path) -> Any:
        left = sorted(path.name for path in folder.iterdir() if path.name != "begun")
        return read_json(folder / "table.json", "a table"), left

    def finished(folder: Path) -> set[str]:
        lines = (folder / "table.json.log").read_bytes().split(b"\n")[1:-1] if _begun(folder) else []
        return {f"network {json.loads(line)['network']}" for line in lines}

    def _begun(folder: Path) -> bool:
        return (folder / "table.json.log").exists()

    return Kind(work, end, finished)


def train_kind() -> Kind:
    """A training of three epochs."""

    def work(folder: Path) -> None:
        from mnas.train.fit import train_network
        from mnas.train.recipe import recipe_for
        from mnas.train.trained import DataSource

        architecture = small_space().decode([0] * len(small_space().decisions))
        source = DataSource("digits", limit=400)
        recipe = recipe_for("digits", epochs=4, batch_size=32)
        seen: list[int] = []

        def progress(state: Any) -> None:
            if state.epoch_ended is None and state.epoch not in seen:
                seen.append(state.epoch)
                _note(folder, f"epoch {state.epoch}")

        train_network(architecture, source, folder / "out", recipe=recipe, resume=True, progress=progress)

    def end(folder: Path) -> Any:
        record = read_json(folder / "out" / "training.json", "a record")
        for epoch in record["history"]:
            epoch.pop("seconds")
        weights = hashlib.sha256((folder / "out" / "weights.npz").read_bytes()).hexdigest()
        return record, weights, sorted(path.name for path in (folder / "out").iterdir())

    def finished(folder: Path) -> set[str]:
        path = folder / "out" / "progress.json"
        count = len(read_json(path, "progress")["history"]) if path.exists() else 0
        return {f"epoch {number}" for number in range(1, count + 1)}

    return Kind(work, end, finished)


def export_kind() -> Kind:
    """A conversion to TFLite with its check."""

    def work(folder: Path) -> None:
        from mnas.export.pipeline import export_network
        from mnas.nn.build import build_model

        architecture = small_space().decode([0] * len(small_space().decisions))
        images = np.random.default_rng(0).uniform(-1, 1, (32, architecture.resolution, architecture.resolution, 3))
        model = build_model(architecture, probabilities=True, seed=0)
        batches = [(images.astype(np.float32), None)]
        export_network(model, architecture, folder / "net.tflite", batches=batches, trained=False)

    def end(folder: Path) -> Any:
        content = (folder / "net.tflite").read_bytes()
        return (
            hashlib.sha256(content).hexdigest(),
            (folder / "net.json").read_text(encoding="utf-8"),
            sorted(path.name for path in folder.iterdir()),
        )

    return Kind(work, end, lambda folder: set())


def make_kind(name: str) -> Kind:
    """The kind called `name`."""
    makers = {"profile": profile_kind, "train": train_kind, "export": export_kind}
    if name == "workers":
        return search_kind("evolution", workers=2)
    return makers[name]() if name in makers else search_kind(name)


# ---- killing ----


def begin(kind: Kind, folder: Path) -> int:
    """Start the work in a fork of this process, which has everything imported, and nothing started."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        if not os.environ.get("MNAS_DEBUG"):
            os.dup2(quiet, 2)
        kind.work(folder)
        code = 0
    except BaseException:
        (folder / "error").write_text(traceback.format_exc(), encoding="utf-8")
    finally:
        os._exit(code)


def kill_often(kind: Kind, kills: int, rng: random.Random) -> list[str]:
    """Kill the work so many times in all, over as many lives as that takes.

    Returns:
        What was lost, in words.
    """
    with _folder() as folder:
        start = time.monotonic()
        _finish(kind, folder)
        seconds, expected = time.monotonic() - start, kind.end(folder)
    lost: list[str] = []
    while kills > 0:
        with _folder() as folder:
            planned = min(kills, rng.randint(1, _MOST_KILLS))
            for _ in range(planned):
                kills -= 1
                if not _kill_once(kind, folder, rng.uniform(0, seconds / 1.5), lost):
                    break
            try:
                _life(kind, folder, lost, lambda child: None)
                if kind.end(folder) != expected:
                    lost.append("the end is another one")
            except Exception as error:
                lost.append(f"cannot go on: {error}")
    return lost


def _kill_once(kind: Kind, folder: Path, seconds: float, lost: list[str]) -> bool:
    """Let it live for some seconds; whether it was killed before it was done."""

    def kill(child: int) -> None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)

    return _life(kind, folder, lost, kill) == signal.SIGKILL


def _life(kind: Kind, folder: Path, lost: list[str], during: Callable[[int], None]) -> int:
    """One process from its beginning to its end; notes what it did that was finished before."""
    before = kind.finished(folder)
    with contextlib.suppress(FileNotFoundError):
        (folder / "begun").unlink()
    child = begin(kind, folder)
    during(child)
    status = os.waitpid(child, 0)[1]
    if (folder / "error").exists():
        raise RuntimeError((folder / "error").read_text(encoding="utf-8").strip().rpartition("\n")[2])
    begun = (folder / "begun").read_text(encoding="utf-8").splitlines() if (folder / "begun").exists() else []
    again = [what for what in begun if what in before]
    if again:
        lost.append(f"{len(again)} finished pieces of work were done again, such as {again[0][:80]}")
    (folder / "begun").unlink(missing_ok=True)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def _finish(kind: Kind, folder: Path) -> None:
    lost: list[str] = []
    _life(kind, folder, lost, lambda child: None)


@contextlib.contextmanager
def _folder() -> Any:
    folder = Path(tempfile.mkdtemp(prefix="mnas-soak-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


# ---- memory ----


def memory_curve(num_trials: int, evaluator_name: str) -> None:
    """Print this process's memory while it judges candidates; the first trials load and trace."""
    if evaluator_name == "proxy":
        from mnas.quiet import load_tensorflow
        from mnas.train.data import load_dataset
        from mnas.train.proxy import ProxyEvaluator, ProxyRecipe

        load_tensorflow()
        dataset = load_dataset("digits", resolution=16, limit=300)
        evaluator: Evaluator = ProxyEvaluator(dataset, ProxyRecipe(steps=2, batch_size=16), max_validation=32)
    else:
        evaluator = _tabular()
    objective = Objective(evaluator, make_reward("absolute", []))
    candidates = make_strategy("random", small_space(), seed=0).ask(num_trials)
    points = sorted({round(num_trials * step / 10) for step in range(1, 11)})
    first = 0.0
    for number, candidate in enumerate(candidates, 1):
        trial = objective.judge(number, candidate)
        if trial.failed:
            sys.exit(f"trial {number} failed: {trial.error}")
        if number in points:
            gc.collect()
            now = _resident_mb()
            first = first or now
            print(f"{evaluator_name:8} {number:5} trials: {now:8.1f} MiB ({now - first:+.1f} since the first tenth)")
            sys.stdout.flush()


def _tabular() -> Evaluator:
    from mnas.train.tabular import TabularEvaluator, stages_text

    space = small_space()
    indices = np.ndindex(*(len(decision.choices) for decision in space.decisions))
    names = [stages_text(space.decode([int(i) for i in row])) for row in indices]
    with _folder() as folder:
        document = {"format": "mnas.accuracies", "version": 1, "accuracies": dict.fromkeys(names, 0.5)}
        (folder / "table.json").write_text(json.dumps(document), encoding="utf-8")
        return TabularEvaluator(folder / "table.json")


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


def main() -> None:
    """Kill, or measure memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="in all, shared out over the kinds")
    parser.add_argument("--kinds", default=",".join(ALL_KINDS), help=f"of {', '.join(ALL_KINDS)}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory", type=int, metavar="TRIALS")
    parser.add_argument("--evaluator", choices=("tabular", "proxy"), default="tabular")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    if options.memory:
        memory_curve(options.memory, options.evaluator)
        return
    names = options.kinds.split(",")
    if set(names) - set(LIGHT):
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import keras  # noqa: F401 - imported once here, started in each fork
        import tensorflow  # noqa: F401
    rng = random.Random(options.seed)
    failed = 0
    for place, name in enumerate(names):
        kills = options.kills // len(names) + (place < options.kills % len(names))
        start = time.monotonic()
        lost = kill_often(make_kind(name), kills, rng)
        failed += len(lost)
        kept = max(0, kills - len(lost))
        took = time.monotonic() - start
        print(f"{name:12} tried {kills:4}  survived {kept:4}  lost {len(lost):3}   ({took:.0f} s)", flush=True)
        for why in sorted(set(lost))[:5]:
            print(f"    {why}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
