"""`mnas design`: from photographs to a file, in one command."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mnas.cli import output
from mnas.cli.options import (
    BENCHMARK_BINARY,
    CORES,
    DELEGATE,
    DEVICE,
    JSON,
    RUNTIME,
    THREADS,
    WAIT,
    read_pixels,
    with_delegate_options,
)
from mnas.search.options import Augment, ClassWeights, MaxTrainImages

if TYPE_CHECKING:
    from mnas.experiments.design import Design
    from mnas.experiments.design_plan import Step
    from mnas.study.observer import Observer


@with_delegate_options
def design(
    photos: str = typer.Argument(..., metavar="PHOTOS", help="A folder of images by class, or a data set's name."),
    budget_ms: float = typer.Option(..., help="The largest latency on the device in ms."),
    out: Path = typer.Option(..., "--out", help="The folder for everything; another budget there reuses what it can."),
    table: Path = typer.Option(
        None, "--table", help="A latency table of the device; without it, --device is measured."
    ),
    device: str = DEVICE,
    benchmark_binary: Path = BENCHMARK_BINARY,
    runtime: str = RUNTIME,
    threads: int = THREADS,
    cores: str = CORES,
    delegate: str = DELEGATE,
    wait: float = WAIT,
    dtype: str = typer.Option("float32", help="What runs on the device: float32 or int8. Both files are written."),
    minutes: float = typer.Option(None, help="For everything, approximately: saves epochs, then pixels."),
    profile_minutes: float = typer.Option(4.0, help="Of these, for measuring the device."),
    teacher: str = typer.Option(
        None, help="A trained folder, a zoo network with published weights, or train; EfficientNet-Lite0 by default."
    ),
    resolution: int = typer.Option(
        None, metavar="INTEGER", parser=read_pixels, help="Of the teacher in pixels; chosen by the budget by default."
    ),
    epochs: int = typer.Option(
        None, min=1, help="Of the winner's fine-tuning, and of the published networks': 12, or fewer for --minutes."
    ),
    family: int = typer.Option(2, min=0, max=10, help="Larger networks to scale the winner to."),
    class_weights: ClassWeights = "none",
    augment: Augment | None = None,
    max_train_images: MaxTrainImages | None = None,
    seed: int = typer.Option(0, min=0, help="Of everything."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only show what would be done, and how long it takes."),
    json: bool = JSON,
) -> None:
    """Design a network for your device from your photographs: measure, search, train, export, report.

    Example: mnas design photos/ --budget-ms 5 --out runs/design
    """
    from mnas.experiments.design import Design
    from mnas.experiments.design_options import DesignOptions

    options = DesignOptions(
        data=photos,
        budget_ms=budget_ms,
        table=None if table is None else str(table),
        device=device,
        benchmark_binary=benchmark_binary,
        runtime=runtime,
        threads=threads,
        cores=cores,
        delegate=delegate,
        wait=wait,
        minutes=minutes,
        profile_minutes=profile_minutes,
        dtype=dtype,
        teacher=teacher,
        resolution=resolution,
        epochs=epochs,
        family=family,
        class_weights=class_weights,
        augment=augment,
        max_train_images=max_train_images,
        seed=seed,
    )
    with output.console(stderr=True).status("Looking at the images and the device"):
        planned = Design(options, out, note=_note)
        steps = planned.steps()
    if dry_run and json:
        output.print_json({"steps": [{"name": s.name, "what": s.what, "seconds": s.seconds} for s in steps]})
        return
    _show_plan(steps)
    if dry_run:
        return
    document = _run(planned)
    document |= {"report": str(_write_report(planned.study))}
    if json:
        output.print_json(document)
    else:
        _show(document)


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _show_plan(steps: Sequence[Step]) -> None:
    """Say what is done and how long it takes, on stderr."""
    from mnas.cli.progress import duration

    for number, step in enumerate(steps, 1):
        time = "done before" if step.seconds == 0 else f"about {duration(step.seconds)}"
        _note(f"{number}. {step.name}: {step.what} ({time})")
    total = sum(step.seconds for step in steps)
    _note(f"Together about {duration(total)} on this machine. Ctrl-C loses nothing: the same command resumes.")


def _run(planned: Design) -> dict[str, Any]:
    try:
        return planned.run(display=output.progress, observing=_observing)
    except KeyboardInterrupt:
        _note("Interrupted: the same command resumes.")
        raise


@contextmanager
def _observing() -> Iterator[Sequence[Observer]]:
    """The progress of the search, shown only while it runs."""
    from mnas.cli.progress import SearchDisplay

    with SearchDisplay() as shown:
        yield [shown]


def _write_report(study: Path) -> Path:
    from mnas.cli.report import write_report
    from mnas.study.study import Study

    page = study / "report.html"
    write_report(Study.open(study), page)
    return page


def _show(document: dict[str, Any]) -> None:
    winner = document["winner"]
    rows = [_row("the winner", winner), *(_row(each["name"], each) for each in document["baselines"])]
    columns = ["network", "pixels", "measured ms", "validation", "test"]
    output.table(f"For {document['budget_ms']:g} ms, and the teacher", columns, rows)
    if winner["int8_test_accuracy"] is not None:
        print(f"As an int8 file the winner has {winner['int8_test_accuracy']:.2%} on test images.")
    for name, path in winner["files"].items():
        print(f"{name}: {path}")
    print(f"Report: {document['report']}")
    print(f"Try it: mnas predict {winner['files']['float32']} IMAGE...")


def _row(name: str, row: dict[str, Any]) -> list[str]:
    latency = "-" if row["measured_ms"] is None else f"{row['measured_ms']:.3f}"
    return [name, str(row["resolution"]), latency, f"{row['validation_accuracy']:.2%}", f"{row['test_accuracy']:.2%}"]
