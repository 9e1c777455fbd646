"""EfficientNet's grid over alpha, beta and gamma, candidate by candidate; an interrupted grid can be resumed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mnas.arch.codec import architecture_to_dict
from mnas.arch.complexity import complexity
from mnas.arch.spec import Architecture
from mnas.checks import check_number
from mnas.errors import InputError, MnasError
from mnas.scaling.coefficients import Candidate, save_coefficients
from mnas.scaling.compound import Coefficients
from mnas.system.files import is_document, read_json, write_json

FORMAT = "mnas.grid"
VERSION = 1
Networks = Mapping[Architecture, Coefficients]

log = logging.getLogger(__name__)


def run_grid(
    base: Architecture,
    networks: Networks,
    evaluate: Callable[[Architecture], float],
    evaluated: Mapping[str, Any],
    out: Path,
    *,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[list[Candidate], dict[str, Any]]:
    """Evaluate every network of a grid and write the best coefficients.

    An interrupted grid resumes when it is run again: its accuracies are in a file beside `out`. A candidate that
    cannot be evaluated, such as one whose training diverges, is left out, and the file says so.

    Args:
        base: the network that is scaled.
        networks: as `mnas.scaling.coefficients.different` returns them.
        evaluate: from a network to its accuracy, with the same budget for each.
        evaluated: how it evaluates, as plain data; only a grid evaluated in the same way is resumed.
        out: the file of coefficients.
        progress: called with the number of networks that are done.

    Returns:
        The candidates, and the file's content.

    Raises:
        InputError: if another grid was started at `out`.
        MnasError: if no candidate can be evaluated, or a file cannot be written.
    """
    kept = out.with_name(f"{out.name}.partial")
    made_of = {
        "base": architecture_to_dict(base),
        "evaluator": dict(evaluated),
        "grid": [_name(point) for point in networks.values()],
    }
    found = _read(kept, made_of)
    candidates, failed = [], {}
    for number, (network, point) in enumerate(networks.items(), 1):
        name = _name(point)
        if name not in found:
            found[name] = _evaluate(evaluate, network, name)
            write_json(kept, {"format": FORMAT, "version": VERSION, "made_of": made_of, "found": found})
        progress(number)
        if "error" in found[name]:
            failed[name] = found[name]["error"]
        else:
            candidates.append(Candidate(point, network, found[name]["accuracy"], complexity(network).madds))
    if not candidates:
        kept.unlink(missing_ok=True)
        raise MnasError(
            f"no network of the grid could be evaluated; the first failed because: {next(iter(failed.values()))}"
        )
    document = save_coefficients(out, base, candidates, evaluated, failed=failed)
    kept.unlink(missing_ok=True)
    return candidates, document


def _name(point: Coefficients) -> str:
    return f"{point.alpha:g},{point.beta:g},{point.gamma:g}"


def _evaluate(evaluate: Callable[[Architecture], float], network: Architecture, name: str) -> dict[str, Any]:
    try:
        return {"accuracy": float(evaluate(network))}
    except InputError:
        raise  # every candidate would fail in the same way
    except MnasError as error:
        log.warning("the candidate %s is left out: %s", name, error)
        return {"error": str(error)}


def _read(kept: Path, made_of: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The outcomes of an interrupted run of the same grid."""
    if not kept.is_file():
        return {}
    document = read_json(kept, "an interrupted grid")
    if not is_document(document, FORMAT, VERSION) or document.get("made_of") != made_of:
        raise InputError(f"{kept} is of another grid, which was interrupted: delete it, or use another --out")
    found = document.get("found")
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise InputError(f"{kept} is damaged: delete it to start again")
    for name, one in found.items():
        if "error" not in one:
            check_number(f"{kept}: the accuracy of {name}", one.get("accuracy"), 0, 1)
    log.info("resuming a grid: %d of its networks are done", len(found))
    return found
