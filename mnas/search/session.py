"""Run a whole search from its options, as `mnas search` does.

from mnas import SearchOptions, run_study
report = run_study(SearchOptions(data="digits", space="mnasnet-16", trials=60), "runs/digits")
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnas.data.folder_layout import absolute_path
from mnas.search.build import Prepared, prepare
from mnas.search.optimum import write_optimum
from mnas.search.options import DATA_PATH, SearchOptions
from mnas.search.run import Search, run_search
from mnas.search.teacher import ensure_library
from mnas.strategies.registry import needs_tensorflow
from mnas.study.kept_paths import PATHS, absolute_paths
from mnas.study.observer import Observer, Plan
from mnas.study.study import Study, locked
from mnas.study.summary import report
from mnas.system.native_output import load_tensorflow
from mnas.system.permissions import names_what_is_not_permitted

if TYPE_CHECKING:
    from mnas.trial import Trial


@names_what_is_not_permitted
def run_study(
    options: SearchOptions,
    folder: Path | str,
    *,
    resume: bool = False,
    observers: Sequence[Observer] = (),
    prepared: Prepared | None = None,
    workers: int = 1,
    executor: str = "local",
    address: str | None = None,
    gpus: float = 0.0,
) -> dict[str, Any]:
    """Run or resume a search.

    Args:
        options: of the search.
        folder: the study's.
        resume: resume the study in the folder, if there is one.
        observers: are told about the progress, in this order.
        prepared: as `mnas.search.build.prepare` returns it for these options; None prepares it here.
        workers: number of candidates evaluated at a time.
        executor: `local` (processes of this machine) or `ray`.
        address: of a running Ray cluster; None starts one here.
        gpus: of each worker on a Ray cluster.

    Returns:
        The finished study's report, as `mnas.study.summary.report`.

    Raises:
        InputError: for wrong options, or a folder that holds another study.
        NothingFitsError: if no trial meets every constraint.
        MnasError: if another process works on the study, or every evaluation fails.
    """
    from mnas.search.executors.factory import open_executor

    folder = Path(folder)
    load_tensorflow_for(options)

    def on_preparation(share: float, what: str) -> None:
        for observer in observers:
            observer.on_preparation(share, what)

    def on_evaluation(share: float, what: str) -> None:
        for observer in observers:
            observer.on_evaluation(share, what)

    if options.evaluator == "library" and prepared is None:
        options = ensure_library(options, folder, on_progress=on_preparation)
    if prepared is None:
        prepared = prepare(options, folder, begun_with=_configuration(folder))
    path, paths = absolute_path(options.data), absolute_paths(options.to_dict())
    arguments = {
        **options.to_dict(),
        **({DATA_PATH: path} if path else {}),
        **({PATHS: paths} if paths else {}),
        **({"workers": workers} if workers > 1 else {}),
    }
    with open_executor(options, prepared, workers=workers, kind=executor, address=address, gpus=gpus) as opened:
        study = (Study.resume if resume else Study.create)(folder, prepared.config, arguments)

        def on_trial(phase: str, trial: Trial) -> None:
            for observer in observers:
                observer.on_trial(phase, trial)

        def on_update(phase: str, num_trials: int, diagnostics: dict[str, float]) -> None:
            for observer in observers:
                observer.on_update(phase, num_trials, diagnostics)

        with locked(folder):  # already while the evaluator prepares, so that a second process fails at once
            prepared.search.objective.evaluator.prepare(on_preparation)
            write_optimum(study, prepared)
        if prepared.search.finalist_objective is not None:
            prepared.search.finalist_objective.evaluator.report_to(on_evaluation)
        for observer in observers:
            observer.on_plan(plan_of(prepared.search, workers=workers))
        run_search(study, prepared.search, executor=opened, on_trial=on_trial, on_update=on_update)
    return report(study)


def _configuration(folder: Path) -> dict[str, Any] | None:
    """The configuration of the study that is there."""
    return Study.open(folder).config if (folder / "study.json").is_file() else None


def load_tensorflow_for(options: SearchOptions) -> None:
    """Load TensorFlow if this search needs it here."""
    if options.trains or needs_tensorflow(options.strategy):
        load_tensorflow(threads=options.threads, onednn=options.full_trainings)


def plan_of(search: Search, *, workers: int = 1) -> Plan:
    """Return the number of trials of each log, and how many are evaluated at the same time."""
    finalists = search.num_finalists if search.finalist_objective else 0
    totals = {"trials": search.num_trials}
    if search.confirmation is not None:
        totals["confirmed"] = search.num_confirmed
    totals["finalists"] = finalists
    if search.baseline:
        totals["baseline"] = search.num_trials
        if search.baseline_finalists:
            totals |= {"baseline_finalists": finalists, "repeats": 2 * len(search.retrainings)}
    planned = {log: total for log, total in totals.items() if total}
    return Plan(planned, concurrency(workers=workers, batch=search.batch_size, finalists=search.num_finalists))


def concurrency(*, workers: int, batch: int, finalists: int) -> dict[str, int]:
    """Return the number of candidates of each log that are evaluated at the same time: workers wait for a batch.

    Args:
        workers: of the search.
        batch: candidates between two updates of the strategy.
        finalists: of each of the two runs.
    """
    most = {"trials": batch, "baseline": batch, "finalists": finalists, "baseline_finalists": finalists, "repeats": 2}
    most["confirmed"] = 1
    return {log: max(1, min(workers, count)) for log, count in most.items()}
