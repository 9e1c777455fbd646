"""A whole search: the strategy's trials, a random baseline at equal cost, finalists of both, and a winner."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mnas.arch.codec import architecture_from_dict
from mnas.arch.walk import unroll
from mnas.errors import InputError, MnasError
from mnas.search.executor import Executor, LocalExecutor
from mnas.search.finalists import NothingFitsError, choose_finalists, run_finalists, run_retrainings, winner
from mnas.search.loop import MeasurementCache, run_trials
from mnas.search.measuring import MeasuredChoice
from mnas.search.objective import Objective
from mnas.strategies.base import Strategy
from mnas.study.diagnostics_log import UpdateLog
from mnas.study.study import Study, first_difference, locked
from mnas.study.winner import ranked, winner_to_dict
from mnas.system.files import write_json
from mnas.trial import Trial

_LOGGER = logging.getLogger(__name__)
OnTrial = Callable[[str, Trial], None]
OnUpdate = Callable[[str, int, dict[str, float]], None]


@dataclass(frozen=True)
class Search:
    """A search that is ready to run.

    Attributes:
        strategy: newly made.
        objective: evaluates its candidates.
        num_trials: number of trials.
        batch_size: candidates between two updates of the strategy.
        baseline: random search, newly made, to run at equal cost; None omits it.
        finalist_objective: evaluates the finalists, after a longer training; None selects the winner by `objective`.
        num_finalists: number of finalists.
        confirmation: evaluates the best candidates of the search again, before finalists are chosen; None omits it.
        num_confirmed: the number of these.
        measured: chooses finalists whose measured latency is within the budget; None trusts the table.
        baseline_finalists: whether finalists of the baseline are evaluated too.
        retrainings: as `finalist_objective`, each with another seed: evaluate both winners again, to compare them.
    """

    strategy: Strategy
    objective: Objective
    num_trials: int
    batch_size: int = 10
    baseline: Strategy | None = None
    finalist_objective: Objective | None = None
    num_finalists: int = 3
    confirmation: Objective | None = None
    num_confirmed: int = 16
    measured: MeasuredChoice | None = None
    baseline_finalists: bool = True
    retrainings: Sequence[Objective] = ()

    def __post_init__(self) -> None:
        for name in ("num_trials", "batch_size", "num_finalists", "num_confirmed"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: expected 1 or more")
        for constraint in self.objective.constraints:
            constraint.check(self.strategy.space)


def run_search(
    study: Study,
    search: Search,
    *,
    executor: Executor | None = None,
    on_trial: OnTrial = lambda phase, trial: None,
    on_update: OnUpdate = lambda phase, num_trials, diagnostics: None,
) -> dict[str, Any]:
    """Run or resume a search: finished work in the study's logs is replayed, not repeated.

    Args:
        study: has the logs.
        search: the search, made in the same way each time.
        executor: where candidates are evaluated; in this process by default.
        on_trial: called with the log's name (one of `mnas.study.study.LOGS`) and each trial.
        on_update: called with the log's name, the number of trials told, and the strategy's diagnostics.

    Returns:
        The winner, as in best.json.

    Raises:
        InputError: if the log is not of this search.
        NothingFitsError: if no trial of the search meets every constraint.
        MnasError: if another process works on the study, or every evaluation fails.
    """
    runner = _Runner(study, search, executor or LocalExecutor(), on_trial, on_update)
    with locked(study.folder):
        _check_still(study)
        best = runner.run(search.strategy, "trials", "finalists", "best")
        if search.baseline is not None:
            try:
                found = runner.run(search.baseline, "baseline", "baseline_finalists", "baseline_best")
                if search.baseline_finalists:
                    runner.repeat(best, found)
            except NothingFitsError as error:  # this is a result too: the search has a winner
                _LOGGER.warning("the random baseline has no winner: %s", error)
    return best


def _check_still(study: Study) -> None:
    """Check that no other process has started another study in the folder at the same moment."""
    difference = first_difference(study.config, Study.open(study.folder).config)
    if difference:
        raise MnasError(f"another process has begun another study in {study.folder} meanwhile: {difference}")


@dataclass
class _Runner:
    """Runs the search and its baseline by the same steps, with common caches of measurements."""

    study: Study
    search: Search
    executor: Executor
    on_trial: OnTrial
    on_update: OnUpdate
    cache: MeasurementCache = field(default_factory=dict)
    finalist_cache: MeasurementCache = field(default_factory=dict)
    confirmed_cache: MeasurementCache = field(default_factory=dict)
    shown: set[int] = field(default_factory=set)  # numbers of confirmed candidates that `on_trial` was told

    def run(self, strategy: Strategy, phase: str, final_phase: str, result: str) -> dict[str, Any]:
        updates = UpdateLog(self.study.folder / "updates.jsonl")
        updates.repair()

        def on_update(num_trials: int, diagnostics: dict[str, float]) -> None:
            if diagnostics:
                updates.append(phase, num_trials, diagnostics)
            self.on_update(phase, num_trials, diagnostics)

        trials = run_trials(
            strategy,
            self.search.objective,
            self.study.log(phase),
            num_trials=self.search.num_trials,
            batch_size=self.search.batch_size,
            cache=self.cache,
            executor=self.executor,
            on_trial=lambda trial: self.on_trial(phase, trial),
            on_update=on_update,
        )
        main = phase == "trials"
        finalists = self.confirm(trials) if main else self.choose(trials)
        evaluated: list[Trial] = []
        if self.search.finalist_objective is not None and (main or self.search.baseline_finalists):
            evaluated = run_finalists(
                finalists,
                self.search.finalist_objective,
                self.study.log(final_phase),
                cache=self.finalist_cache,
                executor=self.executor,
                on_trial=lambda trial: self.on_trial(final_phase, trial),
            )
        chosen = winner(evaluated or finalists, finalists)
        longer = any(trial is chosen for trial in evaluated)
        document = winner_to_dict(chosen, longer=longer)
        if main and self.search.measured is not None:
            document["measured_ms"] = self.search.measured.known_ms(chosen.architecture)
        if longer and self.search.finalist_objective is not None:
            folder = self.search.finalist_objective.evaluator.trained_folder(chosen.architecture)
            if folder is not None and folder.is_relative_to(self.study.folder):
                document["trained"] = str(folder.relative_to(self.study.folder))
        write_json(self.study.folder / f"{result}.json", document)
        return document

    def choose(self, trials: Sequence[Trial]) -> list[Trial]:
        """The finalists by the search's own rewards."""
        return choose_finalists(trials, self.search.objective, self.search.num_finalists)

    def confirm(self, trials: Sequence[Trial]) -> list[Trial]:
        """The finalists: the best candidates, evaluated again and measured where the search does so."""
        search = self.search
        if search.confirmation is None:
            return self.choose(trials)
        candidates = choose_finalists(trials, search.objective, search.num_confirmed)
        if search.measured is None:
            return self.confirmed(candidates)[: search.num_finalists]
        return search.measured.choose(candidates, self.confirmed, search.num_finalists, first_number=search.num_trials)

    def confirmed(self, candidates: Sequence[Trial]) -> list[Trial]:
        """Candidates with their rewards by the confirmation, best first.

        Raises:
            MnasError: if every evaluation fails.
        """
        assert self.search.confirmation is not None

        def on_trial(trial: Trial) -> None:
            if trial.number not in self.shown:  # further candidates are ranked together with earlier ones
                self.shown.add(trial.number)
                self.on_trial("confirmed", trial)

        evaluated = run_finalists(
            candidates,
            self.search.confirmation,
            self.study.log("confirmed"),
            cache=self.confirmed_cache,
            executor=self.executor,
            on_trial=on_trial,
        )
        if not (best := ranked(evaluated)):
            raise MnasError(f"none of the best candidates could be scored again: {evaluated[-1].error}")
        return best

    def repeat(self, *winners: dict[str, Any]) -> None:
        """Retrain both winners, unless they are the same network."""
        networks = [architecture_from_dict(winner["architecture"]) for winner in winners]
        if len({unroll(network) for network in networks}) == len(networks):
            run_retrainings(
                networks,
                self.search.retrainings,
                self.study.log("repeats"),
                executor=self.executor,
                on_trial=lambda trial: self.on_trial("repeats", trial),
            )
