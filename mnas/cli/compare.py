"""`mnas compare`: which strategy is worth its trials, over several seeds and against chance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mnas.cli import common
from mnas.errors import InputError

if TYPE_CHECKING:
    from mnas.search.compare import Standing
    from mnas.search.contest import Contest


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compare")(compare)


def compare(
    strategies: str = typer.Option("random,reinforce,ppo,evolution", help="Names, with commas between."),
    space: str = typer.Option("mnasnet-32", help="A shipped space or a TOML file."),
    evaluator: str = typer.Option(..., help="tabular:FILE.json, or proxy with --data."),
    data: str = typer.Option(None, help="What the proxy trains on."),
    table: list[Path] = typer.Option([], help="A latency table; may be given several times."),
    budget_ms: list[float] = typer.Option([], help="The most a network may take, one for each --table."),
    budget_madds: float = typer.Option(None, help="Without a table: multiply-adds in the place of latency."),
    refuse: bool = typer.Option(True, help="Refuse candidates over the budget at no cost, for every strategy."),
    reward: str = typer.Option("absolute", help="absolute (TuNAS), soft or hard (MnasNet)."),
    beta: float = typer.Option(None, help="The reward's weight (absolute) or exponent; below 0."),
    seeds: int = typer.Option(10, min=2, help="Runs of each strategy, with the seeds from 0."),
    trials: list[int] = typer.Option([300], min=1, help="Candidates of a run; given several times, compares at each."),
    batch: int = typer.Option(10, min=1, help="Candidates between two updates of a strategy."),
    json: bool = common.JSON,
) -> None:
    """Compare strategies at equal cost, over several seeds.

    Example: mnas compare --space nas-bench-macro --evaluator tabular:FILE.json --budget-madds 47743498 --seeds 20.
    """
    from mnas.quiet import load_tensorflow
    from mnas.search.contest import Contest, check_strategies, run_contest, with_madds_budget
    from mnas.search.setup import SearchOptions, prepare
    from mnas.strategies.registry import needs_tensorflow

    names = [name.strip() for name in strategies.split(",") if name.strip()]
    check_strategies(names)
    if budget_madds is not None and (table or budget_ms):
        raise InputError("--budget-madds stands in the place of --table and --budget-ms: give one or the other")
    options = SearchOptions(
        space=space,
        table=[str(path) for path in table],
        budget_ms=list(budget_ms),
        data=data,
        strategy="random",
        evaluator=evaluator,
        reward=reward,
        beta=beta,
        baseline=False,
    )
    if evaluator == "proxy" or any(map(needs_tensorflow, names)):
        load_tensorflow()
    prepared = prepare(options)
    objective = prepared.search.objective
    if budget_madds is not None:
        objective = with_madds_budget(objective, prepared.space, budget_madds, reward=reward, beta=beta)
    contest = Contest(
        space=prepared.space,
        objective=objective,
        strategies=names,
        num_seeds=seeds,
        num_trials=trials,
        batch_size=batch,
        refuse=refuse,
    )
    with common.progress("comparing") as report:
        standings = run_contest(contest, on_run=report)
    if json:
        common.print_json(_document(contest, standings, {"name": reward, "beta": beta}))
        return
    for count, rows in standings.items():
        _show(contest, count, rows)


def _document(contest: Contest, standings: dict[int, list[Standing]], reward: dict[str, Any]) -> dict[str, Any]:
    return {
        "space": contest.space.name,
        "space_size": contest.space.size,
        "evaluator": contest.objective.evaluator.describe(),
        "reward": reward,
        "budgets": [{"budget": target.budget_ms, "unit": target.unit} for target in contest.objective.targets],
        "over_budget_refused": contest.refuse and bool(contest.objective.targets),
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
