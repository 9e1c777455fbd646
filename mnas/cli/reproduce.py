"""`mnas reproduce`: run a study again and compare it with its log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mnas.cli import output
from mnas.cli.options import JSON

if TYPE_CHECKING:
    from mnas.experiments.reproduce import Reproduction


def reproduce(
    study: Path = typer.Argument(..., metavar="STUDY_DIR", help="A study's folder, finished or not."),
    data: str = typer.Option(None, "--data", help="Where the study's data are now, if they have moved."),
    workers: int = typer.Option(1, min=1, max=1024, help="Local processes that evaluate candidates."),
    json: bool = JSON,
) -> None:
    """Run a study again and compare every trial with its log. Exit code 1 at the first difference.

    Example: mnas reproduce runs/fashion
    """
    from mnas.experiments.reproduce import reproduce_study
    from mnas.study.study import Study
    from mnas.system.environment import differences, environment

    opened = Study.open(study)
    for difference in differences(opened.made_with, environment()):
        output.console(stderr=True).print(f"Not the same: {difference}")
    total = sum(len(opened.log(name).read()) for name in ("trials", "finalists", "baseline", "baseline_finalists"))
    done = [0]
    with output.progress(f"Running {study} again") as report:

        def count(phase: str, trial: object) -> None:
            done[0] += 1
            report(min(1.0, done[0] / max(1, total)), f"{done[0]} of {total} trials are the same")

        found = reproduce_study(study, data=data, workers=workers, on_trial=count)
    if json:
        output.print_json({"study": str(study), **found.to_dict()})
    else:
        _print(study, found)
    if found.difference is not None:
        raise typer.Exit(1)


def _print(study: Path, found: Reproduction) -> None:
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in found.compared.items() if count)
    if found.difference is None:
        print(f"{study} was reproduced to the last bit: {counts}.")
        return
    print(f"{study} was NOT reproduced. The first difference: {found.difference}")
    print(f"Equal before it: {counts or 'nothing'}.")
    for difference in found.environment:
        print(f"  {difference}")
