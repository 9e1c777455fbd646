"""Choose the size of a search by the minutes that it may take on this machine."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any

from mnas.checks import check_number
from mnas.errors import InputError
from mnas.search.build import prepare
from mnas.search.options import SearchOptions
from mnas.search.run import Search
from mnas.search.session import load_tensorflow_for
from mnas.strategies.random import RandomSearch

_LOGGER = logging.getLogger(__name__)
# 60 steps of 32 images ranked as well as a whole training of 640 (docs/measured.md).
_START = {"proxy_steps": 60, "proxy_batch": 32, "final_steps": 300, "finalists": 2, "retrain_seeds": 0, "batch": 8}
# Of a search with a block library, where a candidate takes a millisecond and a finalist minutes. Controllers need many
# updates: batches of 10 came within 1 % of the optimum, batches of 20 did not (docs/measured.md).
_LIBRARY_SIZE: dict[str, Any] = {"trials": 2000, "batch": 10, "finalists": 1, "retrain_seeds": 0}
_EXACT_SIZE = {**_LIBRARY_SIZE, "trials": 40, "batch": 20}
_SPARE = 0.1  # share of the time that stays unused: other programs run too
_SEARCH_SHARE = 0.6  # of the rest; the finalists get the remainder
_FEWEST_BATCHES, _MOST_TRIALS, _MOST_STEPS = 2, 2000, 3000
_SIZES = {"trials", "proxy_steps", "final_steps"}  # options for the size of a search
_DEFAULT_MINUTES = 15.0  # of a search by short trainings without a given size


def fit_options(
    options: SearchOptions, minutes: float | None, given: Collection[str], *, workers: int = 1
) -> SearchOptions:
    """Return the options with the size that the user asked for, in minutes or in numbers.

    Without a given size, a search by short trainings gets 15 minutes, or more if a strategy needs more to learn. The
    arguments are those of `fit_into`; minutes is None if the user has not set it.

    Raises:
        InputError: as `fit_into`.
    """
    if minutes is None and options.evaluator == "library":
        own = _EXACT_SIZE if options.strategy == "exact" else _LIBRARY_SIZE
        return replace(options, **{name: value for name, value in own.items() if name not in given})
    if minutes is None and (options.evaluator != "proxy" or _SIZES & set(given)):
        return options
    load_tensorflow_for(options)
    chosen = _DEFAULT_MINUTES if minutes is None else minutes
    return fit_into(options, chosen, given, workers=workers, stretch=minutes is None)


def fit_into(
    options: SearchOptions, minutes: float, given: Collection[str], *, workers: int = 1, stretch: bool = False
) -> SearchOptions:
    """Return the options with trials and steps that fit into the minutes.

    A few steps of a few candidates are measured for it. The result is plain numbers, so that a study can be run again
    on another machine.

    Args:
        options: of the search; those not in `given` may change.
        minutes: for candidates and finalists, including the random baseline's.
        given: names of options that the user has set.
        workers: number of candidates evaluated at a time.
        stretch: if the minutes are too few for a strategy to learn, take more and log a warning.

    Raises:
        InputError: for an evaluator that does not train candidates one by one, or if the time is too short.
    """
    check_number("--minutes", minutes, 0.1, 1e6)
    if options.evaluator != "proxy":
        raise InputError(
            f"--minutes chooses the number of short trainings, and --evaluator is {options.evaluator}: use --trials"
        )
    changes: dict[str, Any] = {name: value for name, value in _START.items() if name not in given}
    start = replace(options, **changes)
    return fill(start, estimate_cost(prepare(start).search), minutes, given, workers, stretch=stretch)


def fill(
    start: SearchOptions,
    cost: CostEstimate,
    minutes: float,
    given: Collection[str],
    workers: int = 1,
    *,
    stretch: bool = False,
) -> SearchOptions:
    """As `fit_into`, from a cost estimate."""
    seconds = minutes * 60 * (1 - _SPARE)
    runs = 2 if start.baseline and start.strategy != "random" else 1
    chosen: dict[str, Any] = {}
    if "trials" not in given:
        a_batch = runs * cost.seconds_per_trial * math.ceil(start.batch / workers)
        batches = int(_SEARCH_SHARE * seconds / a_batch)
        if batches < _FEWEST_BATCHES:
            least = _FEWEST_BATCHES * a_batch / _SEARCH_SHARE / (1 - _SPARE) / 60
            if stretch:
                _LOGGER.warning("a candidate takes %.2g s here: this needs %.0f minutes", cost.seconds_per_trial, least)
                return fill(start, cost, 1.01 * least, given, workers)
            raise InputError(
                f"in {minutes:g} minutes a strategy learns nothing here: a candidate takes "
                f"{cost.seconds_per_trial:.2g} s. Use --minutes {math.ceil(least)} or more, or fewer --proxy-steps"
            )
        chosen["trials"] = min(batches * start.batch, _MOST_TRIALS)
    if "final_steps" not in given:
        a_step = (cost.seconds_per_finalist - cost.seconds_per_trial) / max(1, start.final_steps - start.proxy_steps)
        left = (1 - _SEARCH_SHARE) * seconds / (runs * math.ceil(start.finalists / workers)) - cost.seconds_per_trial
        more = int(max(0.0, left) / max(a_step, 1e-4))
        chosen["final_steps"] = min(start.proxy_steps + more, _MOST_STEPS)
    return replace(start, **chosen)


@dataclass(frozen=True)
class CostEstimate:
    """The estimated cost of a search.

    Attributes:
        preparation_seconds: the evaluator's preparation, before the first candidate.
        seconds_per_trial: evaluation of one candidate.
        seconds_per_finalist: evaluation of one finalist, 0 without a longer training.
        seconds_per_ask: the strategy's time for one batch.
        num_trials: candidates, including the random baseline's.
        num_finalists: longer trainings, including the baseline's.
        seconds: the whole search with its workers.
        cpu_hours: the same on all of this machine's processors.
    """

    preparation_seconds: float
    seconds_per_trial: float
    seconds_per_finalist: float
    seconds_per_ask: float
    num_trials: int
    num_finalists: int
    seconds: float
    cpu_hours: float


def estimate_cost(search: Search, *, num_samples: int = 2, workers: int = 1) -> CostEstimate:
    """Measure a few candidates and estimate the cost of the whole search.

    The measurement uses the strategy: make a new one for the search itself.

    Args:
        search: the search.
        num_samples: number of measured candidates.
        workers: number of candidates evaluated at a time.
    """
    strategy = search.strategy
    if strategy.needs_preparation:
        strategy = RandomSearch(strategy.space, feasible=strategy.feasible)
    strategy.ask(search.batch_size)  # the first call traces the controller's graph
    start = time.perf_counter()
    proposals = strategy.ask(search.batch_size)
    per_ask = time.perf_counter() - start
    samples = proposals[:num_samples]
    evaluator = search.objective.evaluator
    preparation = evaluator.estimate_preparation_seconds()
    per_trial = mean(evaluator.estimate_seconds(candidate) for candidate in samples)
    per_finalist, num_finalists = 0.0, 0
    runs = 1 if search.baseline is None else 2
    if search.finalist_objective is not None:
        per_finalist = search.finalist_objective.evaluator.estimate_seconds(samples[0])
        num_finalists = _finalist_runs(search) * search.num_finalists + runs * len(search.retrainings)
    confirming = 0.0
    if search.confirmation is not None:
        confirming = search.num_confirmed * search.confirmation.evaluator.estimate_seconds(samples[0])
    asks = math.ceil(search.num_trials / search.batch_size)
    turns, final_turns = _turns(search, workers)
    seconds = preparation + runs * turns * per_trial + confirming + final_turns * per_finalist + asks * per_ask
    return CostEstimate(
        preparation_seconds=preparation,
        seconds_per_trial=per_trial,
        seconds_per_finalist=per_finalist,
        seconds_per_ask=per_ask,
        num_trials=runs * search.num_trials,
        num_finalists=num_finalists,
        seconds=seconds,
        cpu_hours=seconds * (os.cpu_count() or 1) / 3600,
    )


def _finalist_runs(search: Search) -> int:
    """The number of runs whose finalists are trained: of the search alone, or of the baseline too."""
    return 2 if search.baseline is not None and search.baseline_finalists else 1


def _turns(search: Search, workers: int) -> tuple[int, int]:
    """Maximum evaluations of a worker, in one run's trials and for all finalists: workers wait for a batch."""
    batches, rest = divmod(search.num_trials, search.batch_size)
    trials = batches * math.ceil(search.batch_size / workers) + math.ceil(rest / workers)
    if search.finalist_objective is None:
        return trials, 0
    runs = 1 if search.baseline is None else 2
    finals = _finalist_runs(search) * math.ceil(search.num_finalists / workers)
    return trials, finals + len(search.retrainings) * math.ceil(runs / workers)
