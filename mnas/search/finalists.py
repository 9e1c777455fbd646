"""From trials to a winner: the top few within the budget are trained longer, and the best of them wins."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

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
    """No trial is within every budget and limit, so there is no winner."""


def choose_finalists(trials: Sequence[Trial], objective: Objective, count: int) -> list[Trial]:
    """The `count` best different networks within every budget, best first.

    Raises:
        NothingFitsError: if no trial keeps every budget and limit; it names those that were broken, and how near the
            nearest trial came.
    """
    chosen: dict[object, Trial] = {}
    for trial in ranked(trials):
        if objective.is_met_by(trial):
            chosen.setdefault(unroll(trial.architecture), trial)
    if not chosen:
        raise NothingFitsError(_nothing_fits(trials, objective))
    return list(chosen.values())[:count]


def _nothing_fits(trials: Sequence[Trial], objective: Objective) -> str:
    """What stood in the way: only constraints that some trial broke, and how near the nearest trial came to them."""
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
    return (
        f"none of {len(trials)} trials is within {names}; the nearest, trial {nearest}, takes {took}. "
        "Continue with more --trials and --resume, or allow more"
    )


def _named(objective: Objective, place: int, constraint: Constraint) -> str:
    """A constraint in words; which table's, where there are several."""
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
    """Judge the finalists again with a longer objective. They keep their numbers; what the log holds is kept."""
    log.repair()
    logged = {trial.number: trial for trial in log.read()}
    for trial in logged.values():
        if trial.measurement is not None:
            cache[unroll(trial.architecture)] = trial.measurement
    kept = [logged[t.number] for t in finalists if t.number in logged]
    for trial in kept:
        on_trial(trial)
    missing = [(trial.number, trial.architecture) for trial in finalists if trial.number not in logged]
    for trial in evaluate_all(missing, objective, cache, executor or LocalExecutor()):
        log.append(trial)
        on_trial(trial)
        kept.append(trial)
    return kept


def winner(finalists: Sequence[Trial], trials: Sequence[Trial]) -> Trial:
    """The best finalist; should all their longer trainings have failed, the best as the search saw it."""
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
    on_trial: Callable[[Trial], None] = lambda trial: None,
) -> None:
    """Judge both winners again with every objective, each of another seed; what the log holds is kept.

    They are judged where `executor` says; in this process by default.

    A trial's number is that of its objective: repeats of networks that won before further trials stay in the log.
    """
    log.repair()
    done = {(trial.number, unroll(trial.architecture)) for trial in log.read()}
    for number, objective in enumerate(objectives):
        lacking = [(number, architecture) for architecture in winners if (number, unroll(architecture)) not in done]
        for trial in (executor or LocalExecutor()).run(objective, lacking):
            log.append(trial)
            on_trial(trial)
