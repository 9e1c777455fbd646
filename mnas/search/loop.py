"""The search loop: ask, evaluate, log, tell. A search resumes by replaying its log."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from mnas.arch.spec import Architecture
from mnas.arch.walk import PlacedBlock, unroll
from mnas.errors import InputError, MnasError
from mnas.search.early_stopping import thresholds
from mnas.search.executor import Executor, LocalExecutor
from mnas.search.objective import Objective
from mnas.strategies.base import Strategy
from mnas.study.trial_log import Log
from mnas.trial import Measurement, Trial

_MOST_FAILURES = 10  # this many failures without a success: the setup is wrong, not the candidates

OnTrial = Callable[[Trial], None]
OnUpdate = Callable[[int, dict[str, float]], None]
MeasurementCache = dict[tuple[PlacedBlock, ...], Measurement]


def run_trials(
    strategy: Strategy,
    objective: Objective,
    log: Log,
    *,
    num_trials: int,
    batch_size: int,
    cache: MeasurementCache | None = None,
    executor: Executor | None = None,
    on_trial: OnTrial = lambda trial: None,
    on_update: OnUpdate = lambda num_trials, diagnostics: None,
) -> list[Trial]:
    """Search until the log holds `num_trials` trials.

    The strategy is asked for and told whole batches only, so that the log does not depend on interruptions, nor on
    a later increase of `num_trials`. Trials in the log are replayed, not evaluated again.

    Args:
        strategy: newly made.
        objective: evaluates candidates.
        log: of the trials; existing ones are kept.
        num_trials: total number of trials.
        batch_size: candidates between two updates of the strategy.
        cache: measurements of evaluated networks; new ones are added. Candidates with equal blocks are one network,
            which is evaluated once.
        executor: where candidates are evaluated; in this process by default.
        on_trial: called with every trial, including replayed ones.
        on_update: called after each batch, including replayed ones, with the number of trials told so far and the
            strategy's diagnostics.

    Returns:
        All trials, by number.

    Raises:
        InputError: if the strategy's proposals differ from the log's.
        MnasError: if every evaluation fails.
    """
    cache = {} if cache is None else cache
    trials = _finished(log, cache)
    num_trials = max(num_trials, 1 + max(trials, default=-1))
    for start in range(0, num_trials, batch_size):
        proposals = dict(enumerate(strategy.ask(batch_size), start))
        for replayed in _replay(log, trials, proposals):
            on_trial(replayed)
        missing = [(n, a) for n, a in proposals.items() if n not in trials and n < num_trials]
        before = [trials[number] for number in sorted(trials) if number < start]
        current = replace(objective, thresholds=thresholds(before, objective.score))
        for trial in evaluate_all(missing, current, cache, executor or LocalExecutor()):
            log.append(trial)
            trials[trial.number] = trial
            on_trial(trial)
        done = [trials[number] for number in proposals if number in trials]
        _check_any_success(list(trials.values()))
        if len(done) == batch_size:
            strategy.tell(done)
            on_update(start + batch_size, strategy.diagnostics())
    return [trials[number] for number in sorted(trials)]


def evaluate_all(
    candidates: Sequence[tuple[int, Architecture]], objective: Objective, cache: MeasurementCache, executor: Executor
) -> Iterator[Trial]:
    """Yield trials as they finish; each network that is not in the cache is evaluated once."""
    waiting: dict[tuple[PlacedBlock, ...], list[tuple[int, Architecture]]] = {}
    for number, architecture in candidates:
        walk = unroll(architecture)
        if walk in cache:
            yield objective.trial(number, architecture, cache[walk])
        else:
            waiting.setdefault(walk, []).append((number, architecture))
    for trial in executor.run(objective, [same[0] for same in waiting.values()]):
        _remember(cache, trial)
        yield trial
        for number, architecture in waiting[unroll(trial.architecture)][1:]:
            if trial.measurement is None:
                yield Trial(number, architecture, error=trial.error)
            else:
                yield objective.trial(number, architecture, trial.measurement)


def _finished(log: Log, cache: MeasurementCache) -> dict[int, Trial]:
    """The log's trials by number, for a search that resumes."""
    log.repair()
    trials = {trial.number: trial for trial in log.read()}
    for trial in trials.values():
        _remember(cache, trial)
    return trials


def _replay(log: Log, trials: dict[int, Trial], proposals: dict[int, Architecture]) -> Iterator[Trial]:
    """The trials of a batch that are in the log, checked against the strategy's proposals."""
    for number, proposal in proposals.items():
        if number in trials:
            _check_replay(log, trials[number], proposal)
            yield trials[number]


def _remember(cache: MeasurementCache, trial: Trial) -> None:
    if trial.measurement is not None:
        cache[unroll(trial.architecture)] = trial.measurement


def _check_replay(log: Log, logged: Trial, proposal: Architecture) -> None:
    if logged.architecture != proposal:
        raise InputError(
            f"{log.path}: the strategy proposes another architecture for trial {logged.number} than the log holds, so "
            "the search cannot resume. The log is from another version of mnas or TensorFlow, or from another kind of "
            f"machine; start a new search in another folder.\n  logged:   {logged.architecture}\n  proposed: {proposal}"
        )


def _check_any_success(trials: list[Trial]) -> None:
    if len(trials) >= _MOST_FAILURES and all(trial.failed for trial in trials):
        raise MnasError(
            f"all {len(trials)} evaluations failed, the last one with: {trials[-1].error}\n"
            "  Fix the cause, then start a new search in another --study folder"
        )
