"""`mnas space`: decisions, size and costs of search spaces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import typer

from mnas.cli import output
from mnas.cli.options import JSON, add_command, read_integers, read_numbers, read_resolutions
from mnas.cli.survey import survey

if TYPE_CHECKING:
    from mnas.space.costs import SpaceCosts
    from mnas.space.space import SearchSpace


def show(
    space: str = typer.Argument(..., metavar="SPACE", help="A shipped space or a TOML file."),
    table: Path = typer.Option(None, "--table", help="A latency table: adds the range of latency it predicts."),
    json: bool = JSON,
) -> None:
    """Show a space's decisions, its size, and what its networks cost. Example: mnas space show mnasnet-32."""
    from mnas.space.files import load_space

    chosen = load_space(space)
    document = _document(chosen, table)
    if json:
        output.print_json(document)
        return
    _print(chosen, document)


def around(
    teacher: str = typer.Argument(
        ...,
        metavar="TEACHER",
        help="A zoo name, a JSON file, a folder of mnas train; or train, the network that mnas search --teacher "
        "train makes from the data.",
    ),
    out: Path = typer.Option(None, metavar="FILE.toml", help="Write the space there, for --space of other commands."),
    resolutions: str = typer.Option(
        None, metavar="SIZES", help="Input sizes to choose from, e.g. 96,128,160; by default the teacher's."
    ),
    kernel_sizes: str = typer.Option("3,5,7", metavar="SIZES", help="Of the depthwise convolutions."),
    expansion_shares: str = typer.Option(
        None, metavar="SHARES", help="Of the teacher's expansion ratios; by default a third, a half, two thirds and 1."
    ),
    classes: int = typer.Option(None, min=2, help="Number of classes, if not the teacher's."),
    table: Path = typer.Option(None, "--table", help="A latency table: adds the range of latency it predicts."),
    json: bool = JSON,
) -> None:
    """Make the space around a teacher: for each of its blocks, cheaper and wider ones that can take its place.

    Example: mnas space around efficientnet-lite0 --resolutions 96,128,160 --out lite0.toml
    """
    from mnas.arch.zoo import network_for_images
    from mnas.space.around import EXPANSION_SHARES, space_around
    from mnas.space.files import save_space
    from mnas.study.references import resolve_architecture

    sizes = [] if resolutions is None else read_resolutions(resolutions)
    network = network_for_images(max(sizes, default=None)) if teacher == "train" else resolve_architecture(teacher)
    shares = EXPANSION_SHARES if expansion_shares is None else read_numbers("--expansion-shares", expansion_shares)
    chosen = space_around(
        network,
        name=f"around-{Path(teacher).stem}"[:100],
        kernel_sizes=read_integers("--kernel-sizes", kernel_sizes),
        expansion_shares=shares,
        resolutions=sizes,
    ).with_data(num_classes=classes)
    document = _document(chosen, table)
    if out is not None:
        save_space(chosen, out)
        document["file"] = str(out)
    if json:
        output.print_json(document)
        return
    _print(chosen, document)
    if out is not None:
        print(f"Written: {out}. Next: mnas profile --space {out} --out TABLE.json")


def _print(chosen: SearchSpace, document: dict[str, Any]) -> None:
    rows = [[entry["name"], _lines(entry["choices"])] for entry in document["decisions"]]
    sizes = ", ".join(map(str, chosen.input_sizes))
    output.table(f"{chosen.name}, {sizes} px, {chosen.num_classes} classes", ["decision", "choices"], rows)
    low, high = document["madds"]
    print(f"{chosen.size:.4g} architectures, {document['num_table_keys']} keys in a latency table.")
    print(f"Multiply-adds from {low:,} to {high:,}, parameters from {document['params'][0]:,} to ", end="")
    print(f"{document['params'][1]:,}.")
    if "latency_ms" in document:
        print("Latency from {:.3f} to {:.3f} ms by this table.".format(*document["latency_ms"]))


def _lines(choices: Sequence[Any]) -> str:
    """Choices with commas, in lines that leave room for the decision's name."""
    return fill(", ".join(map(str, choices)), 58, break_long_words=False, break_on_hyphens=False)


def _document(space: SearchSpace, table: Path | None) -> dict[str, Any]:
    from mnas.arch.complexity import block_complexity
    from mnas.space.costs import SpaceCosts

    document = {
        "name": space.name,
        "resolution": space.resolution,
        **({"resolutions": list(space.resolutions)} if space.resolutions else {}),
        "num_classes": space.num_classes,
        "size": space.size,
        "fingerprint": space.fingerprint,
        "num_table_keys": len({placed.key for placed in space.placed_blocks()}),
        "madds": [int(cost) for cost in _range(SpaceCosts(space, lambda placed: block_complexity(placed).madds))],
        "params": [int(cost) for cost in _range(SpaceCosts(space, lambda placed: block_complexity(placed).params))],
        "decisions": [{"name": decision.name, "choices": list(decision.choices)} for decision in space.decisions],
    }
    if table is not None:
        from mnas.latency.estimator import LatencyEstimator
        from mnas.latency.limits import load_table

        document["latency_ms"] = _range(LatencyEstimator(load_table(table)).costs(space))
    return document


def _range(costs: SpaceCosts) -> list[float]:
    """The exact minimum and maximum."""
    return [costs.extreme()[1], costs.extreme(largest=True)[1]]


space = typer.Typer(no_args_is_help=True, help="Look at search spaces, and make one around a teacher.")
add_command(space, "show", show)
add_command(space, "around", around)
add_command(space, "survey", survey)
