"""`mnas search`: let a strategy design a network within a latency budget."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mnas.cli import common
from mnas.errors import InputError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from mnas.remote import Mirror
    from mnas.search.executor import Executor
    from mnas.search.setup import Prepared, SearchOptions
    from mnas.search.tensorboard import ScalarLog
    from mnas.trial import Trial

_LONG_SECONDS = 3600.0  # of a search: above it, a person is told how to shorten it
_USUAL_MINUTES = 15.0  # of a search by short trainings, where nothing says how large it is to be
_SIZES = {"trials", "proxy_steps", "final_steps"}  # options that say so
# Options about this call, not about the search.
_ONLY_HERE = (
    "study",
    "minutes",
    "resume",
    "dry_run",
    "workers",
    "executor",
    "address",
    "gpus",
    "tensorboard",
    "mirror",
    "json",
)

_STRATEGY = typer.Option(
    "reinforce",
    help="random, reinforce, ppo, evolution, nsga2, optuna:SAMPLER, python:MODULE:CLASS; with a supernet "
    "differentiable or tunas.",
)
_EVALUATOR = typer.Option(
    "proxy",
    help="proxy (short trainings), supernet (shared weights), predictor (some trainings, the rest predicted), "
    "tabular:FILE.json, or python:MODULE:FUNCTION.",
)


_MINUTES = (
    "Choose trials and steps of short trainings that take about so long on this machine; 20 where neither this nor "
    "--trials, --proxy-steps or --final-steps is given."
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("search")(search)


def search(
    context: typer.Context,
    study: Path = typer.Option(None, help="The study's folder: everything is logged there."),
    space: str = typer.Option("mnasnet-32", help="A shipped space or a TOML file."),
    table: list[Path] = typer.Option([], help="A latency table; may be given several times."),
    budget_ms: list[float] = typer.Option([], help="The most a winner may take, one for each --table."),
    max_size_mb: float = typer.Option(None, help="The most that the .tflite file may take, in MB."),
    max_memory_mb: float = typer.Option(None, help="The most memory that it may take to run, in MB."),
    data: str = typer.Option(None, help="digits, fashion_mnist, cifar10, cifar100, or a folder of images by class."),
    strategy: str = _STRATEGY,
    evaluator: str = _EVALUATOR,
    reward: str = typer.Option("absolute", help="absolute (TuNAS), soft or hard (MnasNet)."),
    beta: float = typer.Option(None, help="The reward's weight (absolute) or exponent; below 0."),
    trials: int = typer.Option(100, min=1, help="How many candidates to judge."),
    batch: int = typer.Option(10, min=1, help="Candidates between two updates of the strategy."),
    finalists: int = typer.Option(3, min=1, help="How many of the best are trained longer."),
    proxy_steps: int = typer.Option(200, min=1, help="Training steps of a candidate."),
    proxy_batch: int = typer.Option(64, min=2, help="Images in a training step."),
    rungs: int = typer.Option(1, min=1, help="Score a training so often, stop hopeless candidates early; 1: never."),
    evaluation_minutes: float = typer.Option(None, help="End an evaluation that takes longer; it counts as failed."),
    supernet_steps: int = typer.Option(3000, min=1, help="Training steps of the supernet."),
    supernet_batch: int = typer.Option(32, min=2, help="Images in a training step of the supernet."),
    supernet_sampling: str = typer.Option("fair", help="The paths that such a step trains: uniform, fair or sandwich."),
    supernet_paths: int = typer.Option(1, min=1, help="Paths a step; 3 or more for the sandwich rule."),
    predictor_samples: int = typer.Option(32, min=5, help="Candidates that teach the predictor by short trainings."),
    inherit: bool = typer.Option(False, "--inherit", help="Finalists start from their weights in the supernet."),
    final_steps: int = typer.Option(1000, min=1, help="Training steps of a finalist."),
    score_dtype: str = typer.Option("float32", help="int8: finalists are quantised, and scored as integer files."),
    limit: int = typer.Option(None, min=1, help="Use so many training images only."),
    verdict_seeds: int = typer.Option(3, min=0, help="Train both winners so often again, for the verdict on random."),
    baseline: bool = typer.Option(True, help="Also run random search at equal cost, and compare."),
    seed: int = typer.Option(0, min=0, help="The same seed gives the same search."),
    workers: int = typer.Option(1, min=1, max=1024, help="How many candidates are judged at a time."),
    threads: int = typer.Option(None, min=0, max=1024, help="Of each evaluation; by default the CPUs are shared out."),
    executor: str = typer.Option("local", help="local (processes of this machine) or ray."),
    address: str = typer.Option(None, help="Of a running Ray cluster; without it ray starts one here."),
    gpus: float = typer.Option(0.0, min=0, help="Of each worker on a Ray cluster; 0.5 shares one between two."),
    resume: bool = typer.Option(False, "--resume", help="Go on with a study; its own options hold unless given."),
    minutes: float = typer.Option(None, help=_MINUTES),
    dry_run: bool = typer.Option(False, "--dry-run", help="Measure a few steps and say how long it will take."),
    tensorboard: Path = typer.Option(None, metavar="DIR", help="Also write scalars there (mnas[tensorboard])."),
    mirror: str = common.MIRROR,
    json: bool = common.JSON,
) -> None:
    """Search for the best network within a latency budget.

    Example: mnas search --data fashion_mnist --table latency_tables/here.json --budget-ms 2 --study runs/first.
    """
    if study is None and not dry_run:
        raise InputError("--study is missing: name a folder for the search's log, such as --study runs/first")
    mirrored = None if dry_run else common.open_mirror(study, mirror)
    resumed = study if resume and study is not None and (study / "study.json").exists() else None
    options = _options(context, resumed)
    if not (resume or dry_run) and (study / "study.json").exists():
        raise InputError(f"{study} holds a study already: add --resume to go on with it, or name another folder")
    options = options if resumed is not None else _fitted(context, options, minutes)
    if dry_run:
        return _dry_run(options, json, workers)
    where = {"workers": workers, "kind": executor, "address": address, "gpus": gpus}
    _show(study, _search(study, resume, options, where, {"tensorboard": tensorboard, "mirror": mirrored}), json)


def _fitted(context: typer.Context, options: SearchOptions, minutes: float | None) -> SearchOptions:
    """The options with what fits into the minutes, where the line does not say otherwise; says what that is.

    Where the line says nothing at all of how large a search by short trainings is to be, it is to take 15 minutes:
    which numbers do is a matter of the machine.
    """
    from mnas.search.pace import fit_into

    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}
    if minutes is None and (options.evaluator != "proxy" or given & _SIZES):
        return options
    why = (
        f"Nothing says how large, so as with --minutes {_USUAL_MINUTES:g}"
        if minutes is None
        else f"In {minutes:g} minutes"
    )
    usual, minutes = minutes is None, _USUAL_MINUTES if minutes is None else minutes
    load_for(options)
    with common.console(stderr=True).status("Measuring a few steps"):
        fitted = fit_into(options, minutes, given, workers=context.params["workers"], stretch=usual)
    common.console(stderr=True).print(
        f"{why}: {fitted.trials} trials of {fitted.proxy_steps} steps in batches of {fitted.batch}, "
        f"{fitted.finalists} finalists of {fitted.final_steps} steps."
    )
    return fitted


def _search(
    study: Path, resume: bool, options: SearchOptions, where: dict[str, Any], beside: dict[str, Any]
) -> dict[str, Any]:
    """Search with candidates judged as `where` says, and kept `beside` the study too; gives the report."""
    from mnas.search.parallel import open_executor
    from mnas.search.setup import prepare

    load_for(options)
    prepared = prepare(options, study)
    with open_executor(options, prepared, **where) as opened:
        return run_study(study, resume, options, prepared, executor=opened, workers=where["workers"], **beside)


def _show(study: Path, document: dict[str, Any], json: bool) -> None:
    """The finished search's report."""
    if json:
        common.print_json(document)
        return
    from mnas.cli.report import show_report

    show_report(document)
    print(f"As a web page: {shlex.join(['mnas', 'report', str(study)])}")


def load_for(options: SearchOptions) -> None:
    """Load TensorFlow if this search needs it here."""
    from mnas.quiet import load_tensorflow
    from mnas.strategies.registry import needs_tensorflow

    if options.trains or needs_tensorflow(options.strategy):
        load_tensorflow(threads=options.threads)


def _options(context: typer.Context, resumed: Path | None) -> SearchOptions:
    """The options of this call; on resume, the study's own where this call does not give another."""
    from mnas.search.parallel import threads_for
    from mnas.search.setup import SearchOptions
    from mnas.search.study import Study

    given = {name: value for name, value in context.params.items() if name not in _ONLY_HERE}
    given["table"] = [str(path) for path in given["table"] or []]
    given["budget_ms"] = list(given["budget_ms"] or [])
    if resumed is not None:
        kept = Study.open(resumed).arguments
        for name in given:
            source = context.get_parameter_source(name)
            if name in kept and (source is None or source.name != "COMMANDLINE"):
                given[name] = kept[name]
    if given["threads"] is None:
        given["threads"] = threads_for(context.params["workers"])
    return SearchOptions(**given)


def run_study(
    folder: Path,
    resume: bool,
    options: SearchOptions,
    prepared: Prepared,
    *,
    executor: Executor | None = None,
    workers: int = 1,
    tensorboard: Path | None = None,
    mirror: Mirror | None = None,
) -> dict[str, Any]:
    """Run or resume a search with its progress shown, scalars in the folder `tensorboard`; gives its report.

    How many `workers` the executor has is for the time left, here and in `mnas report --watch`.
    """
    from contextlib import ExitStack

    from mnas.cli.progress import SearchProgress, judged_at_once
    from mnas.search.lock import locked
    from mnas.search.report import next_commands, report
    from mnas.search.run import ignore_update, run_search
    from mnas.search.study import Study

    arguments = {**options.to_dict(), **({"workers": workers} if workers > 1 else {})}
    opened = (Study.resume if resume else Study.create)(folder, prepared.config, arguments)
    at_once = judged_at_once(workers=workers, batch=options.batch, finalists=options.finalists)
    totals = {"trials": options.trials}
    finals = {"finalists": options.finalists} if prepared.search.finals else {}
    totals.update(finals)
    if prepared.search.baseline:
        totals.update({"baseline": options.trials, **{f"baseline_{name}": count for name, count in finals.items()}})
        if prepared.search.repeats:
            totals["repeats"] = 2 * len(prepared.search.repeats)

    def keep() -> None:
        if mirror is not None:
            mirror.push_now_and_then()

    try:
        with ExitStack() as stack:
            stack.enter_context(common.mirrored(mirror))
            # Held already while a supernet is trained: a second process is told at once.
            with locked(folder), common.progress("Preparation") as report_progress:

                def on_progress(share: float, what: str) -> None:
                    report_progress(share, what)
                    keep()

                prepared.search.objective.evaluator.prepare(on_progress)
            progress = stack.enter_context(SearchProgress(totals, at_once))
            scalars = stack.enter_context(_scalars(tensorboard))

            def on_trial(phase: str, trial: Trial) -> None:
                progress(phase, trial)
                if scalars is not None:
                    scalars.trial(phase, trial)
                keep()

            on_update = ignore_update if scalars is None else scalars.update
            run_search(opened, prepared.search, executor=executor, on_trial=on_trial, on_update=on_update)
    except KeyboardInterrupt:
        common.console(stderr=True).print(f"Go on with: {next_commands(opened, None)[0]}")
        raise
    return report(opened)


def _scalars(folder: Path | None) -> AbstractContextManager[ScalarLog | None]:
    from contextlib import nullcontext

    from mnas.search.tensorboard import ScalarLog

    return nullcontext() if folder is None else ScalarLog(folder)


def _dry_run(options: SearchOptions, json: bool, workers: int) -> None:
    """Say how long it would take, and write nothing."""
    from mnas.cli.progress import duration
    from mnas.search.estimate import estimate_cost
    from mnas.search.setup import prepare

    load_for(options)
    prepared = prepare(options)
    cost = estimate_cost(prepared.search, workers=workers)
    if json:
        common.print_json({"dry_run": True, "space_size": prepared.space.size, **cost.to_dict()})
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
