"""`mnas scale`: grow a network by EfficientNet's compound scaling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from mnas.cli import common


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("scale")(scale)


def scale(
    arch: str = common.ARCH,
    phi: float = typer.Option(
        None, "--phi", help="Grow by the formula: alpha^phi deeper, beta^phi wider, gamma^phi larger."
    ),
    published: str = typer.Option(None, "--published", help="Grow by a published row: b0 to b7, lite0 to lite4."),
    coefficients: str = typer.Option("1.2,1.1,1.15", help="alpha,beta,gamma for --phi."),
    out: Path = typer.Option(None, "--out", help="Write the architecture to this JSON file."),
    json: bool = common.JSON,
) -> None:
    """Grow a network into a larger one. Example: mnas scale efficientnet-b0 --phi 1 --out b1.json."""
    from mnas.arch.codec import architecture_to_dict
    from mnas.arch.complexity import complexity
    from mnas.errors import InputError
    from mnas.files import write_json
    from mnas.scaling import scale_by_formula, scale_published

    if (phi is None) == (published is None):
        raise InputError("expected one of --phi 1 (the formula) and --published b1 (a published row)")
    base = common.resolve_architecture(arch)
    if published is not None:
        grown = scale_published(base, published)
    else:
        grown = scale_by_formula(base, phi, _coefficients(coefficients))
    before, after = complexity(base), complexity(grown)
    if out is not None:
        write_json(out, architecture_to_dict(grown))
    document: dict[str, Any] = {
        "architecture": architecture_to_dict(grown),
        "params": after.params,
        "madds": after.madds,
        "madds_growth": after.madds / before.madds,
        "file": str(out) if out else None,
    }
    if json:
        common.print_json(document)
        return
    rows = [
        [name, str(net.resolution), f"{cost.params:,}", f"{cost.madds:,}"]
        for name, net, cost in ((arch, base, before), ("scaled", grown, after))
    ]
    common.table("Compound scaling", ["network", "pixels", "parameters", "multiply-adds"], rows)
    print(f"Written to {out}." if out else "Add --out FILE.json to keep it.")


def _coefficients(text: str) -> Any:
    from mnas.errors import InputError
    from mnas.scaling import Coefficients

    try:
        alpha, beta, gamma = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--coefficients is {text!r}: expected three numbers such as 1.2,1.1,1.15") from None
    return Coefficients(alpha, beta, gamma)
