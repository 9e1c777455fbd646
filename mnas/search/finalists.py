"""From trials to a winner: the best trials within the budget are trained longer, and the best of these wins."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from mnas.arch.spec import Architecture
from mnas.arch.walk import unroll
from mnas.errors import MnasError
from mnas.search.constraints import Constraint
from mnas.search.executor import Executor, LocalExecutor
from mnas.search.loop import MeasurementCache, OnTrial, evaluate_all
from mnas.search.objective import Objective
from mnas.study.trial_log import Log, TrialLog
from mnas.study.winner import ranked
from mnas.trial import Trial

_LOGGER = logging.getLogger(__name__)


class NothingFitsError(MnasError):
    """No trial meets every constraint, so there is no winner."""


def choose_finalists(trials: Sequence[Trial], objective: Objective, count: int) -> list[Trial]:
    """Return the `count` best different networks that meet every constraint, best first.

    Raises:
        NothingFitsError: if there is none; it names the violated constraints and the nearest trial's figures.
    """
    chosen: dict[object, Trial] = {}
    for trial in ranked(trials):
        if objective.is_met_by(trial):
            chosen.setdefault(unroll(trial.architecture), trial)
    if not chosen:
        raise NothingFitsError(_nothing_fits(trials, objective))
    return list(chosen.values())[:count]


def _nothing_fits(trials: Sequence[Trial], objective: Objective) -> str:
    """The message for `NothingFitsError`: the violated constraints, and the nearest trial's figures."""
    done = [trial for trial in trials if trial.measurement is not None]
    if not done:
        return "no trial succeeded: there is nothing to choose a winner from"
    figures = {trial.number: objective.figures(trial) for trial in done}
    broken = [
        (place, constraint)
        for place, constraint in enumerate(objective.constraints)
        if any(own[place] > constraint.limit for own in figures.values())
    ]
    nearest = min(figures, key=lambda number: max(figures[number][place] / each.limit for place, each in broken))
    took = " and ".join(f"{figures[nearest][place]:.4g} {constraint.unit}" for place, constraint in broken)
    names = " and ".join(_named(objective, place, constraint) for place, constraint in broken)
    cure = "Continue with more --trials and --resume, or allow more"
    if objective.evaluator.is_additive:  # exact works there
        cure = "Use --strategy exact, which finds what there is, more --trials, or allow more"
    return f"none of {len(trials)} trials is within {names}; the nearest, trial {nearest}, takes {took}. {cure}"


def _named(objective: Objective, place: int, constraint: Constraint) -> str:
    """A constraint in words, with its table's number if there are several."""
    several = len(objective.budgets) > 1 and place < len(objective.budgets)
    return f"{constraint} for table {place + 1}" if several else str(constraint)


def run_finalists(
    finalists: Sequence[Trial],
    objective: Objective,
    log: TrialLog,
    *,
    cache: MeasurementCache,
    executor: Executor | None = None,
    on_trial: OnTrial = lambda trial: None,
) -> list[Trial]:
    """Evaluate finalists with a longer objective, under their numbers; those in the log are not evaluated again.

    Candidates that were not trials of the search have numbers after it; a longer search may have given these away.
    """
    log.repair()
    logged = {(trial.number, trial.architecture): trial for trial in log.read()}
    for trial in logged.values():
        if trial.measurement is not None:
            cache[unroll(trial.architecture)] = trial.measurement
    asked = [(trial.number, trial.architecture) for trial in finalists]
    kept = [logged[each] for each in asked if each in logged]
    for trial in kept:
        on_trial(trial)
    missing = [each for each in asked if each not in logged]
    for trial in evaluate_all(missing, objective, cache, executor or LocalExecutor()):
        log.append(trial)
        on_trial(trial)
        kept.append(trial)
    return kept


def winner(finalists: Sequence[Trial], trials: Sequence[Trial]) -> Trial:
    """Return the best finalist; if every longer training failed, the best trial of the search."""
    best = ranked(finalists)
    if best:
        return best[0]
    _LOGGER.warning("every finalist's longer training failed: the winner is the best of the search itself")
    return ranked(trials)[0]


def run_retrainings(
    winners: Sequence[Architecture],
    objectives: Sequence[Objective],
    log: Log,
    *,
    executor: Executor | None = None,
    on_trial: OnTrial = lambda trial: None,
) -> None:
    """Evaluate both winners with every objective, each of another seed; those in the log are not evaluated again.

    A trial's number is that of its objective; retrainings of earlier winners stay in the log.
    """
    log.repair()
    done = {(trial.number, unroll(trial.architecture)) for trial in log.read()}
    for number, objective in enumerate(objectives):
        lacking = [(number, architecture) for architecture in winners if (number, unroll(architecture)) not in done]
        for trial in (executor or LocalExecutor()).run(objective, lacking):
            log.append(trial)
            on_trial(trial)
