"""Who watches a search: progress displays, TensorBoard, copies elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mnas.system.remote import Mirror
    from mnas.trial import Trial


@dataclass(frozen=True)
class Plan:
    """What a search is going to do.

    Attributes:
        totals: how many trials each log will hold, by the log's name; they run in this order.
        concurrency: how many of a log's trials are evaluated at the same time, by its name.
    """

    totals: Mapping[str, int]
    concurrency: Mapping[str, int]


class Observer:
    """Is told what a search does as it does it. Every method does nothing unless a subclass says otherwise."""

    def on_preparation(self, share: float, what: str) -> None:
        """The evaluator prepares itself: the share done, 0 to 1, and what is being done."""

    def on_plan(self, plan: Plan) -> None:
        """The preparation is done, and the trials begin."""

    def on_trial(self, phase: str, trial: Trial) -> None:
        """A trial has finished, or was replayed: the log's name (one of `mnas.study.study.LOGS`), and the trial."""

    def on_update(self, phase: str, num_trials: int, diagnostics: dict[str, float]) -> None:
        """The strategy was told a batch: the log's name, the number of trials told so far, and its diagnostics."""


class MirrorObserver(Observer):
    """Copies a study elsewhere now and then while it grows.

    Args:
        mirror: the copy.
    """

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror

    def on_preparation(self, share: float, what: str) -> None:
        """Copy, if the last time is long ago."""
        self._mirror.push_now_and_then()

    def on_trial(self, phase: str, trial: Trial) -> None:
        """Copy, if the last time is long ago."""
        self._mirror.push_now_and_then()
