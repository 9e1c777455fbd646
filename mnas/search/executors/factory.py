"""The executor of a search, and the objectives of its workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from mnas.checks import check_choice, check_number
from mnas.errors import InputError
from mnas.evaluators.registry import find_evaluator
from mnas.search.build import Prepared, make_retrainings, prepare
from mnas.search.executor import Executor, LocalExecutor
from mnas.search.executors.process_pool import ProcessExecutor
from mnas.search.executors.worker import Job, Objectives
from mnas.search.options import SearchOptions
from mnas.search.run import Search
from mnas.study.trial_log import to_plain
from mnas.system.environment import num_cpus
from mnas.system.native_output import load_tensorflow
from mnas.system.ray_cluster import EXECUTORS

_DATA_DESCRIPTION = "data_description"  # among a worker's options
_MAKE = "mnas.search.executors.factory:make_objectives"
SEARCH = "search"  # the objective of the search's candidates, not of its finalists


def threads_for(workers: int) -> int:
    """Return the threads of one evaluation that share this machine's CPUs among the workers."""
    return max(1, num_cpus() // workers)


@contextmanager
def open_executor(
    options: SearchOptions,
    prepared: Prepared,
    *,
    workers: int = 1,
    kind: str = "local",
    address: str | None = None,
    gpus: float = 0.0,
) -> Iterator[Executor]:
    """Open an executor; its workers end with the context.

    Args:
        options: of the search; workers are made from them. The time limit does not hold for finalists.
        prepared: the search in this process.
        workers: number of workers. One local worker is this process, unless evaluations have a time limit.
        kind: local, or ray.
        address: of a running Ray cluster; None starts one on this machine.
        gpus: of each worker on a cluster; a fraction shares one.

    Raises:
        InputError: for options that cannot be combined.
        MnasError: if there is no such cluster, or Ray is not installed.
    """
    check_choice("--executor", kind, EXECUTORS)
    preparation = find_evaluator(options.evaluator).preparation
    if preparation is not None and (workers > 1 or kind != "local"):
        raise InputError(f"{preparation} once and scores quickly, in this process: leave out --workers, --executor")
    check_number("--gpus", gpus, 0, 64)
    if gpus > 1 and gpus != int(gpus):
        raise InputError(f"--gpus is {gpus:g}: expected a whole number, or less than 1 for workers that share one")
    if gpus and kind != "ray":
        raise InputError("--gpus places workers on a cluster: add --executor ray, or leave it out")
    arguments = {**options.to_dict(), _DATA_DESCRIPTION: prepared.config.get("data")}
    job = Job(_MAKE, to_plain(arguments), to_plain(_fingerprint(prepared)))
    objectives, most_minutes = _objectives(prepared.search), most_minutes_of(options.evaluation_minutes)
    if kind == "ray":
        from mnas.search.executors.on_ray import RayExecutor

        with RayExecutor(
            job,
            objectives,
            num_workers=workers,
            threads=options.threads,
            address=address,
            gpus=gpus,
            most_minutes=most_minutes,
        ) as cluster:
            yield cluster
    elif workers > 1 or most_minutes:
        with ProcessExecutor(job, objectives, num_workers=workers, most_minutes=most_minutes) as processes:
            yield processes
    else:
        yield LocalExecutor()


def make_objectives(arguments: dict[str, Any]) -> tuple[Objectives, Any]:
    """Make a worker's objectives, and their fingerprint; see `Job`."""
    # A worker needs no strategy, so that the cheapest one is made here.
    options = SearchOptions.from_dict(arguments, strategy="random", baseline=False)
    if options.trains:
        load_tensorflow(threads=options.threads, onednn=options.full_trainings)
    prepared = prepare(options, begun_with={"data": arguments.get(_DATA_DESCRIPTION)})
    finals = prepared.search.finalist_objective
    search = replace(prepared.search, retrainings=[] if finals is None else make_retrainings(options, finals))
    return _objectives(search), _fingerprint(prepared)


def most_minutes_of(minutes: float | None) -> dict[str, float]:
    """Return time limits by the objective's name: the search's candidates have one, its finalists do not."""
    return {} if minutes is None else {SEARCH: minutes}


def _objectives(search: Search) -> Objectives:
    finals = {} if search.finalist_objective is None else {"finals": search.finalist_objective}
    return {SEARCH: search.objective, **finals, **{f"repeat{n}": each for n, each in enumerate(search.retrainings)}}


def _fingerprint(prepared: Prepared) -> dict[str, Any]:
    return {name: value for name, value in prepared.config.items() if name != "strategy"}
