"""How long a search will take, said beforehand from a few measured steps."""

from __future__ import annotations

import math
import os
import time
from dataclasses import asdict, dataclass
from statistics import mean
from typing import Any

from mnas.search.run import Search
from mnas.strategies.random import RandomSearch


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
        strategy = RandomSearch(strategy.space, accept=strategy.accept)
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
    if search.finals is not None:
        per_finalist = mean(search.finals.evaluator.estimate_seconds(candidate) for candidate in samples[:1])
    num_trials, num_finalists = runs * search.num_trials, runs * (search.num_finalists + len(search.repeats))
    if search.finals is None:
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
    if search.finals is None:
        return trials, 0
    runs = 1 if search.baseline is None else 2
    finals = runs * math.ceil(search.num_finalists / workers)
    return trials, finals + len(search.repeats) * math.ceil(runs / workers)
