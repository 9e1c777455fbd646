"""`mnas space survey`: random samples of one or more spaces, side by side."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mnas.cli import output
from mnas.cli.options import JSON
from mnas.errors import InputError
from mnas.search import options as declare

if TYPE_CHECKING:
    from mnas.experiments.survey import Survey

_SHOWN = 8  # harmful choices of each space


def survey(
    spaces: list[str] = typer.Argument(..., metavar="SPACE...", help="Shipped spaces or TOML files."),
    table: list[Path] = typer.Option([], help="A latency table: one for all spaces, or one for each in order."),
    budget_ms: float = typer.Option(None, help="Only evaluate samples within this latency."),
    evaluator: str = typer.Option(None, help="proxy (with --data), tabular:FILE.json, or python:MODULE:FUNCTION."),
    data: declare.Data | None = None,
    samples: int = typer.Option(30, min=2, help="Random architectures of each space to evaluate."),
    proxy_steps: declare.ProxySteps = 100,
    proxy_batch: declare.ProxyBatch = 64,
    max_train_images: declare.MaxTrainImages | None = None,
    seed: int = typer.Option(0, min=0, help="The same seed gives the same samples."),
    csv_file: Path = typer.Option(None, "--csv", help="Write every sample into this file."),
    plot: Path = typer.Option(None, help="Draw the error EDFs into this HTML file."),
    json: bool = JSON,
) -> None:
    """Sample spaces: predicted latency, errors of samples after short training, choices that increase the error.

    Example: mnas space survey mnasnet-32 mine.toml --evaluator proxy --data fashion_mnist --plot edf.html.
    """
    from mnas.experiments.survey import survey_spaces
    from mnas.system.files import check_writable

    if (csv_file or plot) and evaluator is None:
        raise InputError("--csv and --plot need evaluated samples: add --evaluator")
    if plot is not None:
        check_writable(plot)
    with output.progress("sampling") as report:
        found = survey_spaces(
            spaces,
            tables=table,
            budget_ms=budget_ms,
            evaluator=evaluator,
            data=data,
            num_samples=samples,
            proxy_steps=proxy_steps,
            proxy_batch=proxy_batch,
            max_train_images=max_train_images,
            seed=seed,
            on_progress=report,
        )
    _write(found, csv_file, plot)
    if json:
        output.print_json([one.to_dict() for one in found])
        return
    _show(found)


def _write(found: Sequence[Survey], csv_file: Path | None, plot: Path | None) -> None:
    from mnas.experiments.survey import to_rows
    from mnas.report.comparison import edf_figure
    from mnas.report.page import figures_page
    from mnas.system.files import write_atomically

    if csv_file is not None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(to_rows(found))
        write_atomically(csv_file, text.getvalue())
    if plot is not None:
        write_atomically(plot, figures_page([edf_figure(found)], title=" and ".join(one.space.name for one in found)))


def _show(found: Sequence[Survey]) -> None:
    documents = [one.to_dict() for one in found]
    lines = [("architectures", [f"{document['size']:.4g}" for document in documents])]
    lines.append(("keys in a latency table", [str(document["num_table_keys"]) for document in documents]))
    lines += _lines("ms, {} of samples at most", "latency_ms_quantiles", "{:.3f}", documents)
    if "errors" in documents[0]:
        lines.append(("samples evaluated", [str(len(document["errors"])) for document in documents]))
        lines.append(("smallest error", [f"{document['errors'][0]:.4f}" for document in documents]))
        lines += _lines("error, {} of samples at most", "error_quantiles", "{:.4f}", documents)
        lines.append(("mean error", [f"{document['mean_error']:.4f}" for document in documents]))
        intervals = ["{:.4f}..{:.4f}".format(*document["mean_error_interval"]) for document in documents]
        lines.append(("its 95 % interval", intervals))
    columns = ["", *(document["space"] for document in documents)]
    output.table("Random samples", columns, [[name, *cells] for name, cells in lines])
    for document in documents:
        if "table_lacks" in document:
            print(f"{document['space']} has no latencies: {document['table_lacks']}")
        harmful = [choice for choice in document.get("choices", []) if choice["worse"]]
        for choice in harmful[:_SHOWN]:
            low, high = choice["interval"]
            what = f"{choice['decision']} = {choice['choice']} ({choice['num_samples']} samples)"
            print(f"{document['space']}: {what} has an error {low:+.4f} to {high:+.4f} against the other choices.")


def _lines(title: str, field: str, form: str, documents: Sequence[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    shares = next((document[field] for document in documents if field in document), ())
    return [
        (
            title.format(f"{float(share):.0%}"),
            [form.format(document[field][share]) if field in document else "-" for document in documents],
        )
        for share in shares
    ]
