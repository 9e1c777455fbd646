"""EfficientNet's own step: a small grid over alpha, beta and gamma, each candidate evaluated, the best one kept.

Tan and Le 2019, section 3.3: phi is 1, alpha * beta^2 * gamma^2 is about 2, and alpha, beta and gamma are at least 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mnas import __version__
from mnas.arch.codec import architecture_to_dict
from mnas.arch.spec import Architecture
from mnas.checks import check_number
from mnas.errors import InputError
from mnas.scaling.compound import Coefficients, scale_by_formula
from mnas.system.files import is_document, read_json, write_json

FORMAT = "mnas.coefficients"
VERSION = 1
GROWTH = 2.0
_MOST = 2.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """One point of the grid.

    Attributes:
        coefficients: alpha, beta, gamma.
        architecture: the base, grown with phi = 1.
        accuracy: by the evaluator, 0 to 1.
        madds: multiply-adds of the grown network.
    """

    coefficients: Coefficients
    architecture: Architecture
    accuracy: float
    madds: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        grown = architecture_to_dict(self.architecture)
        return {**asdict(self.coefficients), "accuracy": self.accuracy, "madds": self.madds, "architecture": grown}


def grid(*, step: float = 0.1, tolerance: float = 0.1) -> list[Coefficients]:
    """Return all alpha, beta, gamma in steps from 1 whose growth is within the tolerance of 2.

    Raises:
        InputError: for a step or a tolerance out of range, or if no point remains.
    """
    check_number("--grid-step", step, 0.01, 0.5)
    check_number("tolerance", tolerance, 0.001, 0.5)
    steps = [round(1 + step * number, 6) for number in range(int((_MOST - 1) / step) + 1)]
    found = itertools.starmap(Coefficients, itertools.product(steps, repeat=3))
    points = [point for point in found if abs(point.growth - GROWTH) <= tolerance]
    if not points:
        raise InputError(f"a grid with steps of {step:g} has no point near {GROWTH:g}: use a smaller --grid-step")
    return points


def different(
    base: Architecture,
    points: list[Coefficients],
    *,
    lite: bool = False,
    fit: Callable[[Architecture], Architecture] = lambda scaled: scaled,
) -> dict[Architecture, Coefficients]:
    """Return the networks of the points, each with its first point: rounding makes many small networks equal.

    Each network is passed through `fit`, which may change it.
    """
    found: dict[Architecture, Coefficients] = {}
    for point in points:
        found.setdefault(fit(scale_by_formula(base, 1, point, lite=lite)), point)
    return found


def best_of(candidates: Sequence[Candidate]) -> Candidate:
    """The most accurate; among equals the one with fewer multiply-adds.

    Raises:
        InputError: for an empty list.
    """
    if not candidates:
        raise InputError("the grid has no candidates")
    return min(candidates, key=lambda one: (-one.accuracy, one.madds))


def save_coefficients(
    path: Path,
    base: Architecture,
    candidates: list[Candidate],
    evaluated: Mapping[str, Any],
    *,
    failed: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Write the best coefficients with their network and all candidates; returns the file's content.

    Args:
        path: the file; it also contains the best candidate's architecture.
        base: the network that was scaled.
        candidates: those with an accuracy.
        evaluated: how they were evaluated, as plain data.
        failed: the reasons of candidates that could not be evaluated, by their coefficients.

    Raises:
        InputError: without candidates.
        MnasError: if it cannot be written.
    """
    best = best_of(candidates)
    document = {
        "format": FORMAT,
        "version": VERSION,
        **asdict(best.coefficients),
        "architecture": architecture_to_dict(best.architecture),
        "found": {
            "how": f"grid over alpha * beta^2 * gamma^2 near {GROWTH:g}, each candidate trained and scored",
            "base": architecture_to_dict(base),
            "evaluator": dict(evaluated),
            "candidates": [one.to_dict() for one in candidates],
            "failed": dict(failed or {}),
            "mnas_version": __version__,
        },
    }
    write_json(path, document)
    return document


def read_coefficients(text: str) -> Coefficients:
    """Read `1.2,1.1,1.15`, or a file that `save_coefficients` wrote.

    Raises:
        InputError: if it is neither.
    """
    if Path(text).is_file():
        data = read_json(text, "a file of coefficients")
        if not is_document(data, FORMAT, VERSION):
            raise InputError(f"{text} is not a file of coefficients: make one with mnas scale ARCH --grid --data D")
        return Coefficients(*(data.get(name, 0) for name in ("alpha", "beta", "gamma")))
    try:
        alpha, beta, gamma = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"--coefficients is {text!r}: expected three numbers such as 1.2,1.1,1.15, or a file from --grid"
        ) from None
    return Coefficients(alpha, beta, gamma)
