"""The options of a comparison: from the command line, or from a TOML or JSON file."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from mnas.checks import check_fields, convert
from mnas.errors import InputError
from mnas.search import options as declare
from mnas.search.options import SearchOptions
from mnas.system.files import decode_text, read_bytes, read_json

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Former names of options: files with them can still be read.
FORMER_NAMES = {"limit": "max_train_images", "refuse": "reject_infeasible"}

BudgetMadds = Annotated[float, Meta(gt=0, description="Without a table: multiply-adds instead of latency.")]
RejectInfeasible = Annotated[
    bool, Meta(description="Reject candidates over the budget at no cost, for every strategy.")
]
Seeds = Annotated[int, Meta(ge=2, description="Runs of each strategy, with the seeds from 0.")]
TrialCounts = Annotated[
    Sequence[Annotated[int, Meta(ge=1)]],
    Meta(description="Candidates of a run; given several times, compares at each."),
]


@dataclass(frozen=True, kw_only=True)
class ComparisonOptions:
    """The options of a comparison; a file has the same names. See `SearchOptions` for common fields."""

    strategies: Sequence[str] = ("random", "reinforce", "ppo", "evolution")
    evaluator: declare.EvaluatorName | None = None
    space: declare.Space = "mnasnet-32"
    library: declare.LibraryFolder | None = None
    data: declare.Data | None = None
    max_train_images: declare.MaxTrainImages | None = None
    proxy_steps: declare.ProxySteps = 200
    proxy_batch: declare.ProxyBatch = 64
    rungs: declare.Rungs = 1
    evaluation_minutes: declare.EvaluationMinutes | None = None
    table: declare.Tables = ()
    budget_ms: declare.BudgetsMs = ()
    budget_madds: BudgetMadds | None = None
    reject_infeasible: RejectInfeasible = True
    reward: declare.RewardName = "absolute"
    beta: declare.Beta | None = None
    seeds: Seeds = 10
    trials: TrialCounts = (300,)
    batch: declare.Batch = 10

    def __post_init__(self) -> None:
        """Check all that can be checked without loading anything."""
        check_fields(self)
        check_strategies(self.strategies)
        if self.evaluator is None and self.library is not None:
            object.__setattr__(self, "evaluator", "library")
        if self.evaluator is None:
            raise InputError(
                "no evaluator is named: expected tabular:FILE.json, python:MODULE:FUNCTION, a --library, or with data "
                "proxy"
            )
        if self.budget_madds is not None and (self.table or self.budget_ms):
            raise InputError("--budget-madds replaces --table and --budget-ms: give one or the other")

    def search_options(self) -> SearchOptions:
        """Return the common part of all runs, as options of a search."""
        return SearchOptions(
            space=self.space,
            library=self.library,
            table=self.table,
            budget_ms=self.budget_ms,
            data=self.data,
            max_train_images=self.max_train_images,
            proxy_steps=self.proxy_steps,
            proxy_batch=self.proxy_batch,
            rungs=self.rungs,
            evaluation_minutes=self.evaluation_minutes,
            strategy="random",
            evaluator=self.evaluator or "",
            reward=self.reward,
            beta=self.beta,
            baseline=False,
        )


def check_strategies(names: Sequence[str]) -> None:
    """Check that these are one or more different strategies that learn from trials.

    Raises:
        InputError: if not; for an unknown name it lists the known ones.
    """
    from mnas.strategies.registry import check_strategy

    if not names or len(set(names)) != len(names):
        raise InputError(f"strategies are {list(names)}: expected one or more different names")
    for name in names:
        check_strategy(name)


def read_options(path: Path, given: Mapping[str, Any]) -> ComparisonOptions:
    """Read options from a file; `given` ones replace those of the file.

    Relative paths in the file start at the file's folder.

    Raises:
        InputError: if it cannot be read, or has an unknown name or a wrong value; it names it.
    """
    document = {FORMER_NAMES.get(name, name): value for name, value in _read(path).items()}
    return convert({**_located(document, path.parent), **given}, ComparisonOptions, str(path))


def _read(path: Path) -> dict[str, Any]:
    if path.suffix == ".json":
        document = read_json(path, "a comparison")
    else:
        data = read_bytes(path, "a comparison")
        try:
            document = tomllib.loads(decode_text(data))
        except (ValueError, RecursionError) as error:  # errors of TOML, of UTF-8, and of deep nesting
            raise InputError(f"{path} is not a TOML file: {error}") from None
    if not isinstance(document, dict):
        raise InputError(f"{path} is not a comparison: expected names and values")
    return document


def _located(document: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Resolve relative paths against the file's folder."""
    located = dict(document)
    if isinstance(located.get("table"), list):
        located["table"] = [_located_table(path, folder) for path in located["table"]]
    kind, _, path = str(located.get("evaluator", "")).partition(":")
    if kind == "tabular":
        located["evaluator"] = f"tabular:{folder / path}"
    if str(located.get("space", "")).endswith(".toml"):
        located["space"] = str(folder / located["space"])
    return located


def _located_table(table: Any, folder: Path) -> Any:
    """A table's path against the file's folder; the name of a ready-made one stays."""
    if not isinstance(table, str):
        return table
    is_name = "/" not in table and not table.endswith(".json") and not (folder / table).exists()
    return table if is_name else str(folder / table)
