"""`mnas zoo`: the published networks."""

from __future__ import annotations

import typer

from mnas.cli import output
from mnas.cli.options import JSON


def zoo(
    name: str = typer.Argument(None, help="The network to show as blocks; without it, all are listed."),
    json: bool = JSON,
) -> None:
    """List the published networks, or show one as blocks. Example: mnas zoo mnasnet-a1."""
    from mnas.arch.codec import architecture_to_dict, format_stage
    from mnas.arch.complexity import complexity
    from mnas.arch.zoo import ZOO
    from mnas.arch.zoo import zoo as find

    networks = ZOO if name is None else {name: find(name)}
    costs = {key: complexity(network) for key, network in networks.items()}
    if json:
        rows = [
            {
                "name": key,
                "params": costs[key].params,
                "madds": costs[key].madds,
                "resolution": network.resolution,
                "architecture": architecture_to_dict(network),
            }
            for key, network in networks.items()
        ]
        output.print_json(rows if name is None else rows[0])
        return
    rows_text = [
        [key, str(network.resolution), f"{costs[key].params:,}", f"{costs[key].madds:,}"]
        for key, network in networks.items()
    ]
    output.table("The zoo", ["network", "pixels", "parameters", "multiply-adds"], rows_text)
    if name is not None:
        for stage in networks[name].stages:
            output.console().print(f"  {format_stage(stage)}")
        print(f"Block by block: mnas cost {name}")
