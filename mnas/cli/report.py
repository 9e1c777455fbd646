"""`mnas report`: what a study found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from mnas.cli import common


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report")(report)


def report(
    study: Path = typer.Argument(..., metavar="STUDY_DIR", help="A study's folder, finished or not."),
    json: bool = common.JSON,
) -> None:
    """Show a study: the best trials, the accuracy-latency front, the verdict against random, what to do next."""
    from mnas.search.report import report as make_report
    from mnas.search.study import Study

    document = make_report(Study.open(study))
    if json:
        common.print_json(document)
    else:
        show_report(document)


def show_report(document: dict[str, Any]) -> None:
    """Print a report as tables."""
    columns = ["trial", "reward", "accuracy", "ms", "parameters", "multiply-adds"]
    common.table(f"Best trials of {document['study']}", columns, [_row(row) for row in document["top"]])
    common.table("Front: nothing is both faster and better", columns, [_row(row) for row in document["front"]])
    failed = f", {document['num_failed']} failed" if document["num_failed"] else ""
    print(
        f"{document['num_trials']} trials of {document['strategy']} on {document['space']}, "
        f"{document['num_networks']} different networks{failed}."
    )
    if document["share_of_steps"] is not None:
        print(f"Hopeless candidates were stopped early: {1 - document['share_of_steps']:.0%} of the steps were saved.")
    best = document["best"]
    if best is None:
        print("There is no winner yet.")
    else:
        common.table("The winner", columns, [_row(best)])
        for stage in best["architecture"]["stages"]:
            print(f"  {stage}")
    if document["baseline"] is not None:
        print(document["baseline"]["verdict"])
    print("Next:")
    for command in document["next"]:
        print(f"  {command}")


def _row(row: dict[str, Any]) -> list[str]:
    latency = "-" if row["latency_ms"] is None else f"{row['latency_ms']:.3f}"
    return [
        f"#{row['number']}",
        f"{row['reward']:.4f}",
        f"{row['accuracy']:.4f}",
        latency,
        f"{row['params']:,}",
        f"{row['madds']:,}",
    ]
