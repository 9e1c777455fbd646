"""What `mnas compare` is asked for: from its command line, or from a TOML or JSON file."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mnas.errors import InputError
from mnas.files import read_bytes, read_json
from mnas.search.contest import Contest, check_strategies, with_madds_budget
from mnas.search.setup import SearchOptions, prepare

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True, kw_only=True)
class ContestOptions:
    """What a person decides about a comparison; a file has the same names.

    Attributes:
        strategies: names, as `mnas.strategies.registry.make_strategy` takes them.
        evaluator: as in `SearchOptions`.
        space: a shipped space or a TOML file.
        data: what candidates are trained on.
        limit: use so many training images only; None for all.
        proxy_steps: training steps of one candidate.
        proxy_batch: images in such a step.
        rungs: how often a candidate is scored in its training, so that a hopeless one is stopped early; 1 is never.
        evaluation_minutes: the most that judging one candidate may take; None for any time.
        table: latency tables, as paths.
        budget_ms: one a table.
        budget_madds: in the place of tables.
        refuse: whether candidates over the budget are refused at no cost.
        reward: absolute, soft or hard.
        beta: its weight or exponent.
        seeds: runs of each strategy.
        trials: numbers of trials to compare at.
        batch: candidates between two updates.
    """

    strategies: Sequence[str] = ("random", "reinforce", "ppo", "evolution")
    evaluator: str | None = None
    space: str = "mnasnet-32"
    data: str | None = None
    limit: int | None = None
    proxy_steps: int = 200
    proxy_batch: int = 64
    rungs: int = 1
    evaluation_minutes: float | None = None
    table: Sequence[str] = ()
    budget_ms: Sequence[float] = ()
    budget_madds: float | None = None
    refuse: bool = True
    reward: str = "absolute"
    beta: float | None = None
    seeds: int = 10
    trials: Sequence[int] = (300,)
    batch: int = 10

    def __post_init__(self) -> None:
        """Refuse at once what can be seen to be wrong without loading anything."""
        check_strategies(self.strategies)
        if self.evaluator is None:
            raise InputError(
                "no evaluator is named: expected tabular:FILE.json, python:MODULE:FUNCTION, or with data proxy"
            )
        if self.budget_madds is not None and (self.table or self.budget_ms):
            raise InputError("--budget-madds stands in the place of --table and --budget-ms: give one or the other")

    def search_options(self) -> SearchOptions:
        """What is common to all runs, as options of a search."""
        return SearchOptions(
            space=self.space,
            table=list(self.table),
            budget_ms=list(self.budget_ms),
            data=self.data,
            limit=self.limit,
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

    def contest(self) -> Contest:
        """Load what the options name.

        Raises:
            InputError: for anything that is wrong with them: before any work is done.
        """
        prepared = prepare(self.search_options())
        objective = prepared.search.objective
        if self.budget_madds is not None:
            objective = with_madds_budget(
                objective, prepared.space, self.budget_madds, reward=self.reward, beta=self.beta
            )
        return Contest(
            space=prepared.space,
            objective=objective,
            strategies=self.strategies,
            num_seeds=self.seeds,
            num_trials=self.trials,
            batch_size=self.batch,
            refuse=self.refuse,
        )


_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("strategies", "table"), (str,)),
    **dict.fromkeys(("evaluator", "space", "data", "reward"), (str,)),
    **dict.fromkeys(("budget_ms", "budget_madds", "beta", "evaluation_minutes"), (int, float)),
    **dict.fromkeys(("seeds", "trials", "batch", "limit", "proxy_steps", "proxy_batch", "rungs"), (int,)),
    "refuse": (bool,),
}
_LISTS = ("strategies", "table", "budget_ms", "trials")


def read_options(path: Path, given: Mapping[str, Any]) -> ContestOptions:
    """Options from a file, with what was given beside it in the place of what the file says.

    Paths in the file are as seen from the file's folder.

    Raises:
        InputError: if it cannot be read, or has a name or a kind of value that is not expected; it says which.
    """
    document = _read(path)
    names = [field.name for field in fields(ContestOptions)]
    unknown = sorted(set(document) - set(names))
    if unknown:
        raise InputError(f"{path} has unknown names {', '.join(unknown)}; known are {', '.join(names)}")
    for name, value in document.items():
        values = value if name in _LISTS else [value]
        kinds = _KINDS[name]
        wrong = not isinstance(values, list) or not all(_is_one(one, kinds) for one in values)
        if wrong:
            kind = " or ".join(sorted(kind.__name__ for kind in kinds))
            many = "a list of " if name in _LISTS else ""
            raise InputError(f"{path}: {name} is {value!r}: expected {many}{kind}")
    return ContestOptions(**{**_located(document, path.parent), **given})


def _is_one(value: Any, kinds: tuple[type, ...]) -> bool:
    """Whether a value is of one of the kinds; True is no number, and neither are nan and inf, which TOML can say."""
    if isinstance(value, bool) and bool not in kinds:
        return False
    return isinstance(value, kinds) and not (isinstance(value, float) and not math.isfinite(value))


def _read(path: Path) -> dict[str, Any]:
    if path.suffix == ".json":
        document = read_json(path, "a comparison")
    else:
        data = read_bytes(path, "a comparison")
        try:
            document = tomllib.loads(data.decode("utf-8"))
        except (ValueError, RecursionError) as error:  # TOML and UTF-8 errors both; and brackets without end
            raise InputError(f"{path} is not a TOML file: {error}") from None
    if not isinstance(document, dict):
        raise InputError(f"{path} is no comparison: expected names and values")
    return document


def _located(document: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The same with relative paths as seen from the file's folder."""
    located = dict(document)
    if "table" in located:
        located["table"] = [str(folder / path) for path in located["table"]]
    kind, _, path = str(located.get("evaluator", "")).partition(":")
    if kind == "tabular":
        located["evaluator"] = f"tabular:{folder / path}"
    if str(located.get("space", "")).endswith(".toml"):
        located["space"] = str(folder / located["space"])
    return located
