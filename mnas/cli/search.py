"""`mnas search`: let a strategy design a network within a latency budget."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mnas.cli import common
from mnas.errors import InputError

if TYPE_CHECKING:
    from mnas.search.setup import Prepared, SearchOptions

_ONLY_HERE = ("study", "resume", "dry_run", "json")  # options about this call, not about the search


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("search")(search)


def search(
    context: typer.Context,
    study: Path = typer.Option(None, help="The study's folder: everything is logged there."),
    space: str = typer.Option("mnasnet-32", help="A shipped space or a TOML file."),
    table: list[Path] = typer.Option([], help="A latency table; may be given several times."),
    budget_ms: list[float] = typer.Option([], help="The most a winner may take, one for each --table."),
    data: str = typer.Option(None, help="digits, fashion_mnist, cifar10, cifar100, or a folder of images by class."),
    strategy: str = typer.Option("reinforce", help="random, reinforce, ppo or evolution."),
    evaluator: str = typer.Option("proxy", help="proxy (train each candidate shortly), or tabular:FILE.json."),
    reward: str = typer.Option("absolute", help="absolute (TuNAS), soft or hard (MnasNet)."),
    beta: float = typer.Option(None, help="The reward's weight (absolute) or exponent; below 0."),
    trials: int = typer.Option(100, min=1, help="How many candidates to judge."),
    batch: int = typer.Option(10, min=1, help="Candidates between two updates of the strategy."),
    finalists: int = typer.Option(3, min=1, help="How many of the best are trained longer."),
    proxy_steps: int = typer.Option(200, min=1, help="Training steps of a candidate."),
    proxy_batch: int = typer.Option(64, min=2, help="Images in a training step."),
    final_steps: int = typer.Option(1000, min=1, help="Training steps of a finalist."),
    score_dtype: str = typer.Option("float32", help="int8: finalists are quantised, and scored as integer files."),
    limit: int = typer.Option(None, min=1, help="Use so many training images only."),
    baseline: bool = typer.Option(True, help="Also run random search at equal cost, and compare."),
    seed: int = typer.Option(0, min=0, help="The same seed gives the same search."),
    resume: bool = typer.Option(False, "--resume", help="Go on with a study; its own options hold unless given."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Measure a few steps and say how long it will take."),
    json: bool = common.JSON,
) -> None:
    """Search for the best network within a latency budget.

    Example: mnas search --data fashion_mnist --table latency_tables/here.json --budget-ms 2 --study runs/first.
    """
    from mnas.quiet import load_tensorflow
    from mnas.search.setup import prepare

    if study is None and not dry_run:
        raise InputError("--study is missing: name a folder for the search's log, such as --study runs/first")
    options = _options(context, study if resume else None)
    if not resume and not dry_run and (study / "study.json").exists():
        raise InputError(f"{study} holds a study already: add --resume to go on with it, or name another folder")
    if options.evaluator == "proxy" or options.strategy not in ("random", "evolution"):
        load_tensorflow()
    prepared = prepare(options)
    if dry_run:
        _dry_run(prepared, json)
        return
    document = run_study(study, resume, options, prepared)
    if json:
        common.print_json(document)
    else:
        from mnas.cli.report import show_report

        show_report(document)


def _options(context: typer.Context, resumed: Path | None) -> SearchOptions:
    """The options of this call; on resume, the study's own where this call does not give another."""
    from mnas.search.setup import SearchOptions
    from mnas.search.study import Study

    given = {name: value for name, value in context.params.items() if name not in _ONLY_HERE}
    given["table"] = [str(path) for path in given["table"] or []]
    given["budget_ms"] = list(given["budget_ms"] or [])
    if resumed is not None and (resumed / "study.json").exists():
        kept = Study.open(resumed).arguments
        for name in given:
            source = context.get_parameter_source(name)
            if name in kept and (source is None or source.name != "COMMANDLINE"):
                given[name] = kept[name]
    return SearchOptions(**given)


def run_study(folder: Path, resume: bool, options: SearchOptions, prepared: Prepared) -> dict[str, Any]:
    """Run or resume a search with its progress shown; gives its report."""
    from mnas.cli.progress import SearchProgress
    from mnas.search.report import next_commands, report
    from mnas.search.run import run_search
    from mnas.search.study import Study

    opened = (Study.resume if resume else Study.create)(folder, prepared.config, options.to_dict())
    totals = {"trials": options.trials}
    finals = {"finalists": options.finalists} if prepared.search.finals else {}
    totals.update(finals)
    if prepared.search.baseline:
        totals.update({"baseline": options.trials, **{f"baseline_{name}": count for name, count in finals.items()}})
    try:
        with SearchProgress(totals) as progress:
            run_search(opened, prepared.search, on_trial=progress)
    except KeyboardInterrupt:
        common.console(stderr=True).print(f"Go on with: {next_commands(opened, None)[0]}")
        raise
    return report(opened)


def _dry_run(prepared: Prepared, json: bool) -> None:
    from mnas.cli.progress import duration
    from mnas.search.estimate import estimate_cost

    cost = estimate_cost(prepared.search)
    if json:
        common.print_json({"dry_run": True, "space_size": prepared.space.size, **cost.to_dict()})
        return
    print(
        f"About {duration(cost.seconds)} on this machine ({cost.cpu_hours:.2f} CPU hours): "
        f"{cost.num_trials} candidates at {cost.seconds_per_trial:.2g} s and "
        f"{cost.num_finalists} finalists at {cost.seconds_per_finalist:.2g} s, "
        f"out of {prepared.space.size:.3g} architectures of {prepared.space.name}. Nothing was written."
    )
