"""Designed networks against published ones, fine-tuned with the same care: accuracy at measured latency.

    python -m tools.bench.headline --data photos --budgets-ms 1.9 3.3 --seeds 3 --out /somewhere/headline

- design: `mnas design` for every seed and budget, in one folder for every seed and resolution of the teacher, so that
  teacher and library are shared. It fine-tunes the best published networks within the budget too, for as many epochs as
  the winner.
- random: the best network that random search found in the same library, by predicted accuracy, fine-tuned the same way.
- latency: all networks again, interleaved in one run, so that a disturbance affects all of them.
- report: a table, the differences, and a picture.

Everything is chosen by validation images. Every result is kept in --out; the same command resumes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mnas.arch.codec import architecture_from_dict
from mnas.arch.spec import Architecture
from mnas.evaluators.library import open_evaluator
from mnas.experiments.design import Design
from mnas.experiments.design_options import DesignOptions
from mnas.report.figure import Figure, Series
from mnas.report.png_files import write_pictures
from mnas.statistics import bootstrap_interval
from mnas.study.study import Study
from mnas.train.trained_network import open_trained
from tools.bench.interleaved import interleaved_ms, latency_step
from tools.bench.resumable import ResumableRun, resumable_parser, run_parts
from tools.bench.tables import write_csv

PARTS = ("design", "random", "latency", "report")
KINDS = {"designed": "winner", "published": "kernel3", "random search": "random", "teacher": "family"}


class DesignBench:
    """The work that is left, step by step."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.run = ResumableRun(given.out / "results", given.seconds)

    def _design(self, seed: int, budget_ms: float) -> Design:
        given = self.given
        options = DesignOptions(
            data=given.data,
            budget_ms=budget_ms,
            table=given.table,
            teacher=given.teacher,
            resolution=given.resolution.get(budget_ms),
            epochs=given.epochs,
            profile_minutes=given.profile_minutes,
            family=0,
            max_train_images=given.limit,
            seed=seed,
        )
        return Design(options, given.out / "-".join([f"seed-{seed}", *self._at(budget_ms)]))

    def _at(self, budget_ms: float) -> list[str]:
        """The teacher's resolution in a word, where it is given."""
        resolution = self.given.resolution.get(budget_ms)
        return [] if resolution is None else [f"{resolution}px"]

    def _key(self, what: str, seed: int, budget_ms: float) -> str:
        return " ".join([f"{what} seed {seed} budget {budget_ms:g}", *self._at(budget_ms)])

    def design(self) -> None:
        """Design for every seed and budget."""
        for seed in range(self.given.seeds):
            for budget_ms in self.given.budgets_ms:
                key = self._key("design", seed, budget_ms)
                self.run.do(key, lambda seed=seed, budget_ms=budget_ms: self._design(seed, budget_ms).run())

    def random(self) -> None:
        """Fine-tune what random search found in the same library."""
        for seed in range(self.given.seeds):
            for budget_ms in self.given.budgets_ms:
                key = self._key("random", seed, budget_ms)
                self.run.do(key, lambda seed=seed, budget_ms=budget_ms: self._random(seed, budget_ms))

    def _random(self, seed: int, budget_ms: float) -> dict[str, Any]:
        design = self._design(seed, budget_ms)
        found = Study.open(design.study).best("baseline_best")
        assert found is not None
        network = architecture_from_dict(found["architecture"])
        evaluator = open_evaluator(
            design.library,
            data=self.given.data,
            epochs=self.given.epochs,
            finalists=design.target / "random",
            seed=seed,
        )
        tuning = evaluator.for_finalists(0)
        tuning.accuracy(network)
        folder = tuning.trained_folder(network)
        assert folder is not None
        return {"folder": str(folder), **_accuracies(folder)}

    def latency(self) -> None:
        """Measure every network again, interleaved."""
        networks = self._networks(self._rows())
        self.run.do(latency_step(networks), lambda: interleaved_ms(networks))

    def _networks(self, rows: Sequence[dict[str, Any]]) -> dict[str, Architecture]:
        """By folder, and the teacher's network at the sizes asked for by its size."""
        networks = {row["folder"]: _network(row["folder"]) for row in rows}
        teacher = next((networks[row["folder"]] for row in rows if row["kind"] == "teacher"), None)
        if teacher is not None:
            networks |= {_sized(size): replace(teacher, resolution=size) for size in self.given.sizes}
        return networks

    def _rows(self) -> list[dict[str, Any]]:
        """A row for every network: its kind, seed, budget, accuracies and folder."""
        rows = []
        for seed in range(self.given.seeds):
            for budget_ms in self.given.budgets_ms:
                at = {"seed": seed, "budget_ms": budget_ms}
                design = self._design(seed, budget_ms)
                if self.run.get(self._key("design", seed, budget_ms)) is None:
                    continue
                best = Study.open(design.study).best()
                assert best is not None
                rows.append({"kind": "designed", **at, **_accuracies(design.study / best["trained"])})
                rows.append({"kind": "teacher", **at, **_accuracies(design.teacher)})
                menu = design.published()
                if menu is not None:
                    folder = design.published_folder(menu.best)
                    rows.append({"kind": "published", **at, "name": menu.best.name, **_accuracies(folder)})
                drawn = self.run.get(self._key("random", seed, budget_ms))
                if drawn is not None:
                    rows.append({"kind": "random search", **at, **_accuracies(Path(drawn["folder"]))})
        return rows

    def report(self) -> None:
        """Print a table and the differences; write a CSV file and a picture."""
        rows = self._rows()
        measured = self.run.get(latency_step(self._networks(rows))) or {}
        rows = [{**row, "measured_ms": measured.get(row["folder"])} for row in rows]
        for row in rows:
            where = f"{row['budget_ms']:g} ms, seed {row['seed']}, {row['kind']} {row.get('name', '')}"
            accuracies = f"validation {row['validation_accuracy']:.2%}, test {row['test_accuracy']:.2%}"
            print(f"{where} {row['resolution']} px: {row['measured_ms'] or 0:.3f} ms, {accuracies}")
        for size in self.given.sizes:
            print(f"{_sized(size)}: {measured.get(_sized(size), 0):.3f} ms")
        for budget_ms in self.given.budgets_ms:
            for other in ("published", "random search", "teacher"):
                self._compare(rows, budget_ms, other)
        columns = (
            "kind",
            "name",
            "seed",
            "budget_ms",
            "resolution",
            "measured_ms",
            "validation_accuracy",
            "test_accuracy",
        )
        write_csv(self.given.out / "headline.csv", [{name: row.get(name) for name in columns} for row in rows])
        if measured:
            write_pictures([picture(rows)], self.given.out)

    def _compare(self, rows: list[dict[str, Any]], budget_ms: float, other: str) -> None:
        """Print the difference in test accuracy in points, with an interval over seeds."""
        sides = [
            {row["seed"]: row["test_accuracy"] for row in rows if (row["kind"], row["budget_ms"]) == (kind, budget_ms)}
            for kind in ("designed", other)
        ]
        common = sorted(set(sides[0]) & set(sides[1]))
        if not common:
            return
        differences = [100 * (sides[0][seed] - sides[1][seed]) for seed in common]
        line = f"{budget_ms:g} ms: designed against {other} {np.mean(differences):+.1f} points of test accuracy"
        if len(common) > 1:
            low, high = bootstrap_interval(differences)
            line += f" ({low:+.1f} to {high:+.1f})"
        print(f"{line}, {len(common)} seeds")


def picture(rows: list[dict[str, Any]]) -> Figure:
    """Test accuracy over measured latency, mean over seeds, with the range over them.

    Seeds of a budget are one point, and seeds of a teacher's resolution.
    """
    series = []
    for kind, look in KINDS.items():
        points: dict[float, list[dict[str, Any]]] = {}
        for row in rows:
            if row["kind"] == kind and row["measured_ms"] is not None:
                points.setdefault(row["resolution"] if kind == "teacher" else row["budget_ms"], []).append(row)
        means = sorted(
            (
                float(np.mean([row["measured_ms"] for row in own])),
                float(np.mean([row["test_accuracy"] for row in own])),
                (min(row["test_accuracy"] for row in own), max(row["test_accuracy"] for row in own)),
            )
            for own in points.values()
        )
        if means:
            x, y, intervals = zip(*means, strict=True)
            series.append(Series(kind, look, x, y, kind="both", interval=intervals))
    return Figure(
        "headline",
        "Designed networks against published ones",
        "measured latency in ms",
        "test accuracy",
        tuple(series),
        "Test accuracy over measured latency of designed networks, the best published ones, and random search.",
    )


def _sized(size: int) -> str:
    return f"the teacher at {size} px"


def _network(folder: str) -> Architecture:
    return open_trained(Path(folder)).architecture


def _accuracies(folder: Path) -> dict[str, Any]:
    trained = open_trained(folder)
    names = ("validation_accuracy", "test_accuracy")
    return {
        "folder": str(folder),
        "resolution": trained.architecture.resolution,
        **{name: float(trained.training[name]) for name in names},
    }


def main() -> None:
    """Read the options and do the parts."""
    parser = resumable_parser("tools.bench.headline", __doc__, PARTS)
    parser.add_argument("--data", required=True, help="a folder of images by class, or a data set's name")
    parser.add_argument("--budgets-ms", type=float, nargs="+", required=True)
    parser.add_argument("--table", help="a latency table of this machine; made by the first design by default")
    parser.add_argument("--teacher", help="as for mnas design")
    parser.add_argument("--resolution", type=int, nargs="+", help="of the teacher: one, or one for every budget")
    parser.add_argument("--sizes", type=int, nargs="+", default=[], help="measure the teacher's network at these, too")
    parser.add_argument("--epochs", type=int, default=12, help="of all fine-tunings")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--limit", type=int, help="maximum number of training images")
    parser.add_argument("--profile-minutes", type=float, default=5.0)
    given = parser.parse_args()
    given.resolution = _by_budget(parser, given.budgets_ms, given.resolution or [])
    run_parts(DesignBench(given), PARTS, given.parts)


def _by_budget(
    parser: argparse.ArgumentParser, budgets_ms: Sequence[float], resolutions: Sequence[int]
) -> dict[float, int]:
    """The teacher's resolution for every budget; empty where `mnas design` chooses it."""
    if len(resolutions) == 1:
        resolutions = [*resolutions] * len(budgets_ms)
    if resolutions and len(resolutions) != len(budgets_ms):
        parser.error(
            f"--resolution has {len(resolutions)} numbers: expected one, or one for each of {len(budgets_ms)} budgets"
        )
    return dict(zip(budgets_ms, resolutions, strict=False))


if __name__ == "__main__":
    main()
