"""The winner of a study as `best.json` has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from mnas.arch.codec import architecture_from_dict, architecture_to_dict
from mnas.checks import AnyText, Number, Share, convert
from mnas.errors import InputError, MnasError
from mnas.trial import Count, Latency, Trial, TrialNumber


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Sort successful trials by reward, highest first; equal ones by number."""
    done = [trial for trial in trials if trial.reward is not None]
    return sorted(done, key=lambda trial: (-(trial.reward or 0.0), trial.number))


class _Winner(Struct, frozen=True):
    """What `winner_to_dict` writes."""

    number: TrialNumber
    architecture: dict[str, Any]
    accuracy: Share
    latency_ms: Latency | None
    latencies_ms: tuple[Latency, ...]
    reward: Number
    params: Count
    madds: Count
    trained_longer: bool
    measured_ms: Latency | None = None
    trained: AnyText | None = None  # a folder in the study


def check_winner(document: Any) -> None:
    """Raise an `InputError` for a document that `winner_to_dict` does not write."""
    found = convert(document, _Winner, "")
    architecture_from_dict(found.architecture)
    if found.latency_ms != next(iter(found.latencies_ms), None):
        raise InputError("latency_ms is not the first of latencies_ms")


def winner_to_dict(trial: Trial, *, longer: bool) -> dict[str, Any]:
    """Return the winner as best.json has it.

    Args:
        trial: the winner.
        longer: whether its accuracy comes from the longer training.
    """
    found = trial.measurement
    if found is None or trial.reward is None:
        raise MnasError(f"trial {trial.number} failed and cannot win: {trial.error}")
    return {
        "number": trial.number,
        "architecture": architecture_to_dict(trial.architecture),
        "accuracy": found.accuracy,
        "latency_ms": found.latency_ms,
        "latencies_ms": list(found.latencies_ms),
        "reward": trial.reward,
        "params": found.params,
        "madds": found.madds,
        "trained_longer": longer,
    }


def trained_folder(study: Path, best: Mapping[str, Any] | None) -> Path | None:
    """Return the folder of a study's trained winner; None if there is no winner, or it was not trained.

    Args:
        study: the study's folder.
        best: the winner as in best.json.

    Raises:
        InputError: if best.json names a folder outside of the study.
    """
    if best is None or best.get("trained") is None:
        return None
    folder = study / str(best["trained"])
    if not folder.resolve().is_relative_to(study.resolve()):
        raise InputError(f"{study}/best.json names a trained network outside of the study ({folder}): was it edited?")
    return folder
