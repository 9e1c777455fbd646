"""Observers of a search: progress displays, TensorBoard, copies in other places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mnas.system.remote import Mirror
    from mnas.trial import Trial


@dataclass(frozen=True)
class Plan:
    """The size of a search, before it runs.

    Attributes:
        totals: number of trials by log, in the order in which they run.
        concurrency: number of trials evaluated at the same time, by log.
    """

    totals: Mapping[str, int]
    concurrency: Mapping[str, int]


class Observer:
    """Is told about the progress of a search. Methods do nothing unless a subclass overrides them."""

    def on_preparation(self, share: float, what: str) -> None:
        """The evaluator prepares itself: the share done, 0 to 1, and the current step."""

    def on_plan(self, plan: Plan) -> None:
        """The preparation is finished, and the trials start."""

    def on_evaluation(self, share: float, what: str) -> None:
        """A long evaluation goes on, such as a finalist's training: the share done, 0 to 1, and the current step."""

    def on_trial(self, phase: str, trial: Trial) -> None:
        """A trial has finished or was replayed; `phase` is its log, one of `mnas.study.study.LOGS`."""

    def on_update(self, phase: str, num_trials: int, diagnostics: dict[str, float]) -> None:
        """The strategy was told a batch: the log, the number of trials told so far, and its diagnostics."""


class MirrorObserver(Observer):
    """Copies a study from time to time while it grows."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror

    def on_preparation(self, share: float, what: str) -> None:
        """Copy, if the last copy is old enough."""
        self._mirror.push_now_and_then()

    def on_evaluation(self, share: float, what: str) -> None:
        """Copy, if the last copy is old enough."""
        self._mirror.push_now_and_then()

    def on_trial(self, phase: str, trial: Trial) -> None:
        """Copy, if the last copy is old enough."""
        self._mirror.push_now_and_then()
