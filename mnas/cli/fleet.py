"""`mnas fleet`: one block library, many devices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mnas.cli import output
from mnas.cli.options import JSON

if TYPE_CHECKING:
    from mnas.experiments.fleet import FleetNetwork


def fleet(
    library: Path = typer.Option(..., help="A folder of mnas library build."),
    tables: list[str] = typer.Option(..., "--tables", help="A latency table; may be given several times."),
    budget_ms: list[float] = typer.Option(..., help="A latency budget on every table; may be given several times."),
    data: str = typer.Option(None, help="The library's images, if they are elsewhere now than when it was made."),
    confirmed: int = typer.Option(8, min=1, help="Networks per table and budget that are scored as stitched networks."),
    out: Path = typer.Option(None, metavar="DIR", help="Also write each network as a JSON file there."),
    json: bool = JSON,
) -> None:
    """Find the best networks of a block library for several devices and budgets, without training.

    Example: mnas fleet --library runs/library --tables a.json --tables b.json --budget-ms 2 --budget-ms 5
    """
    with output.console(stderr=True).status("Loading TensorFlow"):
        from mnas.system.native_output import load_tensorflow

        load_tensorflow()
        from mnas.experiments.fleet import fleet as find
    with output.progress("Fleet") as report:
        found = find(library, tables, budget_ms, data=data, confirmed=confirmed, on_progress=report)
    tables = list(dict.fromkeys(tables))
    files = [] if out is None else _write(found, out)
    if json:
        output.print_json({"library": str(library), "tables": tables, "networks": [each.to_dict() for each in found]})
        return
    numbers = {name: str(number) for number, name in enumerate(tables, 1)}
    rows = [_row(each, numbers) for each in found]
    columns = ["budget and tables", "predicted", "stitched", *(f"ms, table {n}" for n in numbers.values()), "serves"]
    output.table(f"The fleet of {library}", columns, rows)
    for name, number in numbers.items():
        print(f"Table {number}: {name}")
    print(
        "Accuracies are on validation images, before any fine-tuning. `serves` lists table@budget in ms. Next, for one "
        "of them: mnas search --strategy exact --library LIBRARY --table TABLE --budget-ms B --study DIR"
    )
    for path in files:
        print(f"Written: {path}")


def _row(found: FleetNetwork, numbers: dict[str, str]) -> list[str]:
    name = f"{found.budget_ms:g} ms, " + (
        f"table {numbers[found.tables[0]]}" if len(found.tables) == 1 else f"all {len(found.tables)} tables"
    )
    if found.architecture is None or found.predicted is None or found.stitched is None:
        return [name, "none is that fast", "", *([""] * len(numbers)), ""]
    latencies = [f"{latency_ms:.3f}" for latency_ms in found.latencies_ms]
    serves = " ".join(f"{numbers[table]}@{budget_ms:g}" for table, budget_ms in found.serves)
    return [name, f"{found.predicted:.2%}", f"{found.stitched:.2%}", *latencies, serves]


def _write(found: list[FleetNetwork], folder: Path) -> list[Path]:
    from mnas.arch.codec import architecture_to_json
    from mnas.system.files import write_atomically

    paths = []
    for number, each in enumerate(found, 1):
        if each.architecture is not None:
            path = folder / f"network-{number:02d}-{each.budget_ms:g}ms.json"
            write_atomically(path, architecture_to_json(each.architecture, indent=1) + "\n")
            paths.append(path)
    return paths
