"""`mnas scale`: grow a network by EfficientNet's compound scaling, to a size or to a measured latency."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mnas.cli import output
from mnas.cli.options import ARCH, JSON
from mnas.search.options import MaxTrainImages

if TYPE_CHECKING:
    from mnas.scaling.family import Member
    from mnas.scaling.members import Scaling


def scale(
    arch: str = ARCH,
    phi: float = typer.Option(
        None, "--phi", help="Grow by the formula: alpha^phi deeper, beta^phi wider, gamma^phi larger."
    ),
    published: str = typer.Option(None, "--published", help="Grow by a published row: b0 to b7, lite0 to lite4."),
    to_ms: list[float] = typer.Option(
        [], "--to-ms", help="Scale to a latency: one for each --table, or several for one."
    ),
    family: str = typer.Option(None, "--family", help="A family by the formula, such as 0..4; --out is then a folder."),
    grid: bool = typer.Option(
        False, "--grid", help="Find alpha, beta, gamma: train and score every candidate on --data."
    ),
    table: list[Path] = typer.Option([], "--table", help="Latency tables: each member's latency is predicted."),
    data: str = typer.Option(None, "--data", help="Score every network on this data; --grid needs it."),
    evaluator: str = typer.Option(
        "proxy", "--evaluator", help="proxy (short trainings on --data), or your own evaluator: python:MODULE:FUNCTION."
    ),
    coefficients: str = typer.Option("1.2,1.1,1.15", help="alpha,beta,gamma, or a file from --grid."),
    lite: bool = typer.Option(
        False, "--lite", help="EfficientNet-Lite's rules: stem, head and the repeats of the first and last stage stay."
    ),
    steps: int = typer.Option(200, min=1, help="Training steps of each network that is scored."),
    batch: int = typer.Option(64, min=2, help="Images in each training step."),
    max_train_images: MaxTrainImages | None = None,
    grid_step: float = typer.Option(0.1, help="Distance between the points of the grid."),
    keep_weights: bool = typer.Option(
        None,
        "--keep-weights/--no-keep-weights",
        help="Begin with the weights of a trained network, which give the same outputs; the default where ARCH has "
        "weights and they can be kept, for a folder as --out, and for --grid.",
    ),
    seed: int = typer.Option(0, min=0, help="Seed of the short trainings, and of grown weights."),
    out: Path = typer.Option(
        None, "--out", help="A JSON file; a folder for a family, or for a network with its weights."
    ),
    json: bool = JSON,
) -> None:
    """Grow a network into a larger one. Example: mnas scale efficientnet-b0 --phi 1 --out b1.json.

    A trained network or a study's trained winner keeps its weights: mnas scale runs/first --phi 1 --out runs/bigger,
    then mnas train runs/bigger --out runs/bigger-trained.
    """
    from mnas.evaluators.multi_resolution import make_scorer
    from mnas.scaling import members

    scorer = make_scorer(evaluator, data=data, steps=steps, batch=batch, max_train_images=max_train_images, seed=seed)
    with output.progress("Scaling") as progress:
        found = members.scale(
            arch,
            phi=phi,
            published=published,
            to_ms=to_ms,
            family=family,
            grid=grid,
            tables=table,
            coefficients=coefficients,
            lite=lite,
            grid_step=grid_step,
            scorer=scorer,
            out=out,
            keep_weights=keep_weights,
            seed=seed,
            progress=progress,
        )
    for note in found.notes:
        output.console(stderr=True).print(note, soft_wrap=True)
    if json:
        output.print_json(found.document)
    elif grid:
        _show_grid(found)
    else:
        _show(found)


def _show(found: Scaling) -> None:
    """The base and its members; columns without values are left out."""
    from mnas.arch.complexity import complexity

    first, cost = found.members[0], complexity(found.base)
    scored, names = first.accuracy is not None, list(first.latencies_ms)
    heads = ["ms (90 %)"] if len(names) == 1 else [f"ms on {number}" for number in range(1, len(names) + 1)]
    columns = ["network", "px", "blocks", "parameters", "MAdds (M)", *(["accuracy"] if scored else []), *heads]
    blocks = sum(stage.repeats for stage in found.base.stages)
    base = ["base", str(found.base.resolution), str(blocks), f"{cost.params:,}", f"{cost.madds / 1e6:,.1f}"]
    base += [""] * (len(columns) - len(base))
    output.table(f"Compound scaling of {found.name}", columns, [base, *map(_row, found.members)])
    for number, name in enumerate(names, 1):
        beyond = sum(bool(member.extrapolated.get(name)) for member in found.members)
        more = f"; {beyond} of {len(found.members)} have blocks that it lacks, extrapolated" if beyond else ""
        print(f"Latency{f' {number}' if len(names) > 1 else ''}: predicted by {name}{more}.")
    file, kind = found.document["file"], "FOLDER" if "members" in found.document else "FILE.json"
    print(f"Written to {file}." if file else f"Add --out {kind} to keep it.")
    if "weights_from" in found.document:
        folder = f"{file}/{first.name}" if "members" in found.document else file
        print(f"Begins with the weights of {found.document['weights_from']}.")
        print(f"Next: mnas train {folder} --out {folder}-trained")


def _row(member: Member) -> list[str]:
    row = member.row()
    shown = [
        row["name"],
        str(row["resolution"]),
        str(row["layers"]),
        f"{row['params']:,}",
        f"{row['madds'] / 1e6:,.1f}",
    ]
    if member.accuracy is not None:
        shown.append(f"{member.accuracy:.1%}")
    for name, latency in member.latencies_ms.items():
        interval = member.intervals_ms[name]
        shown.append("" if interval is None else f"{latency:.3g} ({interval[0]:.3g}-{interval[1]:.3g})")
    return shown


def _show_grid(found: Scaling) -> None:
    from mnas.scaling.coefficients import best_of

    rows = [
        [
            f"{one.coefficients.alpha:g}, {one.coefficients.beta:g}, {one.coefficients.gamma:g}",
            f"{one.coefficients.growth:.2f}",
            str(one.architecture.resolution),
            f"{one.madds:,}",
            f"{one.accuracy:.2%}",
        ]
        for one in sorted(found.candidates, key=lambda one: -one.accuracy)
    ]
    output.table("Grid for phi = 1", ["alpha, beta, gamma", "growth", "pixels", "multiply-adds", "accuracy"], rows)
    best, out = best_of(found.candidates).coefficients, found.document["file"]
    print(f"Best: {best.alpha:g}, {best.beta:g}, {best.gamma:g}. Written to {out}; use it with --coefficients {out}.")
