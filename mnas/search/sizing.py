"""How large a search fits into so many minutes on this machine."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
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
_SPARE = 0.1  # of the time: other programs run too
_SEARCH_SHARE = 0.6  # of the rest; finalists get what is left
_FEWEST_BATCHES, _MOST_TRIALS, _MOST_STEPS = 2, 2000, 3000
_SIZES = {"trials", "proxy_steps", "final_steps"}  # options that say how large a search is
_DEFAULT_MINUTES = 15.0  # of a search by short trainings, where nothing says how large it is


def fit_options(
    options: SearchOptions, minutes: float | None, given: Collection[str], *, workers: int = 1
) -> SearchOptions:
    """The options with the size that a person asked for, in minutes or in numbers.

    Where nothing says how large a search by short trainings is, it takes 15 minutes: which numbers do depends on the
    machine. Where it needs longer to teach a strategy anything, it takes longer.

    Args:
        options: of the search.
        minutes: as `fit_into`; None where a person has not said.
        given: names of options that a person has set.
        workers: how many candidates are evaluated at a time.

    Raises:
        InputError: as `fit_into`.
    """
    if minutes is None and (options.evaluator != "proxy" or _SIZES & set(given)):
        return options
    load_tensorflow_for(options)
    chosen = _DEFAULT_MINUTES if minutes is None else minutes
    return fit_into(options, chosen, given, workers=workers, stretch=minutes is None)


def fit_into(
    options: SearchOptions, minutes: float, given: Collection[str], *, workers: int = 1, stretch: bool = False
) -> SearchOptions:
    """The options with as many trials, and finalists trained for as long, as the minutes allow.

    A few steps of a few candidates are measured for it. What comes out is plain numbers, and a study that keeps them
    can be run again anywhere.

    Args:
        options: of the search; what is not in `given` may be changed.
        minutes: for candidates and finalists, those of the random baseline included.
        given: names of options that a person has set.
        workers: how many candidates will be judged at a time.
        stretch: take the least that teaches a strategy where the minutes are too few for it, and say so.

    Raises:
        InputError: for an evaluator that does not train candidates one by one, or if the time is too short.
    """
    check_number("--minutes", minutes, 0.1, 1e6)
    if options.evaluator != "proxy":
        raise InputError(
            f"--minutes chooses how many short trainings to make, and --evaluator is {options.evaluator}: say --trials"
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
    """As `fit_into`, from what one candidate and one finalist cost."""
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
                f"{cost.seconds_per_trial:.2g} s. Give it --minutes {math.ceil(least)} or more, or fewer --proxy-steps"
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
    """What a search will take.

    Attributes:
        preparation_seconds: what the evaluator does once, before the first candidate.
        seconds_per_trial: judging one candidate.
        seconds_per_finalist: judging one finalist, 0 without a longer training.
        seconds_per_ask: the strategy's own time for one batch.
        num_trials: candidates to judge, those of the random baseline included.
        num_finalists: longer trainings, those of the baseline included.
        seconds: all of it, by as many workers as there will be.
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

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def estimate_cost(search: Search, *, num_samples: int = 2, workers: int = 1) -> CostEstimate:
    """Measure a few candidates and work out what the whole search will take.

    The strategy is asked once for the measurement: make a new one for the search itself.

    Args:
        search: what would be run.
        num_samples: how many candidates are measured.
        workers: how many candidates will be judged at a time.
    """
    strategy = search.strategy
    if strategy.needs_preparation:
        strategy = RandomSearch(strategy.space, feasible=strategy.feasible)
    strategy.ask(search.batch_size)  # the first one traces the controller's graph
    start = time.perf_counter()
    proposals = strategy.ask(search.batch_size)
    per_ask = time.perf_counter() - start
    samples = proposals[:num_samples]
    evaluator = search.objective.evaluator
    preparation = evaluator.estimate_preparation_seconds()
    per_trial = mean(evaluator.estimate_seconds(candidate) for candidate in samples)
    per_finalist = 0.0
    runs = 1 if search.baseline is None else 2
    if search.finalist_objective is not None:
        per_finalist = mean(
            search.finalist_objective.evaluator.estimate_seconds(candidate) for candidate in samples[:1]
        )
    num_trials, num_finalists = runs * search.num_trials, runs * (search.num_finalists + len(search.retrainings))
    if search.finalist_objective is None:
        num_finalists = 0
    asks = math.ceil(search.num_trials / search.batch_size)
    turns, final_turns = _turns(search, workers)
    seconds = preparation + runs * turns * per_trial + final_turns * per_finalist + asks * per_ask
    return CostEstimate(
        preparation_seconds=preparation,
        seconds_per_trial=per_trial,
        seconds_per_finalist=per_finalist,
        seconds_per_ask=per_ask,
        num_trials=num_trials,
        num_finalists=num_finalists,
        seconds=seconds,
        cpu_hours=seconds * (os.cpu_count() or 1) / 3600,
    )


def _turns(search: Search, workers: int) -> tuple[int, int]:
    """How often each worker judges, at the most, in one run's trials and for all finalists: a batch is waited for."""
    batches, rest = divmod(search.num_trials, search.batch_size)
    trials = batches * math.ceil(search.batch_size / workers) + math.ceil(rest / workers)
    if search.finalist_objective is None:
        return trials, 0
    runs = 1 if search.baseline is None else 2
    finals = runs * math.ceil(search.num_finalists / workers)
    return trials, finals + len(search.retrainings) * math.ceil(runs / workers)
