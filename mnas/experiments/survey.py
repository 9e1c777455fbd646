"""Surveys of spaces by random samples: to compare spaces, and to narrow one.

As in Radosavovic et al. (2020, "Designing Network Design Spaces", section 3.1), spaces are compared by the distribution
of the errors of sampled networks, not by the best network of a search. The error EDF gives for each error the share of
samples below it; the better space has the higher curve.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.arch.codec import format_stage
from mnas.arch.spec import Architecture
from mnas.errors import InputError, MnasError
from mnas.latency.estimator import table_costs
from mnas.search.build import prepare
from mnas.search.objective import Objective
from mnas.search.options import SearchOptions
from mnas.search.session import load_tensorflow_for
from mnas.space.costs import SpaceCosts
from mnas.space.files import load_space
from mnas.space.space import SearchSpace
from mnas.statistics import Array, bootstrap_interval, difference_interval
from mnas.strategies.random import RandomSearch
from mnas.system.permissions import names_what_is_not_permitted
from mnas.trial import Trial

_PRICED = 10_000  # random architectures of which only the latency is computed, which is fast
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Survey:
    """Evaluated random samples of a space.

    Attributes:
        space: the sampled space.
        trials: the samples, including failed ones.
        latencies_ms: of further random architectures, by the table; None without a table. Shape (count,).
        lacking: why the table, which other spaces share, cannot price this one; empty if it can.
    """

    space: SearchSpace
    trials: Sequence[Trial] = ()
    latencies_ms: Array | None = None
    lacking: str = ""

    @property
    def errors(self) -> Array:
        """1 - accuracy of the successful samples, sorted: the n-th of N has an EDF of n / N."""
        return np.sort([1 - trial.measurement.accuracy for trial in self.trials if trial.measurement is not None])

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        document: dict[str, Any] = {"space": self.space.name, "size": self.space.size}
        document["num_table_keys"] = len({placed.key for placed in self.space.placed_blocks()})
        if self.latencies_ms is not None:
            document["latency_ms_quantiles"] = _quantiles(self.latencies_ms)
        if self.lacking:
            document["table_lacks"] = self.lacking
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


@names_what_is_not_permitted
def survey_spaces(
    spaces: Sequence[str],
    *,
    tables: Sequence[str | Path] = (),
    budget_ms: float | None = None,
    evaluator: str | None = None,
    data: str | None = None,
    num_samples: int = 30,
    proxy_steps: int = 100,
    proxy_batch: int = 64,
    max_train_images: int | None = None,
    seed: int = 0,
    on_progress: Callable[[float, str], None] = lambda share, what: None,
) -> list[Survey]:
    """Survey one or more spaces, as `mnas space survey` does.

    Args:
        spaces: shipped spaces or TOML files.
        tables: latency tables: one for all spaces, or one for each. A space that it cannot price, beside others that it
            can, has no latencies and says why; with a budget that is an error.
        budget_ms: evaluate only samples within this latency; None for all.
        evaluator: as in `SearchOptions`, like data, proxy_steps, proxy_batch and max_train_images; None evaluates none.
        data: training images.
        num_samples: number of samples to evaluate in each space.
        proxy_steps: training steps of a sample.
        proxy_batch: images in a training step.
        max_train_images: maximum number of training images.
        seed: of the samples.
        on_progress: called with the share done and the space's name.

    Raises:
        InputError: for wrong arguments, before any work is done.
        MnasError: if every sample of a space fails.
    """
    if len(tables) not in (0, 1, len(spaces)):
        raise InputError(f"{len(tables)} tables for {len(spaces)} spaces: expected one, or one for each space")
    paths = [str(path) for path in tables] * (len(spaces) if len(tables) == 1 else 1)
    options = [
        SearchOptions(
            space=space,
            table=paths[number : number + 1] if budget_ms is not None else [],
            budget_ms=[] if budget_ms is None else [budget_ms],
            data=data,
            strategy="random",
            evaluator=evaluator,
            proxy_steps=proxy_steps,
            proxy_batch=proxy_batch,
            max_train_images=max_train_images,
            seed=seed,
            baseline=False,
        )
        for number, space in enumerate(spaces)
        if evaluator
    ]
    for chosen in options[:1]:
        load_tensorflow_for(chosen)
    prepared = [prepare(chosen) for chosen in options]
    loaded = [one.space for one in prepared] or [load_space(name) for name in spaces]
    costs, lacking = _costs(paths, loaded)
    return [
        survey(
            space,
            prepared[number].search.objective if prepared else None,
            num_samples=num_samples,
            seed=seed,
            costs=costs[number],
            lacking=lacking[number],
            on_sample=lambda done, at=number, name=space.name: on_progress(  # type: ignore[misc]
                (at + done / num_samples) / len(loaded), name
            ),
        )
        for number, space in enumerate(loaded)
    ]


def _costs(paths: Sequence[str], spaces: Sequence[SearchSpace]) -> tuple[list[SpaceCosts | None], list[str]]:
    """Return each space's costs by its table, and why there are none.

    Raises:
        InputError: if no space can be priced.
    """
    costs: list[SpaceCosts | None] = [None] * len(spaces)
    lacking = [""] * len(spaces)
    for number, (path, space) in enumerate(zip(paths, spaces, strict=False)):  # there may be no tables
        try:
            costs[number] = table_costs(path, space)[0]
        except InputError as error:
            lacking[number] = str(error)
    if paths and not any(costs):
        raise InputError(lacking[0])
    return costs, lacking


def survey(
    space: SearchSpace,
    objective: Objective | None = None,
    *,
    num_samples: int = 30,
    seed: int = 0,
    costs: SpaceCosts | None = None,
    lacking: str = "",
    on_sample: Callable[[int], None] = lambda done: None,
) -> Survey:
    """Sample one space.

    Args:
        space: the space.
        objective: evaluates samples, which are drawn within its budgets; None evaluates none.
        num_samples: number of samples to evaluate.
        seed: of the samples.
        costs: the space's latencies by a table.
        lacking: why there are none.
        on_sample: called with the number of evaluated samples.

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
    return Survey(space, trials, latencies, lacking)


def _random_indices(space: SearchSpace, seed: int) -> npt.NDArray[np.intp]:
    rng = np.random.default_rng([seed, 1])
    columns = [rng.integers(len(decision.choices), size=_PRICED) for decision in space.decisions]
    return np.stack(columns, axis=1)


@dataclass(frozen=True, slots=True)
class Choice:
    """The effect of one choice of one decision on the error.

    Attributes:
        decision: e.g. `stage3.kernel_size`.
        choice: e.g. 5.
        num_samples: number of samples with this choice.
        difference: their mean error minus the mean error of the other samples.
        interval: 95 % bootstrap interval of that difference.
    """

    decision: str
    choice: Any
    num_samples: int
    difference: float
    interval: tuple[float, float]

    @property
    def worse(self) -> bool:
        """Whether the interval is above zero: the space is better without this choice."""
        return self.interval[0] > 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return {**plain, "interval": list(self.interval), "worse": self.worse}


def choices(found: Survey, *, least: int = 5) -> list[Choice]:
    """Return choices that at least `least` samples have and `least` do not, the most harmful first.

    With 95 % intervals, one in forty harmless choices looks harmful by chance: confirm it with new samples.
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
    """Return the samples as rows of a CSV file, with a header."""
    columns = ["space", "number", "error", "edf", "latency_ms", "params", "madds", "architecture", "resolution"]
    rows: list[list[Any]] = [columns]
    for found in surveys:
        done = sorted((t for t in found.trials if t.measurement is not None), key=_error)
        for rank, trial in enumerate(done, 1):
            measured = trial.measurement
            assert measured is not None
            where = [found.space.name, trial.number, 1 - measured.accuracy, rank / len(done)]
            figures = [measured.latency_ms, measured.params, measured.madds]
            rows.append([*where, *figures, _text(trial.architecture), trial.architecture.resolution])
    return rows


def _error(trial: Trial) -> float:
    return 1.0 if trial.measurement is None else 1 - trial.measurement.accuracy


def _text(architecture: Architecture) -> str:
    return "|".join(format_stage(stage) for stage in architecture.stages)
