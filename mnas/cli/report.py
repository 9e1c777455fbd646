"""`mnas report`: the results of a study."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mnas.cli import output
from mnas.cli.options import JSON

if TYPE_CHECKING:
    from mnas.report.facts import ReportData
    from mnas.study.study import Study

_MOST_CLASSES = 30  # in the table of the terminal; --json and the page have all
_MOST_CONFUSIONS = 3


def report(
    study: Path = typer.Argument(..., metavar="STUDY_DIR", help="A study's folder, finished or not."),
    html: Path = typer.Option(None, "--html", metavar="FILE", help="Where to write the page: STUDY_DIR/report.html."),
    page: bool = typer.Option(True, help="Write the page."),
    csv: Path = typer.Option(None, "--csv", metavar="DIR", help="Also write all figures as CSV files."),
    png: Path = typer.Option(None, "--png", metavar="DIR", help="Also draw the plots as PNG files (mnas[report])."),
    watch: bool = typer.Option(False, "--watch", help="Continue while the search runs; the page reloads itself."),
    every: float = typer.Option(5.0, min=0.2, help="Seconds between two updates of --watch."),
    json: bool = JSON,
) -> None:
    """Show a study: front, winner, verdict against random, what to do next; and write it all as one web page.

    Example: mnas report runs/first --csv figures --png figures
    """
    from mnas.study.study import Study

    opened = Study.open(study)
    target = (html or study / "report.html") if page else None
    if watch:
        from mnas.cli.watch import watch_study

        watch_study(opened, target, every, quiet=json)
    document = write_report(opened, target, csv, png, insist=html is not None)
    if json:
        output.print_json(document)
        return
    show_report(document)
    for path in document["files"]:
        print(f"Written: {path}")


def write_report(
    study: Study, page: Path | None, csv: Path | None = None, png: Path | None = None, *, insist: bool = True
) -> dict[str, Any]:
    """Write the files and return the report as plain data, with the `files` that were written.

    Without `insist`, a page that cannot be written is a warning: a read-only study can be shown all the same.
    """
    from mnas.report.details import details
    from mnas.report.facts import load_report_data

    facts = load_report_data(study)
    known = details(facts)
    written = [] if page is None else _write_page(facts, page, insist)
    if csv is not None or png is not None:
        from mnas.report.page import all_figures

        figures = all_figures(facts)
    if csv is not None:
        from mnas.report.csv_files import write_sheets

        written += write_sheets(facts, figures, csv)
    if png is not None:
        from mnas.report.png_files import write_pictures

        written += write_pictures(figures, png)
    return {**facts.summary, **known, "files": [str(path) for path in written]}


def _write_page(facts: ReportData, path: Path, insist: bool) -> list[Path]:
    from mnas.errors import MnasError
    from mnas.report.page import study_page
    from mnas.system.files import write_atomically

    try:
        write_atomically(path, study_page(facts))
    except MnasError as error:
        if insist:
            raise
        print(f"{error}: name another place for the page with --html FILE", file=sys.stderr)
        return []
    return [path]


def show_report(document: dict[str, Any]) -> None:
    """Print a report as tables; the one of a search has no details."""
    columns = ["trial", "reward", "accuracy", "ms", "parameters", "multiply-adds"]
    output.table(f"Best trials of {document['study']}", columns, [_row(row) for row in document["top"]])
    output.table("Front: nothing is both faster and better", columns, [_row(row) for row in document["front"]])
    failed = f", {document['num_failed']} failed" if document["num_failed"] else ""
    print(
        f"{document['num_trials']} trials of {document['strategy']} on {document['space']}, "
        f"{document['num_networks']} different networks{failed}."
    )
    if document["share_of_steps"] is not None:
        print(
            f"Unpromising candidates were stopped early: {1 - document['share_of_steps']:.0%} of the steps were saved."
        )
    best = document["best"]
    if best is None:
        print("There is no winner yet.")
    else:
        output.table("The winner", columns, [_row(best)])
        if best.get("measured_ms") is not None:
            print(f"Measured latency: {best['measured_ms']:.3f} ms.")
        for stage in best["architecture"]["stages"]:
            print(f"  {stage}")
    if "devices" in document:
        show_details(document)
    if document["optimum"] is not None:
        print(document["optimum"]["sentence"])
    elif document["baseline"] is not None:
        print(document["baseline"]["verdict"])
    if document["menu"] is not None:
        print(document["menu"]["sentence"])
    for note in document["notes"]:
        print(note)
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


def show_details(document: dict[str, Any]) -> None:
    """Print the winner's latency, predicted and measured, its test and its family."""
    for device in document["devices"]:
        print(_device(device))
    timed = any(block["latency_ms"] is not None for block in document["blocks"])
    if timed:
        total = sum(block["latency_ms"] for block in document["blocks"])
        rows = [[*_block(block), f"{block['latency_ms'] / total:.0%}"] for block in document["blocks"]]
        output.table("The winner, block by block", ["block", "ms", "parameters", "multiply-adds", "of the time"], rows)
    for bench in document["benches"]:
        print(_bench(bench))
    if document["test"] is not None:
        _show_test(document["test"])
    if document["family"]:
        columns = ["network", "pixels", "accuracy", "ms", "parameters", "multiply-adds"]
        output.table("The family", columns, [_member(member) for member in document["family"]])


def _device(device: dict[str, Any]) -> str:
    """The winner on one device, and its table's report card in a line."""
    if device["latency_ms"] is None:
        said = f"{device['name']}: the winner's interval is not known, its latency table is missing or was replaced."
    else:
        low, high = device["interval_ms"]
        said = (
            f"{device['name']}: {device['latency_ms']:.3f} ms predicted, 90 % interval {low:.3f} to {high:.3f} ms, "
            f"{device['budget_ms']:g} ms allowed."
        )
    card = device["report_card"]
    if card is None:
        return said
    return (
        f"{said}\n  Its table is {card['mape']:.1%} off on average over {card['num_networks']} held-out networks, "
        f"{card['within_5_percent']:.0%} within 5 %, Kendall's tau {card['kendall_tau']:.3f}; repeated measurements "
        f"differ by {card['repeatability']:.1%}."
    )


def _block(block: dict[str, Any]) -> list[str]:
    name = f"{block['name']}: {block['key'].split(' ')[1]}"
    return [name, f"{block['latency_ms']:.4f}", f"{block['params']:,}", f"{block['madds']:,}"]


def _bench(bench: dict[str, Any]) -> str:
    said = f"Measured: {bench['file']} takes {bench['quiet_ms']:.3f} ms, median {bench['median_ms']:.3f} ms"
    if bench["ratio"] is None:
        return f"{said}."
    return f"{said}; {bench['ratio']:.2f} times the {bench['predicted_ms']:.3f} ms that were predicted."


def _show_test(test: dict[str, Any]) -> None:
    """Print the winner's results on the test images: by class, the largest confusions, recall at a precision."""
    classes = sorted(test["classes"], key=lambda own: own["recall"] is not None and own["recall"])
    title = f"{test['published_network'] or 'The winner'} on the test images"
    if len(classes) > _MOST_CLASSES:
        title += f": the {_MOST_CLASSES} of {len(classes)} classes with the lowest recall"
    else:
        classes = test["classes"]
    rows = [[own["name"], str(own["images"]), _share(own["recall"]), _share(own["precision"])] for own in classes]
    output.table(title, ["class", "images", "recall", "precision"], rows[:_MOST_CLASSES])
    print(f"Test accuracy: {test['accuracy']:.2%}.")
    if test["confusions"]:
        said = [
            f"{each['images']} of {each['of']} {each['label']} are taken for {each['predicted']}"
            for each in test["confusions"][:_MOST_CONFUSIONS]
        ]
        print(f"Largest confusions: {'; '.join(said)}.")
    found = test["recall_at_precision"]
    if found is None:
        return
    if found["threshold"] is None:
        print(f"No threshold reaches a precision of {found['precision']:.0%} for {found['positive']}.")
    else:
        print(
            f"At a precision of {found['precision']:.0%}, {found['recall']:.1%} of the images of {found['positive']} "
            f"are found: those with a probability of {found['threshold']:.3f} or more."
        )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _member(member: dict[str, Any]) -> list[str]:
    accuracy = "-" if member["accuracy"] is None else f"{member['accuracy']:.4f}"
    latency = "-" if member["latency_ms"] is None else f"{member['latency_ms']:.3f}"
    costs = [f"{member['params']:,}", f"{member['madds']:,}"]
    return [member["name"], str(member["resolution"]), accuracy, latency, *costs]
