"""`mnas search`: let a strategy design a network within a latency budget."""

from __future__ import annotations

import shlex
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mnas.cli import output
from mnas.cli.options import JSON, MIRROR, given_options
from mnas.errors import InputError
from mnas.search import options as declare
from mnas.search.options import SearchOptions

if TYPE_CHECKING:
    from collections.abc import Set

    from mnas.study.observer import Observer
    from mnas.system.remote import Mirror

_LONG_SECONDS = 3600.0  # of a search: above it, the user is told how to shorten it
_MINUTES = (
    "Choose trials and steps of short trainings that take about this long on this machine; 15 where neither this nor "
    "--trials, --proxy-steps or --final-steps is given."
)


def search(
    context: typer.Context,
    study: Path = typer.Option(None, help="The study's folder: everything is logged there."),
    space: declare.Space = declare.DEFAULT_SPACE,
    table: declare.Tables = (),
    budget_ms: declare.BudgetsMs = (),
    max_size_mb: declare.MaxSizeMb | None = None,
    max_memory_mb: declare.MaxMemoryMb | None = None,
    data: declare.Data | None = None,
    teacher: declare.TeacherName | None = None,
    library: declare.LibraryFolder | None = None,
    strategy: declare.StrategyName = "reinforce",
    evaluator: declare.EvaluatorName = declare.AUTO,
    reward: declare.RewardName = "absolute",
    beta: declare.Beta | None = None,
    trials: declare.Trials = 100,
    batch: declare.Batch = 10,
    finalists: declare.Finalists = 3,
    proxy_steps: declare.ProxySteps = 200,
    proxy_batch: declare.ProxyBatch = 64,
    rungs: declare.Rungs = 1,
    evaluation_minutes: declare.EvaluationMinutes | None = None,
    predictor_samples: declare.PredictorSamples = 32,
    final_steps: declare.FinalSteps = 1000,
    confirmed: declare.Confirmed = 16,
    final_epochs: declare.FinalEpochs | None = None,
    distill: declare.Distill = 0.5,
    class_weights: declare.ClassWeights = "none",
    augment: declare.Augment | None = None,
    measure_finalists: declare.MeasureFinalists = declare.AUTO,
    benchmark_binary: declare.BenchmarkBinary | None = None,
    wait: declare.Wait = 0.0,
    score_dtype: declare.ScoreDtype = "float32",
    max_train_images: declare.MaxTrainImages | None = None,
    retrain_seeds: declare.RetrainSeeds = 3,
    baseline: declare.Baseline = True,
    seed: declare.Seed = 0,
    workers: int = typer.Option(1, min=1, max=1024, help="How many candidates are evaluated at a time."),
    threads: declare.Threads | None = None,
    executor: str = typer.Option("local", help="local (processes of this machine) or ray."),
    address: str = typer.Option(None, help="Of a running Ray cluster; without it ray starts one here."),
    gpus: float = typer.Option(0.0, min=0, help="Of each worker on a Ray cluster; 0.5 shares one between two."),
    resume: bool = typer.Option(False, "--resume", help="Resume a study; its own options hold unless given."),
    minutes: float = typer.Option(None, help=_MINUTES),
    dry_run: bool = typer.Option(False, "--dry-run", help="Measure a few steps and estimate the whole search's time."),
    tensorboard: Path = typer.Option(None, metavar="DIR", help="Also write scalars there (mnas[tensorboard])."),
    mirror: str = MIRROR,
    json: bool = JSON,
) -> None:
    """Search for the best network within a latency budget.

    Example: mnas search --data fashion_mnist --table latency_tables/here.json --budget-ms 2 --study runs/first.
    """
    if study is None and not dry_run:
        raise InputError("--study is missing: name a folder for the search's log, such as --study runs/first")
    line: dict[str, Any] = {
        "space": space,
        "table": list(table),
        "budget_ms": list(budget_ms),
        "max_size_mb": max_size_mb,
        "max_memory_mb": max_memory_mb,
        "data": data,
        "teacher": teacher,
        "library": library,
        "strategy": strategy,
        "evaluator": evaluator,
        "reward": reward,
        "beta": beta,
        "trials": trials,
        "batch": batch,
        "finalists": finalists,
        "proxy_steps": proxy_steps,
        "proxy_batch": proxy_batch,
        "rungs": rungs,
        "evaluation_minutes": evaluation_minutes,
        "predictor_samples": predictor_samples,
        "final_steps": final_steps,
        "confirmed": confirmed,
        "final_epochs": final_epochs,
        "distill": distill,
        "class_weights": class_weights,
        "augment": augment,
        "measure_finalists": measure_finalists,
        "benchmark_binary": benchmark_binary,
        "wait": wait,
        "score_dtype": score_dtype,
        "max_train_images": max_train_images,
        "retrain_seeds": retrain_seeds,
        "baseline": baseline,
        "seed": seed,
        "threads": _threads(threads, workers),
    }
    given = given_options(context)
    mirrored = None if dry_run else output.open_mirror(study, mirror)
    if resume and study is not None and (study / "study.json").exists():
        options = SearchOptions.from_dict(_arguments(study), **{name: line[name] for name in line if name in given})
    else:
        options = SearchOptions(**line)
        _check_used(options, given)
        options = _sized(options, minutes, given, workers)
    if dry_run:
        return _dry_run(options, json, workers)
    where = {"workers": workers, "executor": executor, "address": address, "gpus": gpus}
    _show(study, _search(options, study, resume, tensorboard, mirrored, where), json)


def _check_used(options: SearchOptions, given: Set[str]) -> None:
    """Refuse options of the command line that this evaluator does not read."""
    if options.evaluator == "library":
        unused = ["proxy_steps", "proxy_batch", "rungs", "predictor_samples", "final_steps"]
        if options.teacher is None or Path(options.teacher).is_dir():  # it, or its library, has its data
            unused.append("max_train_images")
    else:
        unused = ["confirmed", "final_epochs", "distill", "measure_finalists", "benchmark_binary", "wait"]
    for name in unused:
        if name in given:
            raise InputError(
                f"--{name.replace('_', '-')} has no effect with the evaluator {options.evaluator}: leave it out"
            )


def _threads(threads: int | None, workers: int) -> int:
    from mnas.search.executors.factory import threads_for

    return threads_for(workers) if threads is None else threads


def _arguments(study: Path) -> dict[str, Any]:
    """The arguments of the study that is resumed."""
    from mnas.study.study import Study

    return Study.open(study).arguments


def _sized(options: SearchOptions, minutes: float | None, given: Set[str], workers: int) -> SearchOptions:
    """The options with trials and steps that fit into the minutes, where the command line does not give them."""
    from mnas.search.sizing import fit_options

    with output.console(stderr=True).status("Measuring a few steps"):
        fitted = fit_options(options, minutes, given, workers=workers)
    if fitted is not options and options.evaluator != "library":
        why = "No search size given; using 15 minutes" if minutes is None else f"In {minutes:g} minutes"
        output.console(stderr=True).print(
            f"{why}: {fitted.trials} trials of {fitted.proxy_steps} steps in batches of {fitted.batch}, "
            f"{fitted.finalists} finalists of {fitted.final_steps} steps."
        )
    return fitted


def _search(
    options: SearchOptions,
    folder: Path,
    resume: bool,
    tensorboard: Path | None,
    mirror: Mirror | None,
    where: dict[str, Any],
) -> dict[str, Any]:
    """Search, show the progress, return the report."""
    from mnas.search.session import run_study

    if not resume and (folder / "study.json").exists():
        raise InputError(f"{folder} already holds a study: add --resume to resume it, or name another folder")
    if options.augment is not None or options.full_trainings:
        chosen = options.augment or "the recipe's, mirrored where a check allows it"
        output.console(stderr=True).print(f"Augmentation of training images: {chosen}.")
    try:
        with ExitStack() as stack:
            stack.enter_context(output.mirrored(mirror))
            observers = _observers(stack, tensorboard, mirror)
            return run_study(options, folder, resume=resume, observers=observers, **where)
    except KeyboardInterrupt:
        if (folder / "study.json").exists():
            output.console(stderr=True).print(f"Resume with: mnas search --resume --study {shlex.quote(str(folder))}")
        elif options.evaluator == "library":  # while the teacher was trained, or the library built
            output.console(stderr=True).print("Interrupted: the same command resumes.")
        raise


def _observers(stack: ExitStack, tensorboard: Path | None, mirror: Mirror | None) -> list[Observer]:
    from mnas.cli.progress import SearchDisplay
    from mnas.study.observer import MirrorObserver
    from mnas.study.tensorboard import ScalarLog

    observers: list[Observer] = [stack.enter_context(SearchDisplay())]
    if tensorboard is not None:
        observers.append(stack.enter_context(ScalarLog(tensorboard)))
    if mirror is not None:
        observers.append(MirrorObserver(mirror))
    return observers


def _show(study: Path, document: dict[str, Any], json: bool) -> None:
    """Print the report of the finished search."""
    if json:
        output.print_json(document)
        return
    from mnas.cli.report import show_report

    show_report(document)
    print(f"As a web page: {shlex.join(['mnas', 'report', str(study)])}")


def _dry_run(options: SearchOptions, json: bool, workers: int) -> None:
    """Estimate how long the search would take, and write nothing."""
    from dataclasses import asdict

    from mnas.cli.progress import duration
    from mnas.search.build import prepare
    from mnas.search.session import load_tensorflow_for
    from mnas.search.sizing import estimate_cost

    load_tensorflow_for(options)
    prepared = prepare(options)
    cost = estimate_cost(prepared.search, workers=workers)
    if json:
        output.print_json({"dry_run": True, "space_size": prepared.space.size, **asdict(cost)})
        return
    most = "At most" if prepared.search.objective.evaluator.num_rungs > 1 else "About"
    print(
        f"{most} {duration(cost.seconds)} on this machine ({cost.cpu_hours:.2f} CPU hours): "
        f"{cost.num_trials} candidates at {cost.seconds_per_trial:.2g} s and "
        f"{cost.num_finalists} finalists at {cost.seconds_per_finalist:.2g} s, "
        f"{duration(cost.preparation_seconds)} of preparation before, "
        f"out of {prepared.space.size:.3g} architectures of {prepared.space.name}. Nothing was written."
    )
    if cost.seconds > _LONG_SECONDS:
        print(
            "For less: --minutes 30; fewer --trials or --proxy-steps, a smaller --proxy-batch; --no-baseline halves it."
        )
