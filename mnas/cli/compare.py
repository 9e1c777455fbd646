"""`mnas compare`: strategies at equal cost, over several seeds and against random search."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mnas.cli import output
from mnas.cli.options import JSON, given_options
from mnas.experiments.comparison_options import (
    BudgetMadds,
    ComparisonOptions,
    RejectInfeasible,
    Seeds,
    TrialCounts,
    read_options,
)
from mnas.search import options as declare

if TYPE_CHECKING:
    from mnas.experiments.comparison import Comparison
    from mnas.experiments.standings import StrategyResult


def compare(
    context: typer.Context,
    file: Path = typer.Option(None, help="A TOML or JSON file with these options by name (budget_ms = [2.0])."),
    strategies: str = typer.Option("random,reinforce,ppo,evolution", help="Names, separated by commas."),
    space: declare.Space = "mnasnet-32",
    evaluator: declare.EvaluatorName | None = None,
    library: declare.LibraryFolder | None = None,
    data: declare.Data | None = None,
    max_train_images: declare.MaxTrainImages | None = None,
    proxy_steps: declare.ProxySteps = 200,
    proxy_batch: declare.ProxyBatch = 64,
    rungs: declare.Rungs = 1,
    evaluation_minutes: declare.EvaluationMinutes | None = None,
    table: declare.Tables = (),
    budget_ms: declare.BudgetsMs = (),
    budget_madds: BudgetMadds | None = None,
    reject_infeasible: RejectInfeasible = True,
    reward: declare.RewardName = "absolute",
    beta: declare.Beta | None = None,
    seeds: Seeds = 10,
    trials: TrialCounts = (300,),
    batch: declare.Batch = 10,
    plot: Path = typer.Option(None, help="Draw the result into this HTML file."),
    json: bool = JSON,
) -> None:
    """Compare strategies at equal cost, over several seeds. Options on the command line override those in --file.

    Example: mnas compare --space nas-bench-macro --evaluator tabular:FILE.json --budget-madds 47743498 --seeds 20.
    """
    from mnas.experiments.comparison import compare_strategies
    from mnas.system.files import check_writable

    line: dict[str, Any] = {
        "strategies": [name.strip() for name in strategies.split(",") if name.strip()],
        "space": space,
        "evaluator": evaluator,
        "library": library,
        "data": data,
        "max_train_images": max_train_images,
        "proxy_steps": proxy_steps,
        "proxy_batch": proxy_batch,
        "rungs": rungs,
        "evaluation_minutes": evaluation_minutes,
        "table": list(table),
        "budget_ms": list(budget_ms),
        "budget_madds": budget_madds,
        "reject_infeasible": reject_infeasible,
        "reward": reward,
        "beta": beta,
        "seeds": seeds,
        "trials": list(trials),
        "batch": batch,
    }
    given = given_options(context)
    if file is None:
        options = ComparisonOptions(**line)
    else:
        options = read_options(file, {name: value for name, value in line.items() if name in given})
    if plot is not None:
        check_writable(plot)
    with output.progress("comparing") as report:
        result = compare_strategies(options, on_run=report)
    if plot is not None:
        _draw(result.comparison, result.standings, plot)
    if json:
        output.print_json(result.to_dict())
        return
    for count, rows in result.standings.items():
        _show(result.comparison, count, rows)


def _draw(comparison: Comparison, standings: dict[int, list[StrategyResult]], plot: Path) -> None:
    from mnas.report.comparison import standings_figure
    from mnas.report.page import figures_page
    from mnas.system.files import write_atomically

    title = f"{comparison.num_seeds} seeds on {comparison.space.name}"
    write_atomically(plot, figures_page([standings_figure(standings, title=title)], title=title))


def _show(comparison: Comparison, count: int, rows: list[StrategyResult]) -> None:
    columns = ["strategy", "best", "95 % interval", "rank", "over random, 95 %", "won"]
    title = f"Best reward of {count} trials, mean of {comparison.num_seeds} seeds, {comparison.space.name}"
    output.table(title, columns, [_row(row) for row in rows])
    for row in rows:
        if row.against is not None and row.against.verdict != "better":
            low, high = row.against.interval
            what = "is worse than random search" if row.against.verdict == "worse" else "does not surely beat random"
            print(f"{row.strategy} {what} at {count} trials: the difference is from {low:+.4f} to {high:+.4f}.")


def _row(row: StrategyResult) -> list[str]:
    cells = [row.strategy, f"{row.mean_best:.4f}", "{:.4f}..{:.4f}".format(*row.interval), f"{row.mean_rank:.2f}"]
    if row.against is None:
        return [*cells, "", ""]
    return [*cells, "{:+.4f}..{:+.4f}".format(*row.against.interval), f"{row.against.share_won:.0%}"]
