"""`mnas sample`: random architectures of a space, one JSON a line."""

from __future__ import annotations

import typer


def sample(
    space: str = typer.Option("mnasnet", help="A shipped space or a TOML file."),
    count: int = typer.Option(1, min=1, max=1_000_000, help="How many."),
    seed: int = typer.Option(0, min=0, help="The same seed gives the same architectures."),
) -> None:
    """Print random architectures, one JSON a line. Example: mnas sample --space mnasnet-32 --count 3 --seed 7."""
    import numpy as np

    from mnas.arch.codec import architecture_to_json
    from mnas.space.files import load_space

    chosen = load_space(space)
    rng = np.random.default_rng(seed)
    for _ in range(count):
        print(architecture_to_json(chosen.sample(rng)))
