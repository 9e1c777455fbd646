"""`mnas space`: decisions, size and costs of search spaces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mnas.cli import output
from mnas.cli.options import JSON, add_command
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
    rows = [[entry["name"], ", ".join(map(str, entry["choices"]))] for entry in document["decisions"]]
    output.table(f"{chosen.name}, {chosen.resolution} px, {chosen.num_classes} classes", ["decision", "choices"], rows)
    low, high = document["madds"]
    print(f"{chosen.size:.4g} architectures, {document['num_table_keys']} keys in a latency table.")
    print(f"Multiply-adds from {low:,} to {high:,}, parameters from {document['params'][0]:,} to ", end="")
    print(f"{document['params'][1]:,}.")
    if table is not None:
        print("Latency from {:.3f} to {:.3f} ms by this table.".format(*document["latency_ms"]))


def _document(space: SearchSpace, table: Path | None) -> dict[str, Any]:
    from mnas.arch.complexity import block_complexity
    from mnas.space.costs import SpaceCosts

    document = {
        "name": space.name,
        "resolution": space.resolution,
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
        from mnas.latency.table import LatencyTable

        document["latency_ms"] = _range(LatencyEstimator(LatencyTable.load(table)).costs(space))
    return document


def _range(costs: SpaceCosts) -> list[float]:
    """The exact minimum and maximum."""
    return [costs.extreme()[1], costs.extreme(largest=True)[1]]


space = typer.Typer(no_args_is_help=True, help="Look at search spaces.")
add_command(space, "show", show)
add_command(space, "survey", survey)
