"""`mnas compare`: which strategy is worth its trials, over several seeds and against chance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mnas.cli import common

if TYPE_CHECKING:
    from mnas.search.compare import Standing
    from mnas.search.contest import Contest
    from mnas.search.contest_options import ContestOptions

_ONLY_HERE = ("file", "plot", "json")  # options about this call, not about the comparison


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compare")(compare)


def compare(
    context: typer.Context,
    file: Path = typer.Option(None, help="A TOML or JSON file with these options by name (budget_ms = [2.0])."),
    strategies: str = typer.Option("random,reinforce,ppo,evolution", help="Names, with commas between."),
    space: str = typer.Option("mnasnet-32", help="A shipped space or a TOML file."),
    evaluator: str = typer.Option(None, help="tabular:FILE.json, python:MODULE:FUNCTION, or as in mnas search."),
    data: str = typer.Option(None, help="What candidates are trained on."),
    limit: int = typer.Option(None, min=1, help="Use so many training images only."),
    proxy_steps: int = typer.Option(200, min=1, help="Training steps of a candidate."),
    proxy_batch: int = typer.Option(64, min=2, help="Images in a training step."),
    rungs: int = typer.Option(1, min=1, help="Score a training so often, stop hopeless candidates early; 1: never."),
    evaluation_minutes: float = typer.Option(None, help="End an evaluation that takes longer; it counts as failed."),
    table: list[Path] = typer.Option([], help="A latency table; may be given several times."),
    budget_ms: list[float] = typer.Option([], help="The most a network may take, one for each --table."),
    budget_madds: float = typer.Option(None, help="Without a table: multiply-adds in the place of latency."),
    refuse: bool = typer.Option(True, help="Refuse candidates over the budget at no cost, for every strategy."),
    reward: str = typer.Option("absolute", help="absolute (TuNAS), soft or hard (MnasNet)."),
    beta: float = typer.Option(None, help="The reward's weight (absolute) or exponent; below 0."),
    seeds: int = typer.Option(10, min=2, help="Runs of each strategy, with the seeds from 0."),
    trials: list[int] = typer.Option([300], min=1, help="Candidates of a run; given several times, compares at each."),
    batch: int = typer.Option(10, min=1, help="Candidates between two updates of a strategy."),
    plot: Path = typer.Option(None, help="Draw the result into this HTML file."),
    json: bool = common.JSON,
) -> None:
    """Compare strategies at equal cost, over several seeds. Options on the line go before those in --file.

    Example: mnas compare --space nas-bench-macro --evaluator tabular:FILE.json --budget-madds 47743498 --seeds 20.
    """
    from mnas.files import check_writable
    from mnas.search.contest import run_contest
    from mnas.search.parallel import open_comparison_executor

    options = _options(context, file)
    if plot is not None:
        check_writable(plot)
    _load(options)
    contest = options.contest()
    with common.progress("comparing") as report, open_comparison_executor(options, contest) as executor:
        standings = run_contest(contest, executor=executor, on_run=report)
    if plot is not None:
        _draw(contest, standings, plot)
    if json:
        common.print_json(_document(contest, standings, {"name": options.reward, "beta": options.beta}))
        return
    for count, rows in standings.items():
        _show(contest, count, rows)


def _draw(contest: Contest, standings: dict[int, list[Standing]], plot: Path) -> None:
    from mnas.files import write_atomically
    from mnas.report.comparison import standings_figure
    from mnas.report.page import figures_page

    title = f"{contest.num_seeds} seeds on {contest.space.name}"
    write_atomically(plot, figures_page([standings_figure(standings, title=title)], title=title))


def _options(context: typer.Context, file: Path | None) -> ContestOptions:
    """What the line says, and what the file says where the line is silent."""
    from mnas.search.contest_options import ContestOptions, read_options

    given = {name: value for name, value in context.params.items() if name not in _ONLY_HERE}
    given["strategies"] = [name.strip() for name in given["strategies"].split(",") if name.strip()]
    given["table"] = [str(path) for path in given["table"] or []]
    given["budget_ms"] = list(given["budget_ms"] or [])
    if file is None:
        return ContestOptions(**given)
    sources = {name: context.get_parameter_source(name) for name in given}
    return read_options(file, {n: given[n] for n, source in sources.items() if source and source.name == "COMMANDLINE"})


def _load(options: ContestOptions) -> None:
    """Load TensorFlow if it is needed, without the lines it prints."""
    from mnas.quiet import load_tensorflow
    from mnas.strategies.registry import needs_tensorflow

    if options.search_options().trains or any(map(needs_tensorflow, options.strategies)):
        load_tensorflow()


def _document(contest: Contest, standings: dict[int, list[Standing]], reward: dict[str, Any]) -> dict[str, Any]:
    return {
        "space": contest.space.name,
        "space_size": contest.space.size,
        "evaluator": contest.objective.evaluator.describe(),
        "reward": reward,
        "budgets": [{"budget": budget.limit, "unit": budget.unit} for budget in contest.objective.budgets],
        "over_budget_refused": contest.refuse and bool(contest.objective.budgets),
        "num_seeds": contest.num_seeds,
        "batch_size": contest.batch_size,
        "results": [
            {"num_trials": count, "strategies": [row.to_dict() for row in rows]} for count, rows in standings.items()
        ],
    }


def _show(contest: Contest, count: int, rows: list[Standing]) -> None:
    columns = ["strategy", "best", "95 % interval", "rank", "over random, 95 %", "won"]
    title = f"Best reward of {count} trials, mean of {contest.num_seeds} seeds, {contest.space.name}"
    common.table(title, columns, [_row(row) for row in rows])
    for row in rows:
        if row.against is not None and row.against.verdict != "better":
            low, high = row.against.interval
            what = "is worse than random search" if row.against.verdict == "worse" else "does not surely beat random"
            print(f"{row.strategy} {what} at {count} trials: the difference is from {low:+.4f} to {high:+.4f}.")


def _row(row: Standing) -> list[str]:
    cells = [row.strategy, f"{row.mean_best:.4f}", "{:.4f}..{:.4f}".format(*row.interval), f"{row.mean_rank:.2f}"]
    if row.against is None:
        return [*cells, "", ""]
    return [*cells, "{:+.4f}..{:+.4f}".format(*row.against.interval), f"{row.against.share_won:.0%}"]
