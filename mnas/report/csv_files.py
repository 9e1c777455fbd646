"""A report as CSV files: one for the trials, one for the winner's blocks, one per plot."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mnas.arch.codec import format_stage
from mnas.report.facts import ReportData
from mnas.report.figure import Figure
from mnas.study.study import LOGS
from mnas.system.files import write_together
from mnas.train.assessment import Assessment
from mnas.trial import Trial

_HEADER = ["phase", "trial", "reward", "accuracy", "params", "madds", "seconds", "error", "stages", "resolution"]


def write_sheets(facts: ReportData, figures: Iterable[Figure], folder: Path) -> list[Path]:
    """Write all CSV files of a report and return their paths; `classes` and `confusion` are of a trained winner's test.

    Raises:
        MnasError: if one cannot be written.
    """
    sheets = {"trials": trial_rows(facts), "blocks": block_rows(facts)}
    if facts.test is not None:
        sheets |= {"classes": class_rows(facts.test), "confusion": confusion_rows(facts.test)}
    sheets |= {f"figure-{figure.name}": figure.rows() for figure in figures}
    files = {folder / f"{name}.csv": to_csv(rows) for name, rows in sheets.items()}
    write_together(files)
    return list(files)


def to_csv(rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as CSV text, RFC 4180."""
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue()


def trial_rows(facts: ReportData) -> list[list[Any]]:
    """Return a header and every trial of every log, with one column per latency and per term of the reward.

    The phase `repeats` has the trainings of both winners with new seeds, for the verdict; `trial` numbers the seeds.
    """
    phases: dict[str, tuple[Trial, ...]] = {name: getattr(facts, name) for name in LOGS}
    terms = list(dict.fromkeys(name for trials in phases.values() for trial in trials for name, _ in trial.terms))
    latencies = [f"latency_ms_{index + 1}" for index in range(facts.num_latencies)]
    rows: list[list[Any]] = [[*_HEADER, *latencies, *(f"term_{name}" for name in terms)]]
    for phase, trials in phases.items():
        for trial in trials:
            found, own = trial.measurement, dict(trial.terms)
            stages = "|".join(format_stage(stage) for stage in trial.architecture.stages)
            figures = [found and found.accuracy, found and found.params, found and found.madds]
            times = list(found.latencies_ms) if found else [None] * len(latencies)
            row = [phase, trial.number, trial.reward, *figures, trial.seconds, trial.error, stages]
            resolution = trial.architecture.resolution
            rows.append([*row, resolution, *times, *(own.get(name) for name in terms)])
    return rows


def block_rows(facts: ReportData) -> list[list[Any]]:
    """Return a header and the winner's blocks."""
    header = ["block", "key", "params", "madds", "latency_ms"]
    return [header, *([b.name, b.placed.key, b.params, b.madds, b.latency_ms] for b in facts.blocks)]


def class_rows(test: Assessment) -> list[list[Any]]:
    """Return a header and the classes on the test images."""
    rows = ([own.name, own.images, own.recall, own.precision] for own in test.classes)
    return [["class", "images", "recall", "precision"], *rows]


def confusion_rows(test: Assessment) -> list[list[Any]]:
    """Return a header with the classes that images got, and the number of images by their own class."""
    names = [own.name for own in test.classes]
    return [["class", *names], *([name, *row] for name, row in zip(names, test.confusion, strict=True))]
