"""What a space is like, from random samples: for comparing spaces, and for narrowing one on evidence.

Radosavovic et al. (2020, "Designing Network Design Spaces", section 3.1): spaces are compared by the distribution of
the errors of networks sampled from them, not by the best network that a search happens to find. The error EDF says for
each error which share of the samples is below it; the curve that lies above belongs to the better space.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.arch.spec import Architecture
from mnas.errors import MnasError
from mnas.search.objective import Objective
from mnas.space.costs import SpaceCosts
from mnas.space.space import SearchSpace
from mnas.statistics import Array, bootstrap_interval, difference_interval
from mnas.strategies.random import RandomSearch
from mnas.trial import Trial

_PRICED = 10_000  # random architectures that are only priced, which costs next to nothing
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Survey:
    """Random samples of a space, judged.

    Attributes:
        space: what was sampled.
        trials: the samples, failed ones among them.
        latencies_ms: of further random architectures, by the table; None without one. Shape (count,).
    """

    space: SearchSpace
    trials: Sequence[Trial] = ()
    latencies_ms: Array | None = None

    @property
    def errors(self) -> Array:
        """1 - accuracy of the samples that did not fail, the smallest first: the n-th of N has an EDF of n / N."""
        return np.sort([1 - trial.measurement.accuracy for trial in self.trials if trial.measurement is not None])

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        document: dict[str, Any] = {"space": self.space.name, "size": self.space.size}
        document["num_table_keys"] = len({placed.key for placed in self.space.placed_blocks()})
        if self.latencies_ms is not None:
            document["latency_ms_quantiles"] = _quantiles(self.latencies_ms)
        errors = self.errors
        if len(errors):
            document["num_samples"] = len(self.trials)
            document["num_failed"] = len(self.trials) - len(errors)
            document["errors"] = errors.tolist()
            document["error_quantiles"] = _quantiles(errors)
            document["mean_error"] = float(errors.mean())
            document["mean_error_interval"] = list(bootstrap_interval(errors))
            document["choices"] = [choice.to_dict() for choice in choices(self)]
        return document


def _quantiles(values: Array) -> dict[str, float]:
    return {
        f"{share:g}": float(value) for share, value in zip(_QUANTILES, np.quantile(values, _QUANTILES), strict=True)
    }


def survey(
    space: SearchSpace,
    objective: Objective | None = None,
    *,
    num_samples: int = 30,
    seed: int = 0,
    costs: SpaceCosts | None = None,
    on_sample: Callable[[int], None] = lambda done: None,
) -> Survey:
    """Sample a space.

    Args:
        space: what to sample.
        objective: judges the samples; only those within its budgets are drawn. None leaves judging out.
        num_samples: how many are judged.
        seed: of the samples.
        costs: the space's latencies by a table.
        on_sample: called with how many are done.

    Raises:
        MnasError: if every sample failed.
    """
    trials: list[Trial] = []
    if objective is not None:
        draw = RandomSearch(space, seed=seed, feasible=objective.is_feasible if objective.budgets else None)
        for number, architecture in enumerate(draw.ask(num_samples)):
            trials.append(objective.evaluate(number, architecture))
            on_sample(number + 1)
        if all(trial.failed for trial in trials):
            raise MnasError(f"all {num_samples} samples of {space.name} failed, the last one with: {trials[-1].error}")
    latencies = None if costs is None else costs(_random_indices(space, seed))
    return Survey(space, trials, latencies)


def _random_indices(space: SearchSpace, seed: int) -> npt.NDArray[np.intp]:
    rng = np.random.default_rng([seed, 1])
    columns = [rng.integers(len(decision.choices), size=_PRICED) for decision in space.decisions]
    return np.stack(columns, axis=1)


@dataclass(frozen=True, slots=True)
class Choice:
    """What one choice of one decision does to the error.

    Attributes:
        decision: e.g. `stage3.kernel_size`.
        choice: e.g. 5.
        num_samples: how many samples made it.
        difference: their mean error less that of the samples which chose otherwise.
        interval: 95 % bootstrap interval of that difference.
    """

    decision: str
    choice: Any
    num_samples: int
    difference: float
    interval: tuple[float, float]

    @property
    def worse(self) -> bool:
        """Whether the samples say that the space is better without it."""
        return self.interval[0] > 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return {**plain, "interval": list(self.interval), "worse": self.worse}


def choices(found: Survey, *, least: int = 5) -> list[Choice]:
    """Every choice that at least so many samples made and as many did not, the most harmful first.

    With 95 % intervals, one in forty harmless choices looks harmful by chance: sample again before believing one.
    """
    done = [trial for trial in found.trials if trial.measurement is not None]
    errors = np.array([1 - trial.measurement.accuracy for trial in done if trial.measurement is not None])
    rows = np.array([found.space.encode(trial.architecture) for trial in done])
    result = []
    for position, decision in enumerate(found.space.decisions):
        for index, choice in enumerate(decision.choices):
            chose = rows[:, position] == index
            if chose.sum() >= least and (~chose).sum() >= least:
                with_it, without = errors[chose], errors[~chose]
                difference = float(with_it.mean() - without.mean())
                interval = difference_interval(with_it, without)
                result.append(Choice(decision.name, choice, int(chose.sum()), difference, interval))
    return sorted(result, key=lambda entry: -entry.interval[0])


def to_rows(surveys: Sequence[Survey]) -> list[list[Any]]:
    """The samples as rows of a CSV file, with a heading."""
    rows: list[list[Any]] = [["space", "number", "error", "edf", "latency_ms", "params", "madds", "architecture"]]
    for found in surveys:
        done = sorted((t for t in found.trials if t.measurement is not None), key=_error)
        for rank, trial in enumerate(done, 1):
            measured = trial.measurement
            assert measured is not None
            where = [found.space.name, trial.number, 1 - measured.accuracy, rank / len(done)]
            rows.append([*where, measured.latency_ms, measured.params, measured.madds, _text(trial.architecture)])
    return rows


def _error(trial: Trial) -> float:
    return 1.0 if trial.measurement is None else 1 - trial.measurement.accuracy


def _text(architecture: Architecture) -> str:
    from mnas.arch.codec import format_stage

    return "|".join(format_stage(stage) for stage in architecture.stages)
