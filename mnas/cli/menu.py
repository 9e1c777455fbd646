"""`mnas menu`: what one gets without a search."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mnas.cli import output
from mnas.cli.options import BENCHMARK_BINARY, JSON, WAIT, read_resolutions
from mnas.search.options import Augment, ClassWeights

if TYPE_CHECKING:
    from mnas.data.dataset import DataSource
    from mnas.experiments.menu import Menu, MenuItem
    from mnas.study.menu import TriedMenu, TriedNetwork
    from mnas.study.study import Study


def menu(
    table: Path = typer.Option(None, "--table", help="A latency table; that of --study by default."),
    budget_ms: float = typer.Option(None, help="The latency budget; that of --study by default."),
    data: str = typer.Option(None, "--data", help="Images: the most promising networks are fine-tuned on them."),
    study: Path = typer.Option(
        None, "--study", help="A finished search: take its table, budget and data, so that its report shows both."
    ),
    out: Path = typer.Option(None, "--out", help="With --data: where the trained networks are kept."),
    networks: str = typer.Option(None, help="Names of the zoo with commas between; all by default."),
    resolutions: str = typer.Option(None, help="In pixels, such as 96,128; ten sizes from 32 to 224 by default."),
    frozen: int = typer.Option(4, min=1, help="Networks whose classifier is trained, on features computed once."),
    tuned: int = typer.Option(2, min=1, help="The best of these, whose weights are all trained."),
    epochs: int = typer.Option(None, min=1, help="Of the training of all weights."),
    class_weights: ClassWeights = "none",
    augment: Augment | None = None,
    seed: int = typer.Option(0, min=0, help="Of the trainings."),
    measure: str = typer.Option("auto", help="Where latencies are measured: local, adb, ssh:HOST, none, or auto."),
    benchmark_binary: Path = BENCHMARK_BINARY,
    wait: float = WAIT,
    json: bool = JSON,
) -> None:
    """List the published networks within a latency budget, and fine-tune the most promising ones.

    Example: mnas menu --table phone.json --budget-ms 5 --data photos/ --out runs/menu
    """
    from mnas.data.dataset import count_classes
    from mnas.errors import InputError
    from mnas.experiments.menu import list_menu
    from mnas.latency.limits import load_table
    from mnas.study.menu import to_plain

    opened = None
    if study is not None:
        opened, table, budget_ms, out = _from_study(study, table, budget_ms, out)
    if table is None or budget_ms is None:
        raise InputError("mnas menu needs --table and --budget-ms, or the --study that has them")
    chosen: dict[str, Any] = {
        "names": None if networks is None else networks.split(","),
        "resolutions": [] if resolutions is None else read_resolutions(resolutions),
    }
    source = _source(data, opened, seed)
    classes: dict[str, Any] = {} if source is None else {"num_classes": count_classes(source.name)}
    listed = list_menu(load_table(table), budget_ms, **chosen, **classes)
    tried = None
    if source is not None:
        if out is None:
            raise InputError("--out is missing: the folder for the trained networks")
        tried = _try(
            str(table),
            budget_ms,
            source,
            out,
            frozen=frozen,
            tuned=tuned,
            epochs=epochs,
            class_weights=class_weights,
            augment=augment,
            seed=seed,
            measure=measure,
            benchmark_binary=benchmark_binary,
            wait_minutes=wait,
            **chosen,
        )
    if json:
        document = {"budget_ms": budget_ms, "items": [item.to_dict() for item in listed.items]}
        output.print_json(document | ({} if tried is None else {"tried": [to_plain(each) for each in tried.tried]}))
        return
    _show_list(listed, budget_ms)
    if tried is not None:
        _show_tried(tried)


def _from_study(
    folder: Path, table: Path | None, budget_ms: float | None, out: Path | None
) -> tuple[Study, Path, float, Path]:
    """The study, with what it says of table and budget; the menu is kept in its folder."""
    from mnas.errors import InputError
    from mnas.study.menu import FOLDER
    from mnas.study.study import Study

    opened = Study.open(folder)
    tables = opened.arguments.get("table") or []
    if not tables or not opened.budgets_ms:
        raise InputError(f"the study {folder} has no latency table and budget: leave out --study")
    for option, given in (("--table", table), ("--budget-ms", budget_ms), ("--out", out)):
        if given is not None:
            raise InputError(f"the study has its own: leave out {option}")
    return opened, Path(tables[0]), float(opened.budgets_ms[0]), folder / FOLDER


def _source(data: str | None, study: Study | None, seed: int) -> DataSource | None:
    """The images of the command line or of the study; None for neither."""
    from mnas.data.dataset import DataSource

    if study is not None:
        from mnas.search.teacher import study_data

        return study_data(study, data=data)
    return None if data is None else DataSource(data, seed=seed)


def _try(table: str, budget_ms: float, source: DataSource, out: Path, **rest: Any) -> TriedMenu:
    from mnas.system.native_output import load_tensorflow

    with output.console(stderr=True).status("Loading TensorFlow"):
        load_tensorflow()
        from mnas.experiments.menu import try_menu
    try:
        with output.progress("Fine-tuning published networks") as report:
            return try_menu(table, budget_ms, source, out, on_progress=report, **rest)
    except KeyboardInterrupt:
        output.console(stderr=True).print("Interrupted: the same command resumes.")
        raise


def _show_list(menu: Menu, budget_ms: float) -> None:
    columns = ["network", "px", "ms", "90 % interval", "ImageNet", "weights"]
    output.table(f"Published networks within {budget_ms:g} ms", columns, [_row(item) for item in menu.items])
    if any(item.predicted.extrapolated for item in menu.items):
        print("* Has blocks that the table lacks; their latencies are extrapolated, which widens the interval.")
    print("Latencies are predicted by the table. ImageNet: published top-1 accuracy at that resolution.")
    if menu.lacking:
        print(f"Not within the budget at any resolution: {', '.join(menu.lacking)}.")
    if menu.unpriced:
        print(f"The table lacks an operator of: {', '.join(menu.unpriced)}.")


def _row(item: MenuItem) -> list[str]:
    predicted, top1 = item.predicted, item.imagenet_top1
    return [
        item.name,
        str(item.resolution),
        f"{predicted.latency_ms:.3f}{' *' if predicted.extrapolated else ''}",
        f"{predicted.low_ms:.3f} to {predicted.high_ms:.3f}",
        "-" if top1 is None else f"{top1:.1f} %",
        item.weights or "-",
    ]


def _show_tried(menu: TriedMenu) -> None:
    columns = ["network", "pixels", "measured ms", "classifier only", "validation", "test"]
    output.table("Fine-tuned, best by validation accuracy first", columns, [_tried_row(each) for each in menu.tried])
    best = menu.best
    print(f"The best of the menu: {best.name} at {best.resolution} px.")


def _tried_row(tried: TriedNetwork) -> list[str]:
    accuracies = (tried.frozen_accuracy, tried.validation_accuracy, tried.test_accuracy)
    latency = f"{tried.predicted_ms:.3f} (predicted)" if tried.measured_ms is None else f"{tried.measured_ms:.3f}"
    return [
        tried.name,
        str(tried.resolution),
        latency,
        *("-" if accuracy is None else f"{accuracy:.2%}" for accuracy in accuracies),
    ]
