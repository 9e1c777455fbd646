"""Run a study again and compare every trial with its log, to the last bit."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mnas.errors import InputError
from mnas.profiling.meter import MEASURED
from mnas.search.build import prepare
from mnas.search.executor import Executor
from mnas.search.executors.factory import open_executor
from mnas.search.finalists import NothingFitsError
from mnas.search.options import SearchOptions
from mnas.search.run import OnTrial, Search, run_search
from mnas.search.session import load_tensorflow_for
from mnas.study.study import LOGS, Study, first_difference
from mnas.study.trial_log import to_plain
from mnas.system.environment import differences, environment
from mnas.system.permissions import names_what_is_not_permitted
from mnas.trial import Trial


@dataclass(frozen=True)
class Reproduction:
    """The result of running a study again.

    Attributes:
        environment: differences in versions, processor and threads, one sentence each.
        compared: number of equal trials, by the log's name; trials that the log lacks do not count.
        difference: the first difference, as a sentence; None if there is none.
    """

    environment: list[str]
    compared: dict[str, int]
    difference: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {**asdict(self), "same": self.difference is None}


class _DiffersError(Exception):
    """Ends the run at the first difference."""


@names_what_is_not_permitted
def reproduce_study(
    folder: Path | str,
    *,
    data: str | None = None,
    workers: int = 1,
    on_trial: OnTrial = lambda phase, trial: None,
) -> Reproduction:
    """Run a study again from its own options and compare every trial, as `mnas reproduce` does.

    Args:
        folder: the study's, finished or not.
        data: where the study's data are now, if they have moved.
        workers: number of candidates evaluated at a time.
        on_trial: called with the log's name and each trial that is equal.

    Raises:
        InputError: as `reproduce`, or if the folder holds no study.
        MnasError: if nothing can be evaluated.
    """
    study = Study.open(folder)
    options = SearchOptions.of(study)
    options = options if data is None else replace(options, data=data)
    load_tensorflow_for(options)
    prepared = prepare(options, begun_with=study.config)
    with open_executor(options, prepared, workers=workers) as executor:
        return reproduce(study, prepared.search, prepared.config, executor=executor, on_trial=on_trial)


def reproduce(
    study: Study,
    search: Search,
    config: dict[str, Any],
    *,
    executor: Executor | None = None,
    on_trial: OnTrial = lambda phase, trial: None,
) -> Reproduction:
    """Run a study again in a temporary folder, and compare every trial with the study's log.

    An unfinished study is compared up to its last trial.

    Args:
        study: the study.
        search: newly made from the study's own options.
        config: what defines that search: space, data, tables and seed, with their hashes.
        executor: where candidates are evaluated; the result must not depend on it.
        on_trial: called with the log's name and each trial that is equal.

    Raises:
        InputError: if table, data, space or options have changed.
        MnasError: if nothing can be evaluated.
    """
    changed = first_difference(study.config, to_plain(config))
    if changed:
        raise InputError(f"{study.folder} cannot be run again, its inputs have changed: {changed}")
    comparison = _Comparison(study, on_trial)
    if not comparison.logged["trials"]:
        raise InputError(f"{study.folder} has no trials yet: there is nothing to compare with")
    difference = None
    with tempfile.TemporaryDirectory(prefix="mnas-reproduce-") as folder:
        try:
            again = Study.create(f"{folder}/study", study.config, study.arguments)
            best = _best(again, _as_far(study, search, comparison.logged), executor, comparison)
            difference = _difference(study.best(), best)
        except _DiffersError as error:
            difference = str(error)
    return Reproduction(differences(study.made_with, environment()), comparison.compared, difference)


def _difference(before: dict[str, Any] | None, now: dict[str, Any] | None) -> str | None:
    """The first difference of two winners, apart from the folder where one was trained."""
    if before is None:
        return None
    same_place = now and {**now, **({"trained": before["trained"]} if "trained" in before else {})}
    return first_difference(before, same_place, "best.json")


def _best(study: Study, search: Search, executor: Executor | None, comparison: _Comparison) -> dict[str, Any] | None:
    try:
        return run_search(study, search, executor=executor, on_trial=comparison.add)
    except NothingFitsError:
        return None


def _as_far(study: Study, search: Search, logged: dict[str, dict[Any, Trial]]) -> Search:
    """The same search, cut to the length of its log, with the measured latencies, which never repeat exactly."""
    if search.measured is not None:
        search.measured.meter.use_record(study.folder / MEASURED, of_any_device=True)
    return replace(
        search,
        num_trials=1 + max(logged["trials"]),
        baseline=search.baseline if logged["baseline"] else None,
        confirmation=search.confirmation if logged["confirmed"] else None,
        finalist_objective=search.finalist_objective if logged["finalists"] else None,
        retrainings=search.retrainings if logged["repeats"] else (),
    )


@dataclass
class _Comparison:
    """Compares trials with the logs in the order of their numbers, whatever the order in which they finish."""

    study: Study
    on_trial: OnTrial
    logged: dict[str, dict[Any, Trial]] = field(init=False)
    compared: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.logged = {name: {_key(name, trial): trial for trial in self.study.log(name).read()} for name in LOGS}
        self.compared = dict.fromkeys(LOGS, 0)
        self._waiting: dict[tuple[str, Any], Trial] = {}
        self._next = dict.fromkeys(LOGS, 0)

    def add(self, phase: str, trial: Trial) -> None:
        """Compare a trial once all trials before it have finished; finalists and repeats have no order."""
        self._waiting[phase, _key(phase, trial)] = trial
        if phase not in ("trials", "baseline"):
            self._compare(phase, _key(phase, trial))
            return
        while (phase, self._next[phase]) in self._waiting:
            self._compare(phase, self._next[phase])
            self._next[phase] += 1

    def _compare(self, phase: str, key: Any) -> None:
        trial, before = self._waiting.pop((phase, key)), self.logged[phase].get(key)
        if before is None:
            return
        found = first_difference(_comparable(before), _comparable(trial))
        if found:
            raise _DiffersError(f"{phase}, trial {trial.number}: {found}")
        self.compared[phase] += 1
        self.on_trial(phase, trial)


def _key(phase: str, trial: Trial) -> Any:
    """The unique key in a log: the number; in logs of chosen networks the number and the network."""
    return trial.number if phase in ("trials", "baseline") else (trial.number, trial.architecture)


def _comparable(trial: Trial) -> dict[str, Any]:
    """A trial without its duration, and without the text of an error."""
    plain: dict[str, Any] = to_plain(trial.to_dict())
    plain.pop("seconds")
    plain["failed"] = plain.pop("error") is not None
    return plain
