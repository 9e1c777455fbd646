"""`mnas library`: block libraries, made from a teacher."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mnas.cli import output
from mnas.cli.options import JSON, add_command, read_pixels, read_resolutions
from mnas.search.options import Augment

if TYPE_CHECKING:
    from mnas.library.library import BlockLibrary

_BAR = 20  # characters of the largest loss


def build(
    teacher: str = typer.Argument(
        ...,
        metavar="TEACHER",
        help="A folder of mnas train; or a network of the zoo with published weights, which is fine-tuned first, or "
        "train (one is trained from the data), both in the library's folder.",
    ),
    out: Path = typer.Option(..., help="The library's folder."),
    data: str = typer.Option(None, help="Training images: those of a trained teacher by default."),
    space: str = typer.Option(None, help="A space around the teacher as a TOML file, as mnas space around writes it."),
    resolutions: str = typer.Option(None, help="Input sizes that the search may choose, such as 96,128."),
    steps: int = typer.Option(60, min=1, help="Training steps of an alternative."),
    batch_size: int = typer.Option(32, min=2, help="Images in a step."),
    learning_rate: float = typer.Option(2e-3, help="Of Adam, at the first step."),
    augment: Augment | None = None,
    seed: int = typer.Option(0, min=0, help="Of the order of images, and of the training of a teacher."),
    workers: int = typer.Option(0, min=0, max=1024, help="Processes; 0 for one per CPU. The result is the same."),
    max_memory_mb: float = typer.Option(None, min=1, help="For activations; 40 % of this machine's memory by default."),
    executor: str = typer.Option("local", help="local (processes of this machine) or ray."),
    address: str = typer.Option(None, help="Of a running Ray cluster; without it ray starts one here."),
    json: bool = JSON,
) -> None:
    """Train cheaper alternatives for every block of a teacher. If interrupted, the same command resumes.

    Example: mnas library build runs/teacher --out runs/library
    """
    from dataclasses import replace

    from mnas.errors import InputError
    from mnas.library.build import build_library
    from mnas.library.library import TEACHER
    from mnas.library.options import LibraryOptions
    from mnas.search.teacher import is_teacher_folder, prepare_teacher
    from mnas.space.around import check_fits_teacher, space_around
    from mnas.space.files import load_space
    from mnas.system.native_output import load_tensorflow

    if space is not None and resolutions is not None:
        raise InputError("--space has its own resolutions: leave out --resolutions")
    sizes = [] if resolutions is None else read_resolutions(resolutions)
    given = None if space is None else load_space(space)
    largest = max(sizes, default=None) if given is None else max(given.input_sizes)
    if not is_teacher_folder(teacher):  # it is trained here
        with output.console(stderr=True).status("Loading TensorFlow"):
            load_tensorflow()
    try:
        with output.progress("The teacher") as report:
            trained = prepare_teacher(
                teacher,
                out / TEACHER,
                data=data,
                resolution=largest,
                seed=seed,
                augment=augment,
                on_progress=report,
            )
    except KeyboardInterrupt:
        output.console(stderr=True).print("Interrupted: the same command resumes.")
        raise
    if given is None:
        chosen = space_around(trained.architecture, resolutions=sizes)
    else:
        chosen = given.with_data(num_classes=trained.architecture.num_classes)
        check_fits_teacher(chosen, trained.architecture)
    with output.console(stderr=True).status("Loading images"):
        source = replace(trained.data, name=data or trained.data.name)
        dataset = source.load(trained.architecture.resolution)
    options = LibraryOptions(steps=steps, batch_size=batch_size, learning_rate=learning_rate, seed=seed)
    try:
        with output.progress("Building the library") as report:
            library = build_library(
                trained,
                dataset,
                out,
                space=chosen,
                options=options,
                workers=workers,
                max_memory_mb=max_memory_mb,
                executor=executor,
                address=address,
                progress=report,
            )
    except KeyboardInterrupt:
        output.console(stderr=True).print("Interrupted: the same command resumes.")
        raise
    if json:
        output.print_json(_document(library, None))
        return
    count = sum(len(losses) for losses in library.losses)
    print(
        f"Written to {out}: {count} alternatives for {len(library.losses)} blocks, {library.space.size:.3g} networks."
    )
    print(f"Next: mnas library show {out}, or mnas search --library {out} --table TABLE --budget-ms B --study DIR")


def show(
    library: Path = typer.Argument(..., metavar="LIBRARY", help="A folder of mnas library build."),
    table: Path = typer.Option(None, "--table", help="A latency table: adds what each alternative costs."),
    resolution: int = typer.Option(
        None, metavar="INTEGER", parser=read_pixels, help="Input size in pixels, if not the library's largest."
    ),
    html: Path = typer.Option(None, "--html", metavar="FILE", help="Also draw loss against latency, block by block."),
    json: bool = JSON,
) -> None:
    """Show the losses of a library's alternatives, beside their latencies: where are the milliseconds cheap?

    Example: mnas library show runs/library --table latency_tables/phone.json --html library.html
    """
    from mnas.errors import InputError
    from mnas.library.library import open_library

    opened = open_library(library)
    if html is not None and table is None:
        raise InputError("--html draws loss against latency: add --table")
    document = _document(opened, table, resolution)
    if json:
        output.print_json(document)
    else:
        _print(document)
    if html is not None:
        from mnas.report.library_figure import library_figure
        from mnas.report.page import figures_page
        from mnas.system.files import write_atomically

        write_atomically(html, figures_page([library_figure(document["blocks"])], title=f"Block library {library}"))
        output.console(stderr=True).print(f"Written: {html}")


def _document(library: BlockLibrary, table: Path | None, resolution: int | None = None) -> dict[str, Any]:
    from msgspec.structs import asdict

    from mnas.errors import InputError
    from mnas.library.savings import savings

    space = library.space
    sizes = space.input_sizes
    if resolution is not None and resolution not in sizes:
        raise InputError(f"--resolution is {resolution}: the library has {', '.join(map(str, sizes))} px")
    latencies = None
    if table is not None:
        from mnas.latency.estimator import LatencyEstimator
        from mnas.latency.limits import load_table

        one_size = space.at(resolution or sizes[0])
        _, latencies = LatencyEstimator(load_table(table)).costs(one_size).additive()
    blocks = []
    for number, (stage, losses) in enumerate(zip(space.stages, library.losses, strict=True)):
        names = stage.decisions[0].choices
        rows = [
            {
                "block": names[choice],
                "loss": float(losses[choice]),
                "latency_ms": None if latencies is None else float(latencies[number][choice]),
            }
            for choice in range(len(names))
        ]
        blocks.append({"number": number + 1, "alternatives": rows})
    made_from = library.made_from
    cheap = [] if latencies is None else [asdict(row) for row in savings(blocks)]
    return {
        "library": str(library.folder),
        "teacher": made_from["teacher"]["weights_sha256"],
        "data": made_from["data"]["name"],
        "options": made_from["options"],
        "fingerprint": library.fingerprint,
        "num_alternatives": sum(len(losses) for losses in library.losses),
        "num_networks": space.size,
        "resolutions": list(sizes),
        "blocks": blocks,
        "savings": cheap,
    }


def _print(document: dict[str, Any]) -> None:
    """One table: each block's alternatives, the one with the smallest loss first."""
    largest = max(row["loss"] for block in document["blocks"] for row in block["alternatives"]) or 1.0
    rows = []
    for block in document["blocks"]:
        own = block["alternatives"][0]["latency_ms"]
        for row in sorted(block["alternatives"], key=lambda row: row["loss"]):
            bar = "#" * round(_BAR * min(1.0, row["loss"] / largest))
            cells = [f"{block['number']:2} {row['block']}", f"{row['loss']:.4f}", bar.ljust(_BAR)]
            if own is not None:
                cells += [f"{row['latency_ms']:.3f}", f"{row['latency_ms'] - own:+.3f}"]
            rows.append(cells)
    columns = ["block", "loss", "", *(["ms", "against the first"] if own is not None else [])]
    output.table(f"Block library {document['library']}", columns, rows)
    print(
        f"{document['num_alternatives']} alternatives for {len(document['blocks'])} blocks of a teacher on "
        f"{document['data']}, {document['num_networks']:.3g} networks. The loss is the squared error against the "
        "teacher's output on held-out images, over the output's variance."
    )
    if document["savings"]:
        _print_savings(document["savings"])


def _print_savings(savings: list[dict[str, Any]]) -> None:
    rows = [
        [
            row["change"],
            str(row["blocks"]),
            f"{row['loss']:.4f}",
            f"{row['saved_ms']:.3f}",
            "-" if row["loss_per_ms"] is None else f"{row['loss_per_ms']:.2f}",
        ]
        for row in savings
    ]
    output.table("Where milliseconds are cheap", ["change", "blocks", "loss", "ms saved", "loss per ms"], rows)
    print("A change alone, in every block that has such an alternative: means, and the loss of all over the ms of all.")


library = typer.Typer(no_args_is_help=True, help="Make and look at block libraries.")
add_command(library, "build", build)
add_command(library, "show", show)
