"""EfficientNet's compound scaling: depth, width and resolution grow together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from mnas.arch.memory import check_fits
from mnas.arch.resize import resize
from mnas.arch.spec import Architecture
from mnas.arch.zoo import EFFICIENTNET_ROWS, LITE_ROWS, resize_row
from mnas.checks import check_fields, check_number
from mnas.errors import InputError

Factor = Annotated[float, Meta(ge=1, le=10)]
PUBLISHED = (*EFFICIENTNET_ROWS, *LITE_ROWS)


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Depth grows as alpha^phi, width as beta^phi, resolution as gamma^phi (Tan and Le 2019, eq. 3).

    Multiply-adds grow by about (alpha * beta^2 * gamma^2)^phi; EfficientNet keeps that product
    near 2. The defaults are EfficientNet's.
    """

    alpha: Factor = 1.2
    beta: Factor = 1.1
    gamma: Factor = 1.15

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def growth(self) -> float:
        """Alpha * beta^2 * gamma^2, the growth of multiply-adds for phi = 1."""
        return self.alpha * self.beta**2 * self.gamma**2


def scale_by_formula(
    architecture: Architecture, phi: float, coefficients: Coefficients | None = None, *, lite: bool = False
) -> Architecture:
    """Scale a network by the formula. phi = 0 returns the network itself.

    The resolution is rounded to the nearest multiple of 8 above 64 px and to the nearest even number below. `lite`
    follows EfficientNet-Lite: stem, head, and the repeats of the first and last stage stay as they are.

    Raises:
        InputError: for a phi outside 0 to 20, or a network too large to describe, for a file or for this machine's
            memory; the message states its size.
    """
    check_number("phi", phi, 0, 20)
    if phi == 0:
        return architecture
    chosen = coefficients or Coefficients()
    grown = grow(architecture, chosen.alpha**phi, chosen.beta**phi, chosen.gamma**phi, lite=lite)
    check_fits(grown)
    return grown


def grow(architecture: Architecture, depth: float, width: float, size: float, *, lite: bool = False) -> Architecture:
    """Multiply repeats, filters and resolution by three factors, each rounded as `scale_by_formula` does.

    Raises:
        InputError: for a network larger than mnas can describe.
    """
    step = 8 if architecture.resolution >= 64 else 2
    resolution = max(step, round(architecture.resolution * size / step) * step) if size != 1 else None
    return resize(architecture, width=width, depth=depth, resolution=resolution, lite=lite)


def scale_published(architecture: Architecture, name: str) -> Architecture:
    """Scale a network by a published row: b0 to b7, or lite0 to lite4 with Lite's rules.

    The published resolutions belong to a base of 224 px; another base's is scaled in proportion, to an even number.

    Raises:
        InputError: for an unknown row.
    """
    if name not in PUBLISHED:
        raise InputError(f"unknown published row {name!r}: expected one of {', '.join(PUBLISHED)}")
    lite = name in LITE_ROWS
    width, depth, resolution, dropout = (LITE_ROWS if lite else EFFICIENTNET_ROWS)[name]
    if architecture.resolution != 224:
        resolution = round(architecture.resolution * resolution / 224 / 2) * 2
    return resize_row(architecture, (width, depth, resolution, dropout), lite=lite)
